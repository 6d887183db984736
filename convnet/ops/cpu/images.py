"""Resampling and colours of images: every inner loop runs over images, or pixels and images."""

from __future__ import annotations

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import BLOCK, ONE, ZERO, parallel
from convnet.ops.roles import Array
from convnet.ops.spec.images import LAB_BEND, LAB_POWER, LAB_SLOPE, LAB_START

GROUP = 32  # images whose pixels are read side by side: two cache lines of numbers

_BEND, _POWER = np.float32(LAB_BEND), np.float32(LAB_POWER)
_SLOPE, _START = np.float32(LAB_SLOPE), np.float32(LAB_START)


@parallel
def prepare(
    pixels: Array, places: Array, mean: Array, colours: Array, scale: float, acts: Array
) -> None:
    """See Ops.upload_images."""
    C, height, width, N = acts.shape
    _, rows, columns, _ = pixels.shape
    numbers = pixels.reshape(-1)
    for block in prange(-(-N // GROUP) * height):
        y, first = block % height, block // height * GROUP
        images = min(GROUP, N - first)
        at, step = np.empty(GROUP, np.int64), np.empty(GROUP, np.int64)
        for i in range(images):
            top, left, mirrored = places[first + i]
            step[i] = -C if mirrored else C
            column = left + (width - 1 if mirrored else 0)
            at[i] = (((first + i) * rows + top + y) * columns + column) * C
        for x in range(width):
            for c in range(C):
                for i in range(images):
                    pixel = np.float32(numbers[at[i] + c]) - mean[c, y, x]
                    acts[c, y, x, first + i] = (pixel + colours[first + i, c]) * scale
            for i in range(images):
                at[i] += step[i]


@parallel
def resample(
    images: Array,
    rows: Array,
    row_spans: Array,
    columns: Array,
    column_spans: Array,
    acts: Array,
    add: bool,
) -> None:
    """acts = rows images columns^T for (C, H, W, N); see Resampling.

    The spans (outputs, 2) are first and last + 1 of the numbers in each row of the matrices that
    are not zero.
    """
    C, _, W, N = images.shape
    _, P, Q, _ = acts.shape
    for cp in prange(C * P):
        c, p = cp // P, cp % P
        line = np.zeros((W, N), np.float32)
        for h in range(row_spans[p, 0], row_spans[p, 1]):
            share = rows[p, h]
            for w in range(W):
                for n in range(N):
                    line[w, n] += share * images[c, h, w, n]
        for q in range(Q):
            y = acts[c, p, q]
            if not add:
                y[:] = ZERO
            for w in range(column_spans[q, 0], column_spans[q, 1]):
                share = columns[q, w]
                for n in range(N):
                    y[n] += share * line[w, n]


@parallel
def mix_channels(matrix: Array, images: Array, acts: Array, add: bool) -> None:
    """acts = matrix images, of (C, M) and (D, M)."""
    D, C = matrix.shape
    for block in prange(-(-images.shape[1] // BLOCK)):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        for d in range(D):
            y = acts[d, part]
            if not add:
                y[:] = ZERO
            for c in range(C):
                x = images[c, part]
                for i in range(y.size):
                    y[i] += matrix[d, c] * x[i]


@parallel
def lab_curve_fprop(inputs: Array, offset: float, acts: Array) -> None:
    """acts = f(inputs) - offset, of flat arrays. In place."""
    for i in prange(acts.size):
        t = inputs[i]
        acts[i] = (t**_POWER if t > _BEND else _SLOPE * t + _START) - offset


@parallel
def lab_curve_bprop(inputs: Array, acts_grad: Array, inputs_grad: Array, add: bool) -> None:
    """inputs_grad = acts_grad * f'(inputs), of flat arrays. In place on acts_grad."""
    for i in prange(inputs.size):
        t = inputs[i]
        grad = acts_grad[i] * (_POWER * t ** (_POWER - ONE) if t > _BEND else _SLOPE)
        inputs_grad[i] = grad + inputs_grad[i] if add else grad
