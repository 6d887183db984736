"""Dropout, with Philox4x32-10 inside: the same bits as convnet.ops.philox."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import ZERO, parallel, serial
from convnet.ops.philox import KEY_STEPS, MULTIPLIERS, ROUNDS
from convnet.ops.roles import Array

# numba counts in 64 bits, so every word is kept in a uint64 with its upper half zero.
_M0, _M1 = np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1])
_STEP0, _STEP1 = np.uint64(KEY_STEPS[0]), np.uint64(KEY_STEPS[1])
_WORD, _HALF, _LOW = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(8)


@serial
def _philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple[Any, ...]:
    for _ in range(ROUNDS):
        product0, product1 = c0 * _M0, c2 * _M1
        c0, c1 = (product1 >> _HALF) ^ c1 ^ k0, product1 & _WORD
        c2, c3 = (product0 >> _HALF) ^ c3 ^ k1, product0 & _WORD
        k0, k1 = (k0 + _STEP0) & _WORD, (k1 + _STEP1) & _WORD
    return c0, c1, c2, c3


@parallel
def dropout(
    inputs: Array, threshold: int, scale: float, key: Array, acts: Array, add: bool
) -> None:
    """acts = scale * inputs where word >> 8 < threshold, else 0; flat arrays. In place.

    `key` holds the uint64 (seed, stream, epoch, batch, minibatch).
    """
    for block in prange(-(-acts.size // 4)):
        words = _philox(np.uint64(block), key[4], key[3], key[2], key[0], key[1])
        for j in range(min(4, acts.size - block * 4)):
            i = block * 4 + j
            y = scale * inputs[i] if words[j] >> _LOW < threshold else ZERO
            acts[i] = y + acts[i] if add else y
