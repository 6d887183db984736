"""Operations that draw random numbers: checks arrays, calls the CPU kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from convnet.neurons import Neuron
from convnet.ops.cpu import random
from convnet.ops.cpu.arrays import checked
from convnet.ops.cpu.elementwise_ops import parameters
from convnet.ops.roles import In, Out, RandomKey
from convnet.ops.spec.random import RandomOps

_f32: Any = np.float32


class CpuRandomOps(RandomOps):
    """This part of CpuOps."""

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
        random.dropout(
            checked("inputs", inputs, size),
            threshold(keep),
            _f32(scale),
            key_words(key),
            checked("acts", acts, size),
            add,
        )

    def noisy_neuron_fprop(self, neuron: Neuron, inputs: In, key: RandomKey, acts: Out) -> None:
        kernel = random.noisy_neuron_fprop(neuron.kind)
        source = checked("inputs", inputs, inputs.size)
        kernel(source, parameters(neuron), key_words(key), checked("acts", acts, inputs.size))

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
        random.dropconnect_fprop(
            checked("inputs", inputs, K, N),
            checked("weights", weights, K, F),
            checked("biases", biases, F),
            threshold(keep),
            key_words(weights_key),
            key_words(biases_key),
            checked("acts", acts, F, N),
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
        random.dropconnect_dgrad(
            checked("weights", weights, K, F),
            checked("acts_grad", acts_grad, F, N),
            threshold(keep),
            key_words(weights_key),
            checked("inputs_grad", inputs_grad, K, N),
            add,
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
        random.dropconnect_wgrad(
            checked("inputs", inputs, K, N),
            checked("acts_grad", acts_grad, F, N),
            threshold(keep),
            key_words(weights_key),
            checked("weights_grad", weights_grad, K, F),
            add,
        )


def threshold(keep: float) -> np.uint64:
    """What word >> 8 must be below: u 2^-24 < keep, in whole numbers."""
    return np.uint64(np.ceil(keep * 2**24))


def key_words(key: RandomKey) -> np.ndarray:
    return np.array([word & 0xFFFFFFFF for word in key], np.uint64)
