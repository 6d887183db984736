"""Normalisation over pixels (rnorm, cnorm) and over channels (cmrnorm).

All backward passes first store z = g * x * D^(-power-1) of the elements that a thread works
on, since each of them is needed by its whole neighbourhood.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import ONE, ZERO, parallel, serial
from convnet.ops.roles import Array

THREE_QUARTERS = np.float32(0.75)
CHUNK = 512  # numbers of each channel that cmrnorm treats at a time


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
def _through_denominators(x: Array, scale: float, power: float, total: Array) -> None:
    """From the sum of z over the readers of x: the gradient by way of their denominators."""
    factor = np.float32(2) * power * scale
    for n in range(x.size):
        total[n] *= -factor * x[n]


@serial
def _gradient(d: Array, g: Array, power: float, total: Array, dx: Array, add: bool) -> None:
    """dx = the gradient by way of the numerator, plus `total`. Overwrites `total`."""
    if add:
        for n in range(dx.size):
            total[n] += dx[n]
    _inverse_power(d, power, dx)
    for n in range(dx.size):
        dx[n] = g[n] * dx[n] + total[n]


@serial
def _sum_squares(plane: Array, h: int, w: int, size: int, total: Array) -> None:
    """total = sum of squares over the pixels that pixel (h, w) is normalised by."""
    H, W, N = plane.shape
    top, bottom = _reads(h, H, size, False)
    left, right = _reads(w, W, size, False)
    total[:] = ZERO
    for i in range(top, bottom):
        for j in range(left, right):
            for n in range(N):
                total[n] += plane[i, j, n] * plane[i, j, n]


@serial
def _sum_readers(plane: Array, h: int, w: int, size: int, total: Array) -> None:
    """total = sum over the pixels that are normalised by pixel (h, w)."""
    H, W, N = plane.shape
    top, bottom = _readers(h, H, size, False)
    left, right = _readers(w, W, size, False)
    total[:] = ZERO
    for i in range(top, bottom):
        for j in range(left, right):
            for n in range(N):
                total[n] += plane[i, j, n]


@parallel
def rnorm_fprop(
    images: Array, size: int, scale: float, power: float, min_div: float, denoms: Array, acts: Array
) -> None:
    C, H, W, _ = images.shape
    for ch in prange(C * H):
        c, h = ch // H, ch % H
        for w in range(W):
            d = denoms[c, h, w]
            _sum_squares(images[c], h, w, size, d)
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
            for w in range(W):
                _sum_readers(z, h, w, size, total)
                _through_denominators(images[c, h, w], scale, power, total)
                _gradient(
                    denoms[c, h, w], acts_grad[c, h, w], power, total, images_grad[c, h, w], add
                )


@serial
def _count(h: int, w: int, H: int, W: int, size: int) -> int:
    """How many pixels pixel (h, w) is normalised by."""
    top, bottom = _reads(h, H, size, False)
    left, right = _reads(w, W, size, False)
    return (bottom - top) * (right - left)


@parallel
def cnorm_fprop(
    images: Array,
    size: int,
    scale: float,
    power: float,
    min_div: float,
    diffs: Array,
    denoms: Array,
    acts: Array,
) -> None:
    C, H, W, N = images.shape
    for c in prange(C):
        for h in range(H):
            top, bottom = _reads(h, H, size, False)
            for w in range(W):
                left, right = _reads(w, W, size, False)
                share = ONE / np.float32(_count(h, w, H, W, size))
                diff = diffs[c, h, w]
                diff[:] = images[c, h, w]
                for i in range(top, bottom):
                    for j in range(left, right):
                        for n in range(N):
                            diff[n] -= share * images[c, i, j, n]
        for h in range(H):
            for w in range(W):
                d = denoms[c, h, w]
                _sum_squares(diffs[c], h, w, size, d)
                _normalise(images[c, h, w], scale, power, min_div, d, acts[c, h, w])


@parallel
def cnorm_bprop(
    images: Array,
    diffs: Array,
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
        diffs_grad = np.empty((H, W, N), np.float32)
        for h in range(H):
            for w in range(W):
                _sum_readers(z, h, w, size, diffs_grad[h, w])
                _through_denominators(diffs[c, h, w], scale, power, diffs_grad[h, w])
        for h in range(H):
            for w in range(W):
                share = ONE / np.float32(_count(h, w, H, W, size))
                for n in range(N):
                    z[h, w, n] = share * diffs_grad[h, w, n]
        total = np.empty(N, np.float32)
        for h in range(H):
            for w in range(W):
                _sum_readers(z, h, w, size, total)
                for n in range(N):
                    total[n] = diffs_grad[h, w, n] - total[n]
                _gradient(
                    denoms[c, h, w], acts_grad[c, h, w], power, total, images_grad[c, h, w], add
                )


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
    """Arrays are (C, pixels * N)."""
    C, length = images.shape
    for chunk in prange(-(-length // CHUNK)):
        part = slice(chunk * CHUNK, min((chunk + 1) * CHUNK, length))
        for c in range(C):
            first, last = _reads(c, C, size, blocked)
            d = denoms[c, part]
            d[:] = ZERO
            for i in range(first, last):
                x = images[i, part]
                for n in range(d.size):
                    d[n] += x[n] * x[n]
            _normalise(images[c, part], scale, power, min_div, d, acts[c, part])


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
    """Arrays are (C, pixels * N)."""
    C, length = images.shape
    for chunk in prange(-(-length // CHUNK)):
        part = slice(chunk * CHUNK, min((chunk + 1) * CHUNK, length))
        z = np.empty((C, part.stop - part.start), np.float32)
        for c in range(C):
            _weigh(images[c, part], denoms[c, part], acts_grad[c, part], power, z[c])
        total = np.empty(part.stop - part.start, np.float32)
        for c in range(C):
            first, last = _readers(c, C, size, blocked)
            total[:] = ZERO
            for i in range(first, last):
                for n in range(total.size):
                    total[n] += z[i, n]
            _through_denominators(images[c, part], scale, power, total)
            _gradient(denoms[c, part], acts_grad[c, part], power, total, images_grad[c, part], add)
