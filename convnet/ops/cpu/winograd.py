"""Convolutions of stride 1 with fewer multiplications: convnet.ops.winograd says how and why.

Tiles of 4 x 4 target pixels, for filters of 3 x 3 as of 5 x 5.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, prange

from convnet.geometry import Window
from convnet.ops.cpu.jit import INFINITY, LANES, aligned, parallel
from convnet.ops.cpu.vectors import (
    FPROP_COLUMNS,
    ROWS,
    fprop_tile,
    matrix_transform,
    prefetch,
    store_sums,
)
from convnet.ops.cpu.winograd_points import (
    GAP,
    OUTER,
    Tiling,
    filters_to_points,
    find_places,
    source_to_points,
    tiling,
)
from convnet.ops.cpu.winograd_wgrad import wgrad
from convnet.ops.roles import Array
from convnet.ops.winograd import SIZES, matrices

__all__ = ["dgrad", "fprop", "is_faster", "wgrad"]

_acts_from_points_3 = matrix_transform(matrices(3, OUTER + 2)[0].T)
_acts_from_points_5 = matrix_transform(matrices(5, OUTER + 4)[0].T)

CACHE_FLOATS = 200_000  # transformed tiles that stay in a cache: three quarters of an L2 cache
TRANSFORM = 12  # multiplications of vectors that last as long as a channel's part in one point


def is_faster(g: Window) -> bool:
    """Whether the convolution is for this method, by the multiplications of vectors it needs.

    Beside those of the products it pays for taking each channel to the points or back.
    """
    if g.stride != 1 or g.filter_size not in SIZES or not g.is_square:
        return False
    tiles = -(-g.out_height // OUTER) * -(-g.out_width // OUTER)
    C, F = g.group_channels, g.group_filters
    by_tiles = tiles * (OUTER + g.filter_size - 1) ** 2 * (C * F + TRANSFORM * (C + F))
    return by_tiles < g.out_pixels * g.filter_size**2 * C * F


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
    t = tiling(g, False, acts)
    _run(t, images, _points_of(t, filters, False), biases, low, high, acts, add)


def dgrad(g: Window, filters: Array, acts_grad: Array, images_grad: Array, add: bool) -> None:
    """As convnet.ops.cpu.conv.dgrad."""
    t = tiling(g, True, images_grad)
    points, biases = _points_of(t, filters, True), np.zeros((g.channels, 1), np.float32)
    _run(t, acts_grad, points, biases, -INFINITY, INFINITY, images_grad, add)


def _points_of(t: Tiling, filters: Array, backward: bool) -> Array:
    points = aligned(t.groups * t.points * -(-t.outputs // ROWS) * t.channels * ROWS)
    filters_to_points(t, filters, backward, points)
    return points


def _run(
    t: Tiling,
    source: Array,
    points: Array,
    biases: Array,
    low: float,
    high: float,
    target: Array,
    add: bool,
) -> None:
    """Chooses how many tiles of the source and of filters are treated at a time."""
    threads, tiles = get_num_threads(), -(-t.outputs // ROWS)
    column = t.points * FPROP_COLUMNS * LANES  # floats of a channel
    room = CACHE_FLOATS // (column * t.channels)
    share = -(-t.units // (2 * threads * FPROP_COLUMNS))
    if room:
        columns = min(room, share, 4)
        together = min(max(1, CACHE_FLOATS // (2 * column * columns * ROWS)), tiles)
    else:  # the filters are read once for all tiles of the source
        columns = min(share, 4)
        together = tiles
    size_in = t.channels * columns * FPROP_COLUMNS * LANES + GAP
    size_out = together * columns * ROWS * FPROP_COLUMNS * LANES + GAP
    scratch = aligned(threads * t.points * (size_in + size_out)).reshape(threads, -1)
    _correlate(t, columns, together, source, points, biases, low, high, target, add, scratch)


@parallel
def _correlate(
    t: Tiling,
    columns: int,
    together: int,
    source: Array,
    points: Array,
    biases: Array,
    low: float,
    high: float,
    target: Array,
    add: bool,
    scratch: Array,
) -> None:
    """A task is `columns` times FPROP_COLUMNS tiles; `together` tiles of outputs at a time."""
    threads, tiles = scratch.shape[0], -(-t.outputs // ROWS)
    _, H, W, N = target.shape
    flat_source, flat = source.reshape(-1), target.reshape(-1)
    block = columns * FPROP_COLUMNS
    step_in = t.channels * block * LANES + GAP  # from point to point
    step_out = together * columns * ROWS * FPROP_COLUMNS * LANES + GAP
    offsets = (np.arange(t.channels) * (block * LANES)).astype(np.int32)
    starts = np.arange(block) * LANES
    blocks = -(-t.units // block)
    for thread in prange(threads):
        inputs, sums = scratch[thread, : t.points * step_in], scratch[thread, t.points * step_in :]
        edge = np.empty(t.points * LANES, np.float32)
        pixels = np.empty(OUTER * OUTER * LANES, np.float32)
        places = np.empty((block, 3), np.int64)
        for task in range(thread, blocks * t.groups, threads):
            group, begin = task % t.groups, task // t.groups * block
            count = find_places(t, begin, places)
            for c in range(t.channels):
                source_to_points(
                    t, flat_source, source.shape, group * t.channels + c, places[:count], edge,
                    inputs, c * block * LANES, step_in,
                )  # fmt: skip
            for tile in range(0, tiles, together):
                some = min(together, tiles - tile)
                for point in range(t.points):
                    here = inputs[point * step_in :]
                    for i in range(some):
                        panel = ((group * tiles + tile + i) * t.points + point) * t.channels * ROWS
                        for column in range(-(-count // FPROP_COLUMNS)):
                            at = (i * columns + column) * ROWS * FPROP_COLUMNS * LANES
                            fprop_tile(
                                points, panel, here, starts, column * FPROP_COLUMNS, offsets,
                                sums, point * step_out + at,
                            )  # fmt: skip
                for i in range(min(some * ROWS, t.outputs - tile * ROWS)):
                    output = group * t.outputs + tile * ROWS + i
                    for unit in range(count):
                        first, top, left = places[unit, 0], places[unit, 1], places[unit, 2]
                        row = (i // ROWS * columns + unit // FPROP_COLUMNS) * ROWS + i % ROWS
                        at = (row * FPROP_COLUMNS + unit % FPROP_COLUMNS) * LANES
                        step = t.side * step_out
                        for h in range(min(OUTER, H - top)):
                            for w in range(min(OUTER, W - left)):
                                place = ((output + 1) * H + top + h) * W + left + w
                                prefetch(flat, place * N + first)  # of the next output
                        if t.size == 3:
                            _acts_from_points_3(sums, at, step, step_out, pixels, 0, LANES)
                        else:
                            _acts_from_points_5(sums, at, step, step_out, pixels, 0, LANES)
                        for h in range(min(OUTER, H - top)):
                            for w in range(min(OUTER, W - left)):
                                place = (top + h) * W + left + w
                                store_sums(
                                    pixels,
                                    (h * OUTER + w) * LANES,
                                    biases[output, place if biases.shape[1] > 1 else 0],
                                    low,
                                    high,
                                    add,
                                    flat,
                                    (output * H * W + place) * N + first,
                                    N - first,
                                )
