"""Response normalisation over pixels (rnorm) and over channels (cmrnorm).

Both backward passes first store z = g * x * D^(-power-1) of the elements that a thread works
on, since each of them is needed by its whole neighbourhood.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import ONE, ZERO, parallel, serial
from convnet.ops.roles import Array

THREE_QUARTERS = np.float32(0.75)


@serial
def _reads(i: int, length: int, size: int, blocked: bool) -> tuple[int, int]:
    """First and last + 1 of the elements that element i is normalised by."""
    first = i // size * size if blocked else i - size // 2
    return max(first, 0), min(first + size, length)


@serial
def _readers(i: int, length: int, size: int, blocked: bool) -> tuple[int, int]:
    """First and last + 1 of the elements that are normalised by element i."""
    first = i // size * size if blocked else i + size // 2 - size + 1
    return max(first, 0), min(first + size, length)


@serial
def _inverse_power(d: Array, power: float, result: Array) -> None:
    """result = d^-power."""
    if power == THREE_QUARTERS:  # what published nets use; a power from the C library is no vector
        for n in range(d.size):
            root = sqrt(d[n])
            result[n] = ONE / (root * sqrt(root))
    else:
        for n in range(d.size):
            result[n] = d[n] ** -power


@serial
def _normalise(x: Array, scale: float, power: float, min_div: float, d: Array, y: Array) -> None:
    """From the sum of squares in d: the denominator in d and the result in y."""
    for n in range(x.size):
        d[n] = min_div + scale * d[n]
    _inverse_power(d, power, y)
    for n in range(x.size):
        y[n] *= x[n]


@serial
def _weigh(x: Array, d: Array, g: Array, power: float, z: Array) -> None:
    _inverse_power(d, power, z)
    for n in range(x.size):
        z[n] *= g[n] * x[n] / d[n]


@serial
def _gradient(
    x: Array, d: Array, g: Array, scale: float, power: float, total: Array, dx: Array, add: bool
) -> None:
    """From the sum of z over the readers of x: the gradient into x. Overwrites `total`."""
    factor = np.float32(2) * power * scale
    for n in range(x.size):
        total[n] *= -factor * x[n]
        if add:
            total[n] += dx[n]
    _inverse_power(d, power, dx)
    for n in range(x.size):
        dx[n] = g[n] * dx[n] + total[n]


@parallel
def rnorm_fprop(
    images: Array, size: int, scale: float, power: float, min_div: float, denoms: Array, acts: Array
) -> None:
    C, H, W, N = images.shape
    for ch in prange(C * H):
        c, h = ch // H, ch % H
        top, bottom = _reads(h, H, size, False)
        for w in range(W):
            left, right = _reads(w, W, size, False)
            d = denoms[c, h, w]
            d[:] = ZERO
            for i in range(top, bottom):
                for j in range(left, right):
                    for n in range(N):
                        d[n] += images[c, i, j, n] * images[c, i, j, n]
            _normalise(images[c, h, w], scale, power, min_div, d, acts[c, h, w])


@parallel
def rnorm_bprop(
    images: Array,
    denoms: Array,
    acts_grad: Array,
    size: int,
    scale: float,
    power: float,
    images_grad: Array,
    add: bool,
) -> None:
    C, H, W, N = images.shape
    for c in prange(C):
        z = np.empty((H, W, N), np.float32)
        for h in range(H):
            for w in range(W):
                _weigh(images[c, h, w], denoms[c, h, w], acts_grad[c, h, w], power, z[h, w])
        total = np.empty(N, np.float32)
        for h in range(H):
            top, bottom = _readers(h, H, size, False)
            for w in range(W):
                left, right = _readers(w, W, size, False)
                total[:] = ZERO
                for i in range(top, bottom):
                    for j in range(left, right):
                        for n in range(N):
                            total[n] += z[i, j, n]
                _gradient(
                    images[c, h, w], denoms[c, h, w], acts_grad[c, h, w],
                    scale, power, total, images_grad[c, h, w], add,
                )  # fmt: skip


@parallel
def cmrnorm_fprop(
    images: Array,
    size: int,
    scale: float,
    power: float,
    min_div: float,
    blocked: bool,
    denoms: Array,
    acts: Array,
) -> None:
    """Arrays are (C, pixels, N)."""
    C, pixels, N = images.shape
    for pixel in prange(pixels):
        for c in range(C):
            first, last = _reads(c, C, size, blocked)
            d = denoms[c, pixel]
            d[:] = ZERO
            for i in range(first, last):
                for n in range(N):
                    d[n] += images[i, pixel, n] * images[i, pixel, n]
            _normalise(images[c, pixel], scale, power, min_div, d, acts[c, pixel])


@parallel
def cmrnorm_bprop(
    images: Array,
    denoms: Array,
    acts_grad: Array,
    size: int,
    scale: float,
    power: float,
    blocked: bool,
    images_grad: Array,
    add: bool,
) -> None:
    """Arrays are (C, pixels, N)."""
    C, pixels, N = images.shape
    for pixel in prange(pixels):
        z = np.empty((C, N), np.float32)
        for c in range(C):
            _weigh(images[c, pixel], denoms[c, pixel], acts_grad[c, pixel], power, z[c])
        total = np.empty(N, np.float32)
        for c in range(C):
            first, last = _readers(c, C, size, blocked)
            total[:] = ZERO
            for i in range(first, last):
                for n in range(N):
                    total[n] += z[i, n]
            _gradient(
                images[c, pixel], denoms[c, pixel], acts_grad[c, pixel],
                scale, power, total, images_grad[c, pixel], add,
            )  # fmt: skip
