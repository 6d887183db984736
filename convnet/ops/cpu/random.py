"""Kernels that draw random numbers, with the same bits as convnet.ops.philox.

A `key` holds the uint64 (seed, stream, epoch, batch, minibatch).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import cos, log, pi, sin, sqrt
from typing import Any

import numpy as np
from numba import prange

from convnet.ops.cpu import lif
from convnet.ops.cpu.jit import ONE, ZERO, parallel, serial
from convnet.ops.philox import KEY_STEPS, MULTIPLIERS, ROUNDS
from convnet.ops.roles import Array

# numba counts in 64 bits, so every word is kept in a uint64 with its upper half zero.
_M0, _M1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
_STEP0, _STEP1 = np.uint64(KEY_STEPS[0]), np.uint64(KEY_STEPS[1])
_WORD, _HALF, LOW = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(8)
_UNIT: Any = np.float32(2.0**-24)
_TWO: Any = np.float32(2)
_TWO_PI: Any = np.float32(2 * pi)


@serial
def _philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple[Any, ...]:
    for _ in range(ROUNDS):
        product0, product1 = c0 * _M0, c2 * _M1
        c0, c1 = (product1 >> _HALF) ^ c1 ^ k0, product1 & _WORD
        c2, c3 = (product0 >> _HALF) ^ c3 ^ k1, product0 & _WORD
        k0, k1 = (k0 + _STEP0) & _WORD, (k1 + _STEP1) & _WORD
    return c0, c1, c2, c3


@serial
def words(key: Array, block: int) -> tuple[Any, ...]:
    """The words of elements 4 block .. 4 block + 3 of a draw."""
    return _philox(np.uint64(block), key[4], key[3], key[2], key[0], key[1])


@parallel
def dropout(
    inputs: Array, threshold: int, scale: float, key: Array, acts: Array, add: bool
) -> None:
    """acts = scale * inputs where word >> 8 < threshold, else 0; flat arrays. In place."""
    for block in prange(-(-acts.size // 4)):
        drawn = words(key, block)
        for j in range(min(4, acts.size - block * 4)):
            i = block * 4 + j
            y = scale * inputs[i] if drawn[j] >> LOW < threshold else ZERO
            acts[i] = y + acts[i] if add else y


@serial
def _kept(key: Array, start: int, threshold: int, kept: Array) -> None:
    """kept[i] = 1 where word >> 8 of element start + i is < threshold, else 0."""
    for block in range(start // 4, (start + kept.size - 1) // 4 + 1):
        drawn = words(key, block)
        for j in range(4):
            i = block * 4 + j - start
            if 0 <= i < kept.size:
                kept[i] = ONE if drawn[j] >> LOW < threshold else ZERO


@parallel
def dropconnect_fprop(
    inputs: Array,
    weights: Array,
    biases: Array,
    threshold: int,
    weights_key: Array,
    biases_key: Array,
    acts: Array,
) -> None:
    """See Ops.dropconnect_fprop: (K,N), (K,F), (F,) -> (F,N)."""
    (K, F), N = weights.shape, inputs.shape[1]
    for f in prange(F):
        kept = np.empty(N, np.float32)
        _kept(biases_key, f * N, threshold, kept)
        for n in range(N):
            acts[f, n] = kept[n] * biases[f]
        for k in range(K):
            _kept(weights_key, (k * F + f) * N, threshold, kept)
            for n in range(N):
                acts[f, n] += kept[n] * weights[k, f] * inputs[k, n]


@parallel
def dropconnect_dgrad(
    weights: Array, acts_grad: Array, threshold: int, key: Array, inputs_grad: Array, add: bool
) -> None:
    """See Ops.dropconnect_dgrad: (K,F), (F,N) -> (K,N)."""
    (K, F), N = weights.shape, acts_grad.shape[1]
    for k in prange(K):
        kept, total = np.empty(N, np.float32), np.zeros(N, np.float32)
        for f in range(F):
            _kept(key, (k * F + f) * N, threshold, kept)
            for n in range(N):
                total[n] += kept[n] * weights[k, f] * acts_grad[f, n]
        for n in range(N):
            inputs_grad[k, n] = total[n] + inputs_grad[k, n] if add else total[n]


@parallel
def dropconnect_wgrad(
    inputs: Array, acts_grad: Array, threshold: int, key: Array, weights_grad: Array, add: bool
) -> None:
    """See Ops.dropconnect_wgrad: (K,N), (F,N) -> (K,F)."""
    (K, F), N = weights_grad.shape, inputs.shape[1]
    for k in prange(K):
        kept = np.empty(N, np.float32)
        for f in range(F):
            _kept(key, (k * F + f) * N, threshold, kept)
            total = ZERO
            for n in range(N):
                total += kept[n] * inputs[k, n] * acts_grad[f, n]
            weights_grad[k, f] = total + weights_grad[k, f] if add else total


# What a kind of neuron puts out while training, and whether it takes normal or uniform numbers.
_NOISY: dict[str, tuple[Callable[..., Any], bool]] = {
    "softlif": (lif.with_noise, True),
    "softlifalpha": (lif.through_alpha, False),
    "softlifalpharc": (lif.through_alpha_and_lowpass, False),
}


@cache
def noisy_neuron_fprop(kind: str) -> Any:
    """The kernel (inputs, parameters, key, acts): see Ops.noisy_neuron_fprop; flat. In place."""
    formula, takes_normal = _NOISY[kind]

    @parallel
    def noisy_fprop(inputs: Array, parameters: Any, key: Array, acts: Array) -> None:
        for pair in prange(-(-acts.size // 2)):
            drawn = words(key, pair // 2)
            first = 2 * (pair % 2)
            u = np.float32(drawn[first] >> LOW) * _UNIT
            v = np.float32(drawn[first + 1] >> LOW) * _UNIT
            if takes_normal:
                radius, angle = sqrt(-_TWO * log(ONE - u)), _TWO_PI * v
                u, v = radius * cos(angle), radius * sin(angle)
            i = 2 * pair
            acts[i] = formula(inputs[i], u, *parameters)
            if i + 1 < acts.size:
                acts[i + 1] = formula(inputs[i + 1], v, *parameters)

    return noisy_fprop
