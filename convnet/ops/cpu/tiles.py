"""What the convolutions do around the micro-kernel: packing its operands, storing its sums.

Operands are packed into small contiguous pieces, padded to whole tiles and vectors, so that the
micro-kernel has no special cases and its loads no strides that clash in the cache.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import INFINITY, LANES, ZERO, parallel, serial
from convnet.ops.cpu.vectors import ROWS, WGRAD_COLUMNS, pack_lanes, pack_row, store_sums, transpose
from convnet.ops.roles import Array

FILTERS = WGRAD_COLUMNS * LANES  # that a tile of weight gradients treats at a time


def whole_vectors(rows: Array) -> Array:
    """Rows (.., N), N rounded up to whole vectors by zeros."""
    surplus = -rows.shape[1] % LANES
    return np.pad(rows, ((0, 0), (0, surplus))) if surplus else rows


@serial
def pack_weights(
    weights: Array,
    base: int,
    rows: Array,
    step: int,
    columns: int,
    tile: int,
    panels: Array,
    to: int,
) -> None:
    """panels[to + r * ROWS + i] = weights[base + rows[r] + column * step], flat arrays.

    Here `column` is the i-th of a tile of ROWS columns. Zero beyond the last column.
    """
    first = tile * ROWS
    if step == 1:  # a vector at a time
        for r in range(rows.size):
            pack_row(weights, base + rows[r] + first, columns - first, panels, to + r * ROWS)
        return
    for r in range(rows.size):
        for i in range(ROWS):
            exists = first + i < columns
            weight = weights[base + rows[r] + (first + i) * step] if exists else ZERO
            panels[to + r * ROWS + i] = weight


@parallel
def pack_filters(
    weights: Array,
    groups: int,
    group_step: int,
    rows: Array,
    step: int,
    columns: int,
    panels: Array,
) -> None:
    """All panels (groups, tiles, rows, ROWS) of a layer with shared filters, flat arrays."""
    tiles = -(-columns // ROWS)
    for k in prange(groups * tiles):
        base, to = k // tiles * group_step, k * rows.size * ROWS
        pack_weights(weights, base, rows, step, columns, k % tiles, panels, to)


@serial
def pack_window(
    images: Array,
    channel: int,
    channels: int,
    top: int,
    rows: int,
    left: int,
    columns: int,
    first: int,
    packed: Array,
) -> None:
    """Packs a window of LANES images, (C,H,W,N) -> (channels, rows, columns, LANES) flat.

    Rows and columns outside the images, and images beyond the last, become zero.
    """
    _, H, W, N = images.shape
    flat = images.reshape(-1)
    for c in range(channels):
        to = c * rows * columns * LANES
        pack_plane(flat, (channel + c) * H, H, W, N, top, rows, left, columns, first, packed, to)


@serial
def pack_plane(
    flat: Array,
    start: int,
    H: int,
    W: int,
    N: int,
    top: int,
    rows: int,
    left: int,
    columns: int,
    first: int,
    packed: Array,
    to: int,
) -> None:
    """As pack_window, of one channel, whose first row is row `start` of the flat images.

    A caller that packs one small window after another saves the time of making them flat.
    """
    for h in range(top, top + rows):
        for w in range(left, left + columns):
            inside = (0 <= h < H) & (0 <= w < W)
            at = ((start + h) * W + w) * N + first
            pack_lanes(flat, at if inside else 0, N - first if inside else 0, packed, to)
            to += LANES


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
    sums: Array, rows: int, taps: int, filters: int, add: bool, grads: Array, at: int, step: int
) -> None:
    """Stores a tile of weight gradients, as far as it exists, in rows `step` apart from `at`.

    The tile has `rows` rows, of which `taps` exist.
    """
    for k in range(WGRAD_COLUMNS):
        for i in range(min(rows, taps)):
            place, count = at + i * step + k * LANES, filters - k * LANES
            store_sums(
                sums, (k * rows + i) * LANES, ZERO, -INFINITY, INFINITY, add, grads, place, count
            )
