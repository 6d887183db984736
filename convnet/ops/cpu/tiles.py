"""What the convolutions do around the micro-kernel: packing its operands, storing its sums.

Operands are packed into small contiguous pieces, padded to whole tiles and vectors, so that the
micro-kernel has no special cases and its loads no strides that clash in the cache.
"""

from __future__ import annotations

from numba import prange

from convnet.ops.base import Array
from convnet.ops.cpu.jit import LANES, ZERO, parallel, serial
from convnet.ops.cpu.vectors import ROWS, WGRAD_COLUMNS

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
def pack_grads(grads: Array, first: int, length: int, r: int, panel: Array) -> None:
    """LANES images from `first` of one pixel's gradients (F, N), turned to filters innermost.

    They become rows r .. r + LANES - 1 of each of the panels (F / FILTERS, length, FILTERS).
    """
    F, N = grads.shape
    for f in range(F):
        at = (f // FILTERS * length + r) * FILTERS + f % FILTERS
        for lane in range(LANES):
            inside = first + lane < N
            panel[at + lane * FILTERS] = grads[f, first + lane] if inside else ZERO


@serial
def store_sums(
    sums: Array, at: int, bias: float, low: float, high: float, add: bool, first: int, acts: Array
) -> None:
    """acts = clamp(sums[at:] + bias, or + what acts holds), acts being (N,), from `first` on.

    Clamping to [low, high] is relu, brelu and ident in one; a NaN passes.
    """
    for n in range(first, min(first + LANES, acts.size)):
        y = sums[at + n - first] + bias
        if add:
            y += acts[n]
        y = low if y < low else y
        acts[n] = high if y > high else y


@serial
def add_sums(sums: Array, grads: Array) -> None:
    """Adds a tile of weight gradients, as far as it exists, to grads (taps, filters)."""
    for i in range(min(ROWS, grads.shape[0])):
        for k in range(min(FILTERS, grads.shape[1])):
            grads[i, k] += sums[(k // LANES * ROWS + i) * LANES + k % LANES]
