"""Pooling: every inner loop is a vector over the images.

The backward kernels gather, so that each pixel is written by one thread only: a pixel collects
from the windows that hold it.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import ONE, ZERO, parallel, serial
from convnet.ops.roles import Array


@serial
def _pixels(window: int, start: int, stride: int, size: int, length: int) -> tuple[int, int]:
    """First and last + 1 of the pixels in a window, along one dimension."""
    first = start + window * stride
    return max(first, 0), min(first + size, length)


@serial
def _windows(pixel: int, start: int, stride: int, size: int, count: int) -> tuple[int, int]:
    """First and last + 1 of the windows that hold a pixel, along one dimension."""
    last = (pixel - start) // stride
    first = -((size - 1 + start - pixel) // stride)
    return max(first, 0), min(last + 1, count)


@parallel
def max_fprop(images: Array, start: int, stride: int, size: int, acts: Array) -> None:
    """acts = maximum of each window, NaN if it holds one."""
    C, H, W, N = images.shape
    _, P, Q, _ = acts.shape
    for cp in prange(C * P):
        c, p = cp // P, cp % P
        top, bottom = _pixels(p, start, stride, size, H)
        for q in range(Q):
            left, right = _pixels(q, start, stride, size, W)
            y = acts[c, p, q]
            y[:] = images[c, top, left]
            for h in range(top, bottom):
                for w in range(left, right):
                    for n in range(N):
                        x = images[c, h, w, n]
                        y[n] = x if (x > y[n]) | (x != x) else y[n]


@parallel
def max_bprop(
    images: Array,
    acts: Array,
    acts_grad: Array,
    start: int,
    stride: int,
    size: int,
    images_grad: Array,
    add: bool,
) -> None:
    """images_grad = sum of acts_grad over the windows whose maximum the pixel is."""
    C, H, W, N = images.shape
    _, P, Q, _ = acts.shape
    for ch in prange(C * H):
        c, h = ch // H, ch % H
        top, bottom = _windows(h, start, stride, size, P)
        for w in range(W):
            left, right = _windows(w, start, stride, size, Q)
            dx = images_grad[c, h, w]
            if not add:
                dx[:] = ZERO
            for p in range(top, bottom):
                for q in range(left, right):
                    for n in range(N):
                        hit = images[c, h, w, n] == acts[c, p, q, n]
                        dx[n] += acts_grad[c, p, q, n] if hit else ZERO


@parallel
def avg_fprop(images: Array, start: int, stride: int, size: int, divide: bool, acts: Array) -> None:
    """acts = mean of each window, or its sum if not `divide`."""
    C, H, W, N = images.shape
    _, P, Q, _ = acts.shape
    for cp in prange(C * P):
        c, p = cp // P, cp % P
        top, bottom = _pixels(p, start, stride, size, H)
        for q in range(Q):
            left, right = _pixels(q, start, stride, size, W)
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
    start: int,
    stride: int,
    size: int,
    divide: bool,
    images_grad: Array,
    add: bool,
) -> None:
    """images_grad = sum of acts_grad, divided likewise, over the windows that hold the pixel."""
    C, H, W, N = images_grad.shape
    _, P, Q, _ = acts_grad.shape
    for ch in prange(C * H):
        c, h = ch // H, ch % H
        top, bottom = _windows(h, start, stride, size, P)
        for w in range(W):
            left, right = _windows(w, start, stride, size, Q)
            dx = images_grad[c, h, w]
            if not add:
                dx[:] = ZERO
            for p in range(top, bottom):
                h0, h1 = _pixels(p, start, stride, size, H)
                for q in range(left, right):
                    w0, w1 = _pixels(q, start, stride, size, W)
                    share = ONE / np.float32((h1 - h0) * (w1 - w0)) if divide else ONE
                    for n in range(N):
                        dx[n] += share * acts_grad[c, p, q, n]
