"""What the convolutions do around the micro-kernel: packing its operands, storing its sums.

Operands are packed into small contiguous pieces, padded to whole tiles and vectors, so that the
micro-kernel has no special cases and its loads no strides that clash in the cache.
"""

from __future__ import annotations

from numba import prange

from convnet.ops.base import Array
from convnet.ops.cpu.jit import INFINITY, LANES, ZERO, parallel, serial
from convnet.ops.cpu.vectors import ROWS, WGRAD_COLUMNS, store_sums, transpose

FILTERS = WGRAD_COLUMNS * LANES  # that a tile of weight gradients treats at a time


@serial
def pack_weights(
    weights: Array, base: int, rows: Array, step: int, columns: int, tile: int, panel: Array
) -> None:
    """panel(r, i) = weights[base + rows[r] + column * step] for column i of a tile of ROWS.

    Zero beyond the last column. All arrays are flat.
    """
    for i in range(ROWS):
        column = tile * ROWS + i
        if column < columns:
            for r in range(rows.size):
                panel[r * ROWS + i] = weights[base + rows[r] + column * step]
        else:
            for r in range(rows.size):
                panel[r * ROWS + i] = ZERO


@parallel
def pack_filters(
    weights: Array, group_step: int, rows: Array, step: int, columns: int, panels: Array
) -> None:
    """All panels (groups, tiles, ROWS * rows) of a layer with shared filters."""
    groups, tiles, _ = panels.shape
    for k in prange(groups * tiles):
        group, tile = k // tiles, k % tiles
        pack_weights(weights, group * group_step, rows, step, columns, tile, panels[group, tile])


@serial
def pack_lanes(source: Array, first: int, packed: Array, at: int) -> None:
    """LANES images from `first` of one pixel, source (N,), into packed[at:]; zero beyond N."""
    if first + LANES <= source.size:
        for lane in range(LANES):
            packed[at + lane] = source[first + lane]
    else:
        for lane in range(LANES):
            packed[at + lane] = source[first + lane] if first + lane < source.size else ZERO


@serial
def pack_window(
    images: Array, top: int, left: int, rows: int, columns: int, first: int, packed: Array
) -> None:
    """LANES images from `first` of a window, images (C,H,W,N), into (C, rows, columns, LANES).

    Rows and columns outside the images become zero.
    """
    C, H, W, _ = images.shape
    at = 0
    for c in range(C):
        for h in range(top, top + rows):
            for w in range(left, left + columns):
                if (0 <= h < H) & (0 <= w < W):
                    pack_lanes(images[c, h, w], first, packed, at)
                else:
                    for lane in range(LANES):
                        packed[at + lane] = ZERO
                at += LANES


@serial
def turn_grads(rows: Array, step: int, filters: int, length: int, panels: Array) -> None:
    """Turns rows of gradients, one a filter and `step` apart, into panels (length, FILTERS).

    Only the first `length` numbers of a row, a multiple of LANES, count. Flat arrays.
    """
    for f in range(0, filters, LANES):
        for r in range(0, length, LANES):
            at = f * step + r
            to = (f // FILTERS * length + r) * FILTERS + f % FILTERS
            if filters - f >= LANES:
                transpose(rows, at, step, panels, to, FILTERS)
            else:
                for i in range(filters - f):
                    for lane in range(LANES):
                        panels[to + lane * FILTERS + i] = rows[at + i * step + lane]


@serial
def store_grads(
    sums: Array, taps: int, filters: int, add: bool, grads: Array, at: int, step: int
) -> None:
    """Stores a tile of weight gradients, as far as it exists, in rows `step` apart from `at`."""
    for k in range(WGRAD_COLUMNS):
        for i in range(min(ROWS, taps)):
            place, count = at + i * step + k * LANES, filters - k * LANES
            store_sums(
                sums, (k * ROWS + i) * LANES, ZERO, -INFINITY, INFINITY, add, grads, place, count
            )
