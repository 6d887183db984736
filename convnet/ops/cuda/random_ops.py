"""Operations that draw random numbers: kernels/random.cu."""

from __future__ import annotations

from math import ceil

import numpy as np

from convnet.neurons import Neuron
from convnet.ops.cuda.launch import BLOCK, Launcher, checked
from convnet.ops.cuda.neurons import neuron_arguments
from convnet.ops.roles import Array, In, Out, RandomKey
from convnet.ops.spec.random import RandomOps


class CudaRandomOps(Launcher, RandomOps):
    """This part of CudaOps."""

    def dropout(
        self,
        inputs: In,
        keep: float,
        scale: float,
        key: RandomKey,
        acts: Out,
        add: bool = False,
    ) -> None:
        size = inputs.size
        self._quads(
            "dropout",
            size,
            checked("inputs", inputs, size),
            *(threshold(keep), float(scale), self._key(key)),
            checked("acts", acts, size),
            add,
        )

    def noisy_neuron_fprop(self, neuron: Neuron, inputs: In, key: RandomKey, acts: Out) -> None:
        size = inputs.size
        self._quads(
            "noisy_neuron_fprop",
            size,
            checked("inputs", inputs, size),
            *(*neuron_arguments(neuron), self._key(key)),
            checked("acts", acts, size),
        )

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
        (K, F), N = weights.shape, inputs.shape[-1]
        self._numbers(
            "random",
            "dropconnect_fprop",
            F * N,
            checked("inputs", inputs, K, N),
            checked("weights", weights, K, F),
            checked("biases", biases, F),
            *(threshold(keep), self._key(weights_key), self._key(biases_key)),
            checked("acts", acts, F, N),
            *(K, F, N),
        )

    def dropconnect_dgrad(
        self,
        weights: In,
        acts_grad: In,
        keep: float,
        weights_key: RandomKey,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        (K, F), N = weights.shape, acts_grad.shape[-1]
        self._numbers(
            "random",
            "dropconnect_dgrad",
            K * N,
            checked("weights", weights, K, F),
            checked("acts_grad", acts_grad, F, N),
            *(threshold(keep), self._key(weights_key)),
            checked("inputs_grad", inputs_grad, K, N),
            *(add, F, N),
        )

    def dropconnect_wgrad(
        self,
        inputs: In,
        acts_grad: In,
        keep: float,
        weights_key: RandomKey,
        weights_grad: Out,
        add: bool = False,
    ) -> None:
        (K, F), N = weights_grad.shape, inputs.shape[-1]
        self._numbers(
            "random",
            "dropconnect_wgrad",
            K * F,
            checked("inputs", inputs, K, N),
            checked("acts_grad", acts_grad, F, N),
            *(threshold(keep), self._key(weights_key)),
            checked("weights_grad", weights_grad, K, F),
            *(add, F, N),
        )

    def _quads(self, name: str, size: int, *args: Array | np.uint32 | float) -> None:
        """A thread for four numbers, which share a block of random words."""
        self._launch("random", name, (-(-size // (4 * BLOCK)),), (BLOCK,), *args, size)


def threshold(keep: float) -> np.uint32:
    """t such that u 2^-24 < keep is u < t, in whole numbers."""
    return np.uint32(ceil(keep * 2**24))
