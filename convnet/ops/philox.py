"""Counter-based random numbers: Philox4x32-10.

Formula and constants: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC 2011, sections 3.3 and table 2.
"""

from __future__ import annotations

import numpy as np

from convnet.ops.roles import RandomKey

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # golden ratio and sqrt(3) - 1, as 32-bit fractions

_WORD = 0xFFFFFFFF


def philox4x32(counters: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """The random words of each counter: uint32 (4, blocks) -> uint32 (4, blocks)."""
    c0, c1, c2, c3 = counters.astype(np.uint64)
    for r in range(ROUNDS):
        k0, k1 = ((key[i] + r * KEY_STEPS[i]) & _WORD for i in (0, 1))
        product0, product1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (product1 >> 32) ^ c1 ^ k0,
            product1 & _WORD,
            (product0 >> 32) ^ c3 ^ k1,
            product0 & _WORD,
        )
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


def uniform(key: RandomKey, count: int) -> np.ndarray:
    """Elements 0 .. count-1 of a draw: float32 (count,), multiples of 2^-24 in [0, 1).

    Which element is which word: see RandomKey. Its numbers are taken modulo 2^32.
    """
    blocks = -(-count // 4)
    counters = np.empty((4, blocks), np.uint32)
    counters[0] = np.arange(blocks)
    counters[1:] = [[word & _WORD] for word in (key.minibatch, key.batch, key.epoch)]
    words = philox4x32(counters, (key.seed, key.stream)).T.reshape(-1)[:count]
    return (words >> 8).astype(np.float32) * np.float32(2.0**-24)


def normal(key: RandomKey, count: int) -> np.ndarray:
    """Standard normal numbers: float64 (count,), by the method of Box and Muller.

    Elements 2i and 2i + 1 are r cos(2 pi v) and r sin(2 pi v), where r = sqrt(-2 log(1 - u)) and
    u, v are elements 2i and 2i + 1 of `uniform`.
    """
    u, v = uniform(key, count + count % 2).astype(np.float64).reshape(-1, 2).T
    radius, angle = np.sqrt(-2 * np.log(1 - u)), 2 * np.pi * v
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:count]
