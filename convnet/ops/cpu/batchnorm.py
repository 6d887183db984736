"""Kernels of batch normalisation; images are (C, H * W * N), a thread has whole channels.

A channel is read block by block, and all that is done with a block is done while it is in the
cache. Formulas: convnet/ops/spec/batchnorm.py.
"""

from __future__ import annotations

from functools import cache
from math import sqrt
from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable

from convnet.ops.cpu.jit import BLOCK, ZERO, parallel, serial
from convnet.ops.cpu.neurons import formula
from convnet.ops.roles import Array

LANES = 256  # sums side by side, as their order is fixed; each is of few numbers


@serial
def _total(sums: Array) -> float:
    result = 0.0
    for j in range(LANES):
        result += sums[j]
    return result


@serial
def _sum(x: Array, lanes: Array) -> float:
    """The sum of a block."""
    lanes[:] = ZERO
    for start in range(0, x.size - LANES + 1, LANES):
        for j in range(LANES):
            lanes[j] += x[start + j]
    result = _total(lanes)
    for i in range(x.size // LANES * LANES, x.size):
        result += x[i]
    return result


@serial
def _sum_products(x: Array, y: Array, lanes: Array) -> float:
    """The sum of the products of the numbers of two blocks."""
    lanes[:] = ZERO
    for start in range(0, x.size - LANES + 1, LANES):
        for j in range(LANES):
            lanes[j] += x[start + j] * y[start + j]
    result = _total(lanes)
    for i in range(x.size // LANES * LANES, x.size):
        result += x[i] * y[i]
    return result


@parallel
def stats(images: Array, statistics: Array) -> None:
    """Means and variances; see Ops.batchnorm_stats.

    Those of blocks, put together by the formula of Chan, Golub and LeVeque, "Algorithms for
    computing the sample variance" (1983).
    """
    channels, length = images.shape
    for c in prange(channels):
        lanes = np.empty(LANES, np.float32)
        differences = np.empty(BLOCK, np.float32)
        mean = squares = 0.0
        for start in range(0, length, BLOCK):
            x = images[c, start : start + BLOCK]
            d = differences[: x.size]
            # A float32 close to the mean of the block will do: what it is off is corrected.
            near = np.float32(_sum(x, lanes) / x.size)
            for i in range(x.size):
                d[i] = x[i] - near
            rest = _sum(d, lanes) / x.size
            away = near + rest - mean
            squares += _sum_products(d, d, lanes) - x.size * rest * rest
            squares += away * away * x.size * start / (start + x.size)
            mean += away * x.size / (start + x.size)
        statistics[0, c] = mean
        statistics[1, c] = squares / length


@register_jitable
def _inverse(variance: Any, eps: Any) -> Any:
    return np.float32(1 / sqrt(variance + eps))


@cache
def fprop(kind: str, with_others: bool) -> Any:
    """The kernel for a kind of neuron; see Ops.batchnorm_fprop."""
    f = register_jitable(formula(kind))

    @parallel
    def batchnorm_fprop(
        images: Array,
        statistics: Array,
        gammas: Array,
        betas: Array,
        eps: float,
        parameters: Any,
        others: Array,
        acts: Array,
    ) -> None:
        channels, length = images.shape
        for c in prange(channels):
            mean, beta = statistics[0, c], betas[c]
            factor = gammas[c] * _inverse(statistics[1, c], eps)
            for start in range(0, length, BLOCK):
                y = acts[c, start : start + BLOCK]
                y[:] = images[c, start : start + BLOCK]
                for i in range(y.size):
                    y[i] = (y[i] - mean) * factor + beta
                if with_others:
                    other = others[c, start : start + BLOCK]
                    for i in range(y.size):
                        y[i] += other[i]
                for i in range(y.size):
                    y[i] = f(y[i], *parameters)

    return batchnorm_fprop


@serial
def _load(
    x: Array, dy: Array, mean: float, factor: float, beta: float, relu: bool, d: Array, g: Array
) -> None:
    """d = x - mean, and g: dy, or only where the relu lets it through."""
    for i in range(x.size):
        d[i] = x[i] - mean
    if relu:
        for i in range(x.size):
            g[i] = dy[i] if d[i] * factor + beta > ZERO else ZERO
    else:
        g[:] = dy


@parallel
def sums(
    images: Array,
    statistics: Array,
    gammas: Array,
    betas: Array,
    eps: float,
    acts_grad: Array,
    relu: bool,
    results: Array,
) -> None:
    """See Ops.batchnorm_sums."""
    channels, length = images.shape
    for c in prange(channels):
        lanes = np.empty(LANES, np.float32)
        differences, grads = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        inverse = _inverse(statistics[1, c], eps)
        factor = gammas[c] * inverse
        along = total = 0.0
        for start in range(0, length, BLOCK):
            x = images[c, start : start + BLOCK]
            d, g = differences[: x.size], grads[: x.size]
            dy = acts_grad[c, start : start + BLOCK]
            _load(x, dy, statistics[0, c], factor, betas[c], relu, d, g)
            along += _sum_products(g, d, lanes)
            total += _sum(g, lanes)
        results[0, c] = along * inverse
        results[1, c] = total


@parallel
def dgrad(
    images: Array,
    statistics: Array,
    gammas: Array,
    betas: Array,
    eps: float,
    totals: Array,
    share: float,
    acts_grad: Array,
    relu: bool,
    images_grad: Array,
    add: bool,
) -> None:
    """See Ops.batchnorm_dgrad; `share` is 1 / n, or 0 where the statistics are constants."""
    channels, length = images.shape
    for c in prange(channels):
        differences, grads = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        inverse = _inverse(statistics[1, c], eps)
        factor = gammas[c] * inverse
        slope = np.float32(totals[0, c] * inverse * share)
        offset = np.float32(totals[1, c] * share)
        for start in range(0, length, BLOCK):
            x = images[c, start : start + BLOCK]
            d, g = differences[: x.size], grads[: x.size]
            dy = acts_grad[c, start : start + BLOCK]
            _load(x, dy, statistics[0, c], factor, betas[c], relu, d, g)
            for i in range(x.size):
                g[i] = factor * (g[i] - offset - d[i] * slope)
            dx = images_grad[c, start : start + BLOCK]
            if add:
                for i in range(x.size):
                    dx[i] += g[i]
            else:
                dx[:] = g
