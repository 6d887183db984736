"""Convolutions with filters of 1 x 1 as products of matrices, in which pixels and images are one.

With x (C, M) and y (F, M), where M counts the pixels of all images, and the filters w (C, F):

    fprop  y = w^T x        dgrad  x' = w y'        wgrad  w' = x y'^T

No row of pixels, and no number of images that is not a multiple of a vector, leaves lanes unused
but the last. With a stride the pixels that count are first gathered.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, prange

from convnet.geometry import Window
from convnet.ops.cpu.conv import PARTS, add_parts
from convnet.ops.cpu.jit import INFINITY, LANES, ZERO, aligned, parallel
from convnet.ops.cpu.tiles import FILTERS, pack_filters, store_grads, turn_grads, whole_vectors
from convnet.ops.cpu.vectors import (
    FPROP_COLUMNS,
    ROWS,
    fprop_tile,
    pack_lanes,
    store_sums,
    store_tile,
    wgrad_tile,
)
from convnet.ops.roles import Array

WIDTH = FPROP_COLUMNS * LANES  # pixels of a tile
LENGTH = 768  # pixels that a tile of weight gradients sums up: enough to hide that it is stored
CHUNK = 256  # channels, and filters, of a task of weight gradients: its operands fit an L2 cache


def is_faster(g: Window) -> bool:
    """Whether the convolution is for these kernels: each filter sees one pixel of the image."""
    inside = all(
        (outputs - 1) * g.stride < size
        for outputs, size in ((g.out_height, g.height), (g.out_width, g.width))
    )
    return g.is_square and g.filter_size == 1 and g.padding == 0 and inside


def fprop(
    g: Window,
    images: Array,
    filters: Array,
    biases: Array,
    low: float,
    high: float,
    acts: Array,
    add: bool,
) -> None:
    """As convnet.ops.cpu.conv.fprop."""
    if biases.shape[1] > 1:  # one for each pixel: the product is added to them
        acts[...] = biases.reshape(*acts.shape[:3], 1) + (acts if add else ZERO)
        biases, add = np.zeros((g.filters, 1), np.float32), True
    rows = np.arange(g.group_channels) * g.filters
    panels = _panels(g, filters, g.group_filters, rows, 1, g.group_filters)
    _multiply(
        panels, g.groups, _seen(g, images), biases.reshape(-1), low, high,
        acts.reshape(g.filters, -1), add, _scratch(g.group_channels),
    )  # fmt: skip


def dgrad(g: Window, filters: Array, acts_grad: Array, images_grad: Array, add: bool) -> None:
    """As convnet.ops.cpu.conv.dgrad."""
    rows = np.arange(g.group_filters)
    panels = _panels(g, filters, g.group_filters, rows, g.filters, g.group_channels)
    whole = g.acts_shape[1:] == g.images_shape[1:]
    N = images_grad.shape[3]
    target = images_grad if whole else np.empty((g.channels, *g.acts_shape[1:], N), np.float32)
    _multiply(
        panels, g.groups, acts_grad.reshape(g.filters, -1), np.zeros(g.channels, np.float32),
        -INFINITY, INFINITY, target.reshape(g.channels, -1), add and whole,
        _scratch(g.group_filters),
    )  # fmt: skip
    if not whole:
        _scatter(target, g.stride, images_grad, add)


def wgrad(g: Window, images: Array, acts_grad: Array, filters_grad: Array, add: bool) -> None:
    """As convnet.ops.cpu.conv.wgrad."""
    source = whole_vectors(_seen(g, images))
    grads = whole_vectors(acts_grad.reshape(g.filters, -1))
    tasks = g.groups * -(-g.group_channels // CHUNK) * -(-g.group_filters // CHUNK)
    count = min(-(-PARTS // tasks), -(-source.shape[1] // LENGTH))
    if count == 1:
        _sum_products(g.groups, source, grads, filters_grad[None], add)
    else:
        parts = np.empty((count, *filters_grad.shape), np.float32)
        _sum_products(g.groups, source, grads, parts, False)
        add_parts(parts.reshape(count, -1), filters_grad.reshape(-1), add)


def _seen(g: Window, images: Array) -> Array:
    """The pixels of the images that filters see, (C, M)."""
    if g.acts_shape[1:] != g.images_shape[1:]:
        seen = np.empty((g.channels, *g.acts_shape[1:], images.shape[3]), np.float32)
        _gather(images, g.stride, seen)
        images = seen
    return images.reshape(g.channels, -1)


def _panels(
    g: Window, filters: Array, group_step: int, rows: Array, step: int, outputs: int
) -> Array:
    """The filters packed for the micro-kernel; arguments as of pack_filters."""
    panels = aligned(g.groups * -(-outputs // ROWS) * rows.size * ROWS)
    pack_filters(filters.reshape(-1), g.groups, group_step, rows, step, outputs, panels)
    return panels


def _scratch(depth: int) -> Array:
    """Room for a tile's pixels of each thread."""
    threads = get_num_threads()
    return aligned(threads * depth * WIDTH).reshape(threads, -1)


@parallel
def _gather(images: Array, stride: int, seen: Array) -> None:
    C, P, Q, N = seen.shape
    for c in prange(C):
        for p in range(P):
            for q in range(Q):
                for n in range(N):
                    seen[c, p, q, n] = images[c, p * stride, q * stride, n]


@parallel
def _scatter(seen: Array, stride: int, images: Array, add: bool) -> None:
    """The reverse of _gather; pixels that no filter sees become zero, or stay if `add`."""
    C, P, Q, N = seen.shape
    for c in prange(C):
        if not add:
            images[c] = ZERO
        for p in range(P):
            for q in range(Q):
                for n in range(N):
                    images[c, p * stride, q * stride, n] += seen[c, p, q, n]


@parallel
def _multiply(
    panels: Array,
    groups: int,
    source: Array,
    biases: Array,
    low: float,
    high: float,
    target: Array,
    add: bool,
    scratch: Array,
) -> None:
    """target (R, M) = clamp(the weights in `panels` times source (K, M) + biases (R,)).

    Of each of `groups` groups of rows. WIDTH pixels are packed, and meet all weights.
    """
    M = source.shape[1]
    K, R = source.shape[0] // groups, target.shape[0] // groups
    flat_source, flat = source.reshape(-1), target.reshape(-1)
    threads, tiles = scratch.shape[0], -(-R // ROWS)
    offsets = (np.arange(K) * WIDTH).astype(np.int32)
    starts = np.arange(FPROP_COLUMNS) * LANES
    for thread in prange(threads):
        packed = scratch[thread]
        sums = np.empty(ROWS * WIDTH, np.float32)
        for task in range(thread, groups * -(-M // WIDTH), threads):
            group, first = task % groups, task // groups * WIDTH
            for k in range(K):
                for m in range(0, WIDTH, LANES):
                    at = (group * K + k) * M + first + m
                    pack_lanes(flat_source, at, M - first - m, packed, k * WIDTH + m)
            for tile in range(tiles):
                fprop_tile(
                    panels, (group * tiles + tile) * K * ROWS, packed, starts, 0, offsets, sums, 0
                )
                row = group * R + tile * ROWS
                rows = min(ROWS, R - tile * ROWS)
                if rows == ROWS and M - first >= WIDTH:
                    to = row * M + first
                    store_tile(sums, biases, row, low, high, add, flat, to, M, starts)
                    continue
                for i in range(rows):
                    for m in range(0, min(WIDTH, M - first), LANES):
                        place, count = (row + i) * M + first + m, M - first - m
                        store_sums(
                            sums, i * WIDTH + m, biases[row + i], low, high, add, flat, place, count
                        )


@parallel
def _sum_products(groups: int, source: Array, grads: Array, parts: Array, add: bool) -> None:
    """parts (parts, C / groups, F) = sums of source (C, M) times grads (F, M), M whole vectors."""
    count, C, F = parts.shape
    M, group_filters = source.shape[1], F // groups
    x, y, flat = source.reshape(-1), grads.reshape(-1), parts.reshape(-1)
    over_c, over_f = -(-C // CHUNK), -(-group_filters // CHUNK)
    steps = np.arange(LENGTH).astype(np.int32)
    for task in prange(count * groups * over_c * over_f):
        part, group = task % count, task // count % groups
        c = task // (count * groups) % over_c * CHUNK
        f = task // (count * groups * over_c) * CHUNK
        channels, filters = min(CHUNK, C - c), min(CHUNK, group_filters - f)
        panel = np.empty(-(-filters // FILTERS) * FILTERS * LENGTH, np.float32)
        sums = np.empty(ROWS * FILTERS, np.float32)
        starts = np.zeros(CHUNK + ROWS, np.int64)
        for first in range(part * LENGTH, M, count * LENGTH):
            length = min(LENGTH, M - first)
            for i in range(channels):
                starts[i] = (group * C + c + i) * M + first
            begin = (group * group_filters + f) * M + first
            turn_grads(y[begin:], M, filters, length, panel)
            for k in range(0, filters, FILTERS):
                for i in range(0, channels, ROWS):
                    wgrad_tile(panel, k * length, x, starts, i, steps[:length], sums, 0)
                    place = (part * C + c + i) * F + group * group_filters + f + k
                    more = add or first >= count * LENGTH
                    store_grads(sums, ROWS, channels - i, filters - k, more, flat, place, F)
