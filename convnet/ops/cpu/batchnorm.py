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

from convnet.ops.cpu.jit import BLOCK, LANES, ZERO, parallel, serial
from convnet.ops.cpu.neurons import formula
from convnet.ops.roles import Array

RUN = 256  # sums side by side, as their order is fixed; each is of few numbers, in float32


@serial
def _total(sums: Array) -> float:
    """The sum of RUN numbers, which it overwrites."""
    width = RUN // 2
    while width >= LANES:
        low, high = sums[:width], sums[width : 2 * width]
        for j in range(width):
            low[j] += high[j]
        width //= 2
    result = 0.0
    for j in range(LANES):
        result += sums[j]
    return result


@serial
def _sum(x: Array, near: float, sums: Array) -> float:
    """The sum of x - near over a block."""
    sums[:] = ZERO
    whole = x.size // RUN * RUN
    for start in range(0, whole, RUN):
        run = x[start : start + RUN]
        for j in range(RUN):
            sums[j] += run[j] - near
    result = _total(sums)
    for i in range(whole, x.size):
        result += x[i] - near
    return result


@serial
def _sum_squares(x: Array, near: float, sums: Array) -> float:
    """The sum of (x - near)^2 over a block."""
    sums[:] = ZERO
    whole = x.size // RUN * RUN
    for start in range(0, whole, RUN):
        run = x[start : start + RUN]
        for j in range(RUN):
            d = run[j] - near
            sums[j] += d * d
    result = _total(sums)
    for i in range(whole, x.size):
        result += (x[i] - near) ** 2
    return result


@parallel
def stats(images: Array, statistics: Array) -> None:
    """Means and variances; see Ops.batchnorm_stats.

    Those of blocks, put together by the formula of Chan, Golub and LeVeque, "Algorithms for
    computing the sample variance" (1983).
    """
    channels, length = images.shape
    for c in prange(channels):
        sums = np.empty(RUN, np.float32)
        mean = squares = 0.0
        for start in range(0, length, BLOCK):
            x = images[c, start : start + BLOCK]
            # Relative to a number of the block, as sums of large numbers lose digits.
            own = x[0] + _sum(x, x[0], sums) / x.size
            near = np.float32(own)  # what it is off is corrected
            squares += _sum_squares(x, near, sums) - x.size * (own - near) ** 2
            away = own - mean
            squares += away * away * x.size * start / (start + x.size)
            mean += away * x.size / (start + x.size)
        statistics[0, c] = mean
        statistics[1, c] = max(0.0, squares / length)


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


@register_jitable
def _through(x: Any, dy: Any, mean: Any, factor: Any, beta: Any) -> Any:
    """The gradient below the relu, by the very arithmetic of fprop."""
    return dy if (x - mean) * factor + beta > ZERO else ZERO


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
        products, grads = np.empty(RUN, np.float32), np.empty(RUN, np.float32)
        mean, beta = statistics[0, c], betas[c]
        inverse = _inverse(statistics[1, c], eps)
        factor = gammas[c] * inverse
        along = total = 0.0
        for block in range(0, length, BLOCK):
            products[:] = ZERO
            grads[:] = ZERO
            stop = min(length, block + BLOCK)
            whole = stop - (stop - block) % RUN
            for start in range(block, whole, RUN):
                x, dy = images[c, start : start + RUN], acts_grad[c, start : start + RUN]
                if relu:
                    for j in range(RUN):
                        g = _through(x[j], dy[j], mean, factor, beta)
                        products[j] += g * (x[j] - mean)
                        grads[j] += g
                else:
                    for j in range(RUN):
                        products[j] += dy[j] * (x[j] - mean)
                        grads[j] += dy[j]
            along += _total(products)
            total += _total(grads)
            for i in range(whole, stop):
                x_i, g = images[c, i], acts_grad[c, i]
                if relu:
                    g = _through(x_i, g, mean, factor, beta)
                along += g * (x_i - mean)
                total += g
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
        scratch = np.empty(BLOCK, np.float32)
        mean, beta = statistics[0, c], betas[c]
        inverse = _inverse(statistics[1, c], eps)
        factor = gammas[c] * inverse
        slope = np.float32(totals[0, c] * inverse * share)
        offset = np.float32(totals[1, c] * share)
        for start in range(0, length, BLOCK):
            x = images[c, start : start + BLOCK]
            dx = images_grad[c, start : start + BLOCK]
            g = scratch[: x.size] if add else dx
            g[:] = acts_grad[c, start : start + BLOCK]
            if relu:
                for i in range(x.size):
                    g[i] = _through(x[i], g[i], mean, factor, beta)
            for i in range(x.size):
                g[i] = factor * (g[i] - offset - (x[i] - mean) * slope)
            if add:
                for i in range(x.size):
                    dx[i] += g[i]
