"""Pooling: every inner loop is a vector over the images.

The backward kernels gather, so that each pixel is written by one thread only: a pixel collects
from the windows that hold it. The windows along one dimension are given as (start, stride, size).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import ONE, ZERO, parallel, serial
from convnet.ops.roles import Array

Windows = tuple[int, int, int]


@serial
def _pixels(window: int, windows: Windows, length: int) -> tuple[int, int]:
    """First and last + 1 of the pixels in a window, along one dimension."""
    start, stride, size = windows
    first = start + window * stride
    return max(first, 0), min(first + size, length)


@serial
def _holders(pixel: int, windows: Windows, count: int) -> tuple[int, int]:
    """First and last + 1 of the windows that hold a pixel, along one dimension."""
    start, stride, size = windows
    last = (pixel - start) // stride
    first = -((size - 1 + start - pixel) // stride)
    return max(first, 0), min(last + 1, count)


@parallel
def max_fprop(images: Array, rows: Windows, columns: Windows, acts: Array, magnitude: bool) -> None:
    """acts = maximum of each window, or its last largest magnitude; NaN if it holds one."""
    C, H, W, N = images.shape
    _, P, Q, _ = acts.shape
    for cp in prange(C * P):
        c, p = cp // P, cp % P
        top, bottom = _pixels(p, rows, H)
        for q in range(Q):
            left, right = _pixels(q, columns, W)
            y = acts[c, p, q]
            y[:] = images[c, top, left]
            for h in range(top, bottom):
                for w in range(left, right):
                    x = images[c, h, w]
                    if magnitude:
                        for n in range(N):
                            keep = (abs(y[n]) > abs(x[n])) | (y[n] != y[n])
                            y[n] = y[n] if keep else x[n]
                    else:
                        for n in range(N):
                            y[n] = x[n] if (x[n] > y[n]) | (x[n] != x[n]) else y[n]


@parallel
def max_bprop(
    images: Array,
    acts: Array,
    acts_grad: Array,
    rows: Windows,
    columns: Windows,
    images_grad: Array,
    add: bool,
) -> None:
    """images_grad = sum of acts_grad over the windows whose output the pixel equals."""
    C, H, W, N = images.shape
    _, P, Q, _ = acts.shape
    for ch in prange(C * H):
        c, h = ch // H, ch % H
        top, bottom = _holders(h, rows, P)
        for w in range(W):
            left, right = _holders(w, columns, Q)
            dx = images_grad[c, h, w]
            if not add:
                dx[:] = ZERO
            for p in range(top, bottom):
                for q in range(left, right):
                    for n in range(N):
                        hit = images[c, h, w, n] == acts[c, p, q, n]
                        dx[n] += acts_grad[c, p, q, n] if hit else ZERO


@parallel
def avg_fprop(images: Array, rows: Windows, columns: Windows, divide: bool, acts: Array) -> None:
    """acts = mean of each window, or its sum if not `divide`."""
    C, H, W, N = images.shape
    _, P, Q, _ = acts.shape
    for cp in prange(C * P):
        c, p = cp // P, cp % P
        top, bottom = _pixels(p, rows, H)
        for q in range(Q):
            left, right = _pixels(q, columns, W)
            y = acts[c, p, q]
            y[:] = ZERO
            for h in range(top, bottom):
                for w in range(left, right):
                    for n in range(N):
                        y[n] += images[c, h, w, n]
            if divide:
                y *= ONE / np.float32((bottom - top) * (right - left))


@parallel
def avg_bprop(
    acts_grad: Array,
    rows: Windows,
    columns: Windows,
    divide: bool,
    images_grad: Array,
    add: bool,
) -> None:
    """images_grad = sum of acts_grad, divided likewise, over the windows that hold the pixel."""
    C, H, W, N = images_grad.shape
    _, P, Q, _ = acts_grad.shape
    for ch in prange(C * H):
        c, h = ch // H, ch % H
        top, bottom = _holders(h, rows, P)
        for w in range(W):
            left, right = _holders(w, columns, Q)
            dx = images_grad[c, h, w]
            if not add:
                dx[:] = ZERO
            for p in range(top, bottom):
                h0, h1 = _pixels(p, rows, H)
                for q in range(left, right):
                    w0, w1 = _pixels(q, columns, W)
                    share = ONE / np.float32((h1 - h0) * (w1 - w0)) if divide else ONE
                    for n in range(N):
                        dx[n] += share * acts_grad[c, p, q, n]


@parallel
def l2_fprop(images: Array, rows: Windows, columns: Windows, acts: Array) -> None:
    """acts = length of each window."""
    C, H, W, N = images.shape
    _, P, Q, _ = acts.shape
    for cp in prange(C * P):
        c, p = cp // P, cp % P
        top, bottom = _pixels(p, rows, H)
        for q in range(Q):
            left, right = _pixels(q, columns, W)
            y = acts[c, p, q]
            y[:] = ZERO
            for h in range(top, bottom):
                for w in range(left, right):
                    for n in range(N):
                        y[n] += images[c, h, w, n] * images[c, h, w, n]
            for n in range(N):
                y[n] = np.sqrt(y[n])


@parallel
def l2_bprop(
    images: Array,
    acts: Array,
    acts_grad: Array,
    rows: Windows,
    columns: Windows,
    images_grad: Array,
    add: bool,
) -> None:
    """images_grad = images * sum of acts_grad / acts over the windows that hold the pixel."""
    C, H, W, N = images.shape
    _, P, Q, _ = acts.shape
    for ch in prange(C * H):
        c, h = ch // H, ch % H
        top, bottom = _holders(h, rows, P)
        for w in range(W):
            left, right = _holders(w, columns, Q)
            dx = images_grad[c, h, w]
            if not add:
                dx[:] = ZERO
            for p in range(top, bottom):
                for q in range(left, right):
                    for n in range(N):
                        y = acts[c, p, q, n]
                        slope = images[c, h, w, n] / y if y > ZERO else ZERO
                        dx[n] += slope * acts_grad[c, p, q, n]
