"""Operations that draw random numbers in numpy."""

from __future__ import annotations

import numpy as np

from convnet.neurons import Neuron
from convnet.ops.philox import normal, uniform
from convnet.ops.reference import lif
from convnet.ops.reference.common import store
from convnet.ops.roles import Array, In, Out, RandomKey
from convnet.ops.spec.random import RandomOps


class ReferenceRandomOps(RandomOps):
    """This part of ReferenceOps."""

    def dropout(
        self,
        inputs: In,
        keep: float,
        scale: float,
        key: RandomKey,
        acts: Out,
        add: bool = False,
    ) -> None:
        store(acts, np.where(_kept(key, keep, *inputs.shape), scale * inputs, 0), add)

    @np.errstate(all="ignore")  # infinities and NaNs are results like any other here
    def noisy_neuron_fprop(self, neuron: Neuron, inputs: In, key: RandomKey, acts: Out) -> None:
        draw, function = {
            "softlif": (normal, lif.with_noise),
            "softlifalpha": (uniform, lif.through_alpha),
            "softlifalpharc": (uniform, lif.through_alpha_and_lowpass),
        }[neuron.kind]
        drawn = draw(key, inputs.size).reshape(inputs.shape).astype(inputs.dtype)
        store(acts, function(inputs, drawn, *neuron.parameters))

    def dropconnect_fprop(
        self,
        inputs: In,
        weights: In,
        biases: In,
        keep: float,
        weights_key: RandomKey,
        biases_key: RandomKey,
        acts: Out,
    ) -> None:
        mask = _kept(weights_key, keep, *weights.shape, inputs.shape[-1])
        total = np.einsum("kfn,kf,kn->fn", mask, weights, inputs)
        store(acts, total + _kept(biases_key, keep, *acts.shape) * biases.reshape(-1, 1))

    def dropconnect_dgrad(
        self,
        weights: In,
        acts_grad: In,
        keep: float,
        weights_key: RandomKey,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        mask = _kept(weights_key, keep, *weights.shape, acts_grad.shape[-1])
        store(inputs_grad, np.einsum("kfn,kf,fn->kn", mask, weights, acts_grad), add)

    def dropconnect_wgrad(
        self,
        inputs: In,
        acts_grad: In,
        keep: float,
        weights_key: RandomKey,
        weights_grad: Out,
        add: bool = False,
    ) -> None:
        mask = _kept(weights_key, keep, *weights_grad.shape, inputs.shape[-1])
        store(weights_grad, np.einsum("kfn,kn,fn->kf", mask, inputs, acts_grad), add)


def _kept(key: RandomKey, keep: float, *shape: int) -> Array:
    """Truth of "this element is kept"."""
    # In double precision: float32 would round `keep`, and other backends do not.
    return (uniform(key, int(np.prod(shape))).astype(np.float64) < keep).reshape(shape)
