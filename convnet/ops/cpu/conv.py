"""Convolution with shared filters.

fprop and dgrad are one kernel, the correlation: each target pixel is a sum over a window of
source pixels. The image gradient of a convolution of stride s is s * s interleaved correlations
of stride 1, one for each position of a pixel within the stride. A thread packs LANES images of
a band of rows, zero padding included, which stays in its L2 cache while all filters run over it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange

from convnet.geometry import Window
from convnet.ops.cpu.jit import INFINITY, LANES, ZERO, aligned, parallel
from convnet.ops.cpu.tiles import (
    FILTERS,
    pack_filters,
    pack_window,
    store_grads,
    turn_grads,
)
from convnet.ops.cpu.vectors import (
    FPROP_COLUMNS,
    ROWS,
    WGRAD_COLUMNS,
    fprop_tile,
    prefetch,
    store_sums,
    wgrad_tile,
)
from convnet.ops.roles import Array

BAND_FLOATS = 1 << 17  # packed images of a band: 512 KiB, half of an L2 cache
PARTS = 16  # partial sums of a weight gradient: the most threads that it can use


class _Side(NamedTuple):
    """One dimension of a correlation."""

    start: int  # first target pixel; then every `spacing`-th
    pixels: int  # of the target
    source: int  # source pixel that the first target pixel's first tap meets; may be negative
    taps: list[int]  # filter rows (or columns) in the order of the source pixels they meet


class _Correlation(NamedTuple):
    """Sizes of one correlation, for the kernels. Channels are those of a group."""

    groups: int
    channels: int
    outputs: int  # channels of the target
    step: int  # source pixels between target pixels
    spacing: int  # pixels between target pixels
    top: int  # first target pixel; then how many there are
    left: int
    rows: int
    columns: int
    source_top: int  # source pixel of the first tap of the first target pixel
    source_left: int
    band: int  # target rows that are computed at a time
    packed_rows: int
    packed_columns: int
    weights: Array  # int64: index of each tap's weight, for the first output of group 0
    offsets: Array  # int32: index of each tap in the packed images
    starts: Array  # int64: index of each pixel of a band in the packed images


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
    """acts = clamp(conv(images, filters) + biases); biases (F, 1) or (F, P*Q)."""
    (plan,) = _plans(g, False, images.shape[3], 2 * get_num_threads())
    panels = _panels(plan, filters, g.group_filters, 1)
    _correlate(plan, images, panels, biases, low, high, acts, add, _scratch(plan))


def dgrad(g: Window, filters: Array, acts_grad: Array, images_grad: Array, add: bool) -> None:
    """images_grad = the gradient into the images."""
    biases = np.zeros((g.channels, 1), np.float32)
    for plan in _plans(g, True, acts_grad.shape[3], 2 * get_num_threads()):
        panels = _panels(plan, filters, g.group_filters, g.filter_size**2 * g.filters)
        _correlate(
            plan, acts_grad, panels, biases, -INFINITY, INFINITY, images_grad, add, _scratch(plan)
        )


def wgrad(g: Window, images: Array, acts_grad: Array, filters_grad: Array, add: bool) -> None:
    """filters_grad (taps, F) = the gradient into the filters.

    Summed in the same order with any number of threads.
    """
    N = images.shape[3]
    (plan,) = _plans(g, False, N, PARTS)
    pixels = np.arange(g.out_width, dtype=np.int32)[:, None] * (plan.step * LANES)
    steps = (pixels + np.arange(LANES, dtype=np.int32)).reshape(-1)
    taps = np.zeros(-(-g.taps // ROWS) * ROWS, np.int64)
    taps[: g.taps] = plan.offsets
    tasks = -(-N // LANES) * -(-plan.rows // plan.band)
    parts = np.zeros((min(PARTS, tasks), g.taps, g.filters), np.float32)
    panels = np.empty(
        (get_num_threads(), -(-g.group_filters // FILTERS) * FILTERS * steps.size), np.float32
    )
    _wgrad(plan, images, acts_grad, taps, steps, parts, _scratch(plan), panels)
    add_parts(parts.reshape(len(parts), -1), filters_grad.reshape(-1), add)


def _sides(g: Window, size: int, outputs: int, backward: bool) -> list[_Side]:
    """One dimension of a pass: `size` pixels of the images, `outputs` of the acts."""
    if not backward:
        return [_Side(0, outputs, -g.padding, list(range(g.filter_size)))]
    sides = []
    for start in range(min(g.stride, size)):
        # Pixel h meets output (h + padding - tap) / stride, if that is whole.
        output, tap = divmod(start + g.padding, g.stride)
        taps = list(range(tap, g.filter_size, g.stride))[::-1]
        pixels = len(range(start, size, g.stride))
        sides.append(_Side(start, pixels, output - len(taps) + 1, taps))
    return sides


@lru_cache(maxsize=256)
def _plans(g: Window, backward: bool, cases: int, tasks: int) -> tuple[_Correlation, ...]:
    """The correlations of a pass over `cases` images, in at least `tasks` tasks if possible."""
    return tuple(
        _plan(g, y, x, backward, tasks / (-(-cases // LANES) * g.groups))
        for y in _sides(g, g.height, g.out_height, backward)
        for x in _sides(g, g.width, g.out_width, backward)
    )


def _plan(g: Window, y: _Side, x: _Side, backward: bool, bands: float) -> _Correlation:
    """The correlation of two sides, in at least `bands` bands if there are as many rows."""
    channels, outputs = g.group_channels, g.group_filters
    if backward:
        channels, outputs = outputs, channels
    step, spacing = (1, g.stride) if backward else (g.stride, 1)
    packed_columns = (x.pixels - 1) * step + len(x.taps)
    row_floats = max(1, channels * packed_columns * LANES)
    band = min(
        (BAND_FLOATS // row_floats - len(y.taps)) // step + 1, int(y.pixels / bands), y.pixels
    )
    band = max(band, 1)
    packed_rows = (band - 1) * step + len(y.taps)

    c, i, j = np.ogrid[:channels, : len(y.taps), : len(x.taps)]
    offsets = ((c * packed_rows + i) * packed_columns + j) * LANES
    tap = np.array(y.taps, int)[:, None] * g.filter_size + np.array(x.taps, int)
    weights = tap * g.filters + c if backward else (c * g.filter_size**2 + tap) * g.filters
    i, j = np.ogrid[:band, : x.pixels]
    starts = (i * packed_columns + j) * step * LANES
    return _Correlation(
        groups=g.groups,
        channels=channels,
        outputs=outputs,
        step=step,
        spacing=spacing,
        top=y.start,
        left=x.start,
        rows=y.pixels,
        columns=x.pixels,
        source_top=y.source,
        source_left=x.source,
        band=band,
        packed_rows=packed_rows,
        packed_columns=packed_columns,
        weights=weights.reshape(-1).astype(np.int64),
        offsets=offsets.reshape(-1).astype(np.int32),
        # Padded to whole tiles: the sums of the surplus pixels are dropped.
        starts=np.append(starts, [0] * (FPROP_COLUMNS - 1)).astype(np.int64),
    )


def _panels(plan: _Correlation, filters: Array, group_step: int, step: int) -> Array:
    """The filters packed for the micro-kernel; `step` apart are the weights of two outputs."""
    tiles = plan.groups * -(-plan.outputs // ROWS)
    panels = aligned(tiles * plan.weights.size * ROWS)
    pack_filters(
        filters.reshape(-1), plan.groups, group_step, plan.weights, step, plan.outputs, panels
    )
    return panels


def _scratch(plan: _Correlation) -> Array:
    """Room for the packed images of each thread."""
    size = plan.channels * plan.packed_rows * plan.packed_columns * LANES
    threads = get_num_threads()
    return aligned(threads * size).reshape(threads, size)


@parallel
def _correlate(
    plan: _Correlation,
    source: Array,
    panels: Array,
    biases: Array,
    low: float,
    high: float,
    target: Array,
    add: bool,
    scratch: Array,
) -> None:
    threads, tiles = scratch.shape[0], -(-plan.outputs // ROWS)
    _, H, W, N = target.shape
    flat = target.reshape(-1)
    bands = -(-plan.rows // plan.band)
    tasks = -(-N // LANES) * bands * plan.groups
    for thread in prange(threads):
        packed = scratch[thread]
        sums = np.empty(ROWS * FPROP_COLUMNS * LANES, np.float32)
        places = np.empty(FPROP_COLUMNS, np.int64)
        for task in range(thread, tasks, threads):
            group = task % plan.groups
            top = task // plan.groups % bands * plan.band
            first = task // plan.groups // bands * LANES
            pack_window(
                source,
                group * plan.channels,
                plan.channels,
                plan.source_top + top * plan.step,
                plan.packed_rows,
                plan.source_left,
                plan.packed_columns,
                first,
                packed,
            )
            pixels = min(plan.band, plan.rows - top) * plan.columns
            for tile in range(tiles):
                panel = (group * tiles + tile) * plan.offsets.size * ROWS
                first_output = group * plan.outputs + tile * ROWS
                last_output = min(first_output + ROWS, (group + 1) * plan.outputs)
                for pixel in range(0, pixels, FPROP_COLUMNS):
                    last = min(FPROP_COLUMNS, pixels - pixel)
                    for j in range(last):
                        h = plan.top + (top + (pixel + j) // plan.columns) * plan.spacing
                        w = plan.left + (pixel + j) % plan.columns * plan.spacing
                        places[j] = h * W + w
                        for f in range(first_output, last_output):
                            prefetch(flat, (f * H * W + places[j]) * N + first)
                    fprop_tile(panels, panel, packed, plan.starts, pixel, plan.offsets, sums, 0)
                    for j in range(last):
                        for f in range(first_output, last_output):
                            store_sums(
                                sums,
                                ((f - first_output) * FPROP_COLUMNS + j) * LANES,
                                biases[f, places[j] if biases.shape[1] > 1 else 0],
                                low,
                                high,
                                add,
                                flat,
                                (f * H * W + places[j]) * N + first,
                                N - first,
                            )


@parallel
def _wgrad(
    plan: _Correlation,
    images: Array,
    acts_grad: Array,
    taps: Array,
    steps: Array,
    parts: Array,
    scratch: Array,
    panels: Array,
) -> None:
    """Sums of tasks (LANES images, a band of rows) into parts (parts, taps, F).

    `taps` holds the index of each tap in the packed images and `steps` that of each pixel of a
    row and image.
    """
    threads, length = scratch.shape[0], steps.size
    F, P, Q, N = acts_grad.shape
    T = parts.shape[1]
    parts_flat = parts.reshape(-1)
    bands = -(-P // plan.band)
    tasks = -(-N // LANES) * bands
    for thread in prange(threads):
        packed, panel = scratch[thread], panels[thread]
        rows = np.empty(plan.outputs * (Q + 1) * LANES, np.float32)
        sums = np.empty(ROWS * WGRAD_COLUMNS * LANES, np.float32)
        for part in range(thread, parts.shape[0], threads):
            for task in range(part, tasks, parts.shape[0]):
                top, first = task % bands * plan.band, task // bands * LANES
                for group in range(plan.groups):
                    pack_window(
                        images,
                        group * plan.channels,
                        plan.channels,
                        plan.source_top + top * plan.step,
                        plan.packed_rows,
                        plan.source_left,
                        plan.packed_columns,
                        first,
                        packed,
                    )
                    for row in range(min(plan.band, P - top)):
                        # One column more, zero, keeps rows apart in the cache.
                        filter_ = group * plan.outputs
                        pack_window(
                            acts_grad, filter_, plan.outputs, top + row, 1, 0, Q + 1, first, rows
                        )
                        turn_grads(rows, (Q + 1) * LANES, plan.outputs, length, panel)
                        shifted = packed[row * plan.step * plan.packed_columns * LANES :]
                        for k in range(0, plan.outputs, FILTERS):
                            for t in range(0, T, ROWS):
                                wgrad_tile(panel, k * length, shifted, taps, t, steps, sums, 0)
                                place = (part * T + t) * F + group * plan.outputs + k
                                store_grads(
                                    sums, ROWS, T - t, plan.outputs - k, True, parts_flat, place, F
                                )


@parallel
def add_parts(parts: Array, total: Array, add: bool) -> None:
    """total = sum of parts, (parts, size)."""
    for i in prange(total.size):
        result = total[i] if add else ZERO
        for part in range(parts.shape[0]):
            result += parts[part, i]
        total[i] = result
