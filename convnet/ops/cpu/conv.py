"""Convolution with shared filters.

fprop and dgrad are one kernel, the correlation: each target pixel is a sum over a window of
source pixels. The image gradient of a convolution of stride s is s * s interleaved correlations
of stride 1, one for each position of a pixel within the stride. A thread packs LANES images of
a band of rows, zero padding included, which stays in its L2 cache while all filters run over it:
all channels, or a block of them after another, whose sums are added up in the target.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange

from convnet.geometry import Side, Window
from convnet.ops.cpu.jit import INFINITY, LANES, ZERO, aligned, parallel
from convnet.ops.cpu.tiles import (
    FILTERS,
    pack_filters,
    pack_plane,
    pack_window,
    store_grads,
    turn_grads,
)
from convnet.ops.cpu.vectors import (
    FPROP_COLUMNS,
    ROWS,
    WGRAD_COLUMNS,
    fprop_tile,
    store_sums,
    store_tile,
    wgrad_tile,
)
from convnet.ops.roles import Array

BAND_FLOATS = 1 << 17  # packed images of a band: 512 KiB, half of an L2 cache
PIXELS = 48  # of a band, at least: few tiles are left with columns unused
PARTS = 16  # tasks of a weight gradient, at least, each with sums of its own


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
    block: int  # channels that are computed at a time
    packed_rows: int
    packed_columns: int
    weights: Array  # int64: index of each tap's weight, for the first output of group 0
    offsets: Array  # int32: index of each tap of a block of channels in the packed images
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
        panels = _panels(plan, filters, g.group_filters, g.filter_pixels * g.filters)
        _correlate(
            plan, acts_grad, panels, biases, -INFINITY, INFINITY, images_grad, add, _scratch(plan)
        )


def wgrad(g: Window, images: Array, acts_grad: Array, filters_grad: Array, add: bool) -> None:
    """filters_grad (taps, F) = the gradient into the filters.

    Summed in the same order with any number of threads.
    """
    N = images.shape[3]
    (plan,) = _plans(g, False, N, inf)
    rows, pixels = np.ogrid[: plan.band, : g.out_width]
    pixels = (rows * plan.packed_columns + pixels) * (plan.step * LANES)
    steps = (pixels[..., None] + np.arange(LANES)).reshape(-1).astype(np.int32)
    starts = np.append(plan.offsets, [0] * (ROWS - 1)).astype(np.int64)
    tasks = g.groups * -(-plan.channels // plan.block)
    count = min(-(-PARTS // tasks), -(-N // LANES) * -(-plan.rows // plan.band))
    parts = np.empty((count, g.taps, g.filters), np.float32)
    _wgrad(plan, images, acts_grad, starts, steps, parts)
    add_parts(parts.reshape(count, -1), filters_grad.reshape(-1), add)


def _sides(g: Side, backward: bool) -> list[_Side]:
    """One dimension of a pass."""
    if not backward:
        return [_Side(0, g.outputs, -g.padding, list(range(g.filter_size)))]
    sides = []
    for start in range(min(g.stride, g.pixels)):
        # Pixel h meets output (h + padding - tap) / stride, if that is whole.
        output, tap = divmod(start + g.padding, g.stride)
        taps = list(range(tap, g.filter_size, g.stride))[::-1]
        pixels = len(range(start, g.pixels, g.stride))
        sides.append(_Side(start, pixels, output - len(taps) + 1, taps))
    return sides


@lru_cache(maxsize=256)
def _plans(g: Window, backward: bool, cases: int, tasks: float) -> tuple[_Correlation, ...]:
    """The correlations of a pass over `cases` images, in at least `tasks` tasks if possible."""
    return tuple(
        _plan(g, y, x, backward, tasks / (-(-cases // LANES) * g.groups))
        for y in _sides(g.rows, backward)
        for x in _sides(g.columns, backward)
    )


def _plan(g: Window, y: _Side, x: _Side, backward: bool, bands: float) -> _Correlation:
    """The correlation of two sides, in at least `bands` bands if there are as many rows."""
    channels, outputs = g.group_channels, g.group_filters
    if backward:
        channels, outputs = outputs, channels
    step, spacing = (1, g.stride) if backward else (g.stride, 1)
    packed_columns = (x.pixels - 1) * step + len(x.taps)
    row_floats = max(1, channels * packed_columns * LANES)
    band = min((BAND_FLOATS // row_floats - len(y.taps)) // step + 1, int(y.pixels / bands))
    band = min(max(band, -(-PIXELS // x.pixels)), y.pixels)
    packed_rows = (band - 1) * step + len(y.taps)
    # Whatever the number of tasks, which only makes bands smaller that hold all channels.
    blocks = max(1, -(-packed_rows * row_floats // BAND_FLOATS))
    block = -(-channels // blocks)

    c, i, j = np.ogrid[:channels, : len(y.taps), : len(x.taps)]
    offsets = ((c[:block] * packed_rows + i) * packed_columns + j) * LANES
    tap = np.array(y.taps, int)[:, None] * g.columns.filter_size + np.array(x.taps, int)
    weights = tap * g.filters + c if backward else (c * g.filter_pixels + tap) * g.filters
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
        block=block,
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
    size = plan.block * plan.packed_rows * plan.packed_columns * LANES
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
    flat, shared, none = target.reshape(-1), biases[:, 0].copy(), np.zeros_like(biases[:, 0])
    bands = -(-plan.rows // plan.band)
    tasks = -(-N // LANES) * bands * plan.groups
    share = -(-tiles // -(-threads // tasks))  # of the tiles, for tasks that are too few
    shares = -(-tiles // share)
    taps = plan.weights.size // max(1, plan.channels)
    for thread in prange(threads):
        packed = scratch[thread]
        sums = np.empty(ROWS * FPROP_COLUMNS * LANES, np.float32)
        places = np.empty(FPROP_COLUMNS, np.int64)
        for task in range(thread, tasks * shares, threads):
            group = task // shares % plan.groups
            top = task // (shares * plan.groups) % bands * plan.band
            first = task // (shares * plan.groups * bands) * LANES
            begin = task % shares * share
            pixels = min(plan.band, plan.rows - top) * plan.columns
            for channel in range(0, plan.channels, plan.block):
                channels = min(plan.block, plan.channels - channel)
                is_last = channel + channels == plan.channels
                lowest, highest = (low, high) if is_last else (-INFINITY, INFINITY)
                more = add or channel > 0
                pack_window(
                    source,
                    group * plan.channels + channel,
                    channels,
                    plan.source_top + top * plan.step,
                    plan.packed_rows,
                    plan.source_left,
                    plan.packed_columns,
                    first,
                    packed,
                )
                offsets = plan.offsets[: channels * taps]
                for tile in range(begin, min(begin + share, tiles)):
                    panel = (group * tiles + tile) * plan.weights.size + channel * taps
                    first_output = group * plan.outputs + tile * ROWS
                    last_output = min(first_output + ROWS, (group + 1) * plan.outputs)
                    for pixel in range(0, pixels, FPROP_COLUMNS):
                        last = min(FPROP_COLUMNS, pixels - pixel)
                        for j in range(last):
                            h = plan.top + (top + (pixel + j) // plan.columns) * plan.spacing
                            w = plan.left + (pixel + j) % plan.columns * plan.spacing
                            places[j] = (h * W + w) * N
                        fprop_tile(
                            panels, panel * ROWS, packed, plan.starts, pixel, offsets, sums, 0
                        )
                        to = first_output * H * W * N + first
                        whole = (
                            last == FPROP_COLUMNS
                            and last_output - first_output == ROWS
                            and N - first >= LANES
                        )
                        if whole and biases.shape[1] == 1:
                            store_tile(
                                sums,
                                shared if is_last else none,
                                first_output,
                                lowest,
                                highest,
                                more,
                                flat,
                                to,
                                H * W * N,
                                places,
                            )
                            continue
                        for j in range(last):
                            for f in range(first_output, last_output):
                                bias = biases[f, places[j] // N if biases.shape[1] > 1 else 0]
                                store_sums(
                                    sums,
                                    ((f - first_output) * FPROP_COLUMNS + j) * LANES,
                                    bias if is_last else ZERO,
                                    lowest,
                                    highest,
                                    more,
                                    flat,
                                    to + (f - first_output) * H * W * N + places[j],
                                    N - first,
                                )


@parallel
def _wgrad(
    plan: _Correlation, images: Array, acts_grad: Array, starts: Array, steps: Array, parts: Array
) -> None:
    """Sums of tasks (LANES images, a band of rows) into parts (parts, taps, F).

    `starts` holds the index of each tap of a block of channels in the packed images and `steps`
    that of each pixel of a band and image.
    """
    F, P, Q, N = acts_grad.shape
    count, T = parts.shape[:2]
    flat, grads = parts.reshape(-1), acts_grad.reshape(-1)
    bands, blocks = -(-P // plan.band), -(-plan.channels // plan.block)
    taps = plan.weights.size // plan.channels
    most = steps.size
    for task in prange(count * plan.groups * blocks):
        part, group = task % count, task // count % plan.groups
        channel = task // (count * plan.groups) * plan.block
        channels = min(plan.block, plan.channels - channel)
        packed = np.empty(plan.block * plan.packed_rows * plan.packed_columns * LANES, np.float32)
        # A vector more keeps rows apart in the cache.
        rows = np.empty(plan.outputs * (most + LANES), np.float32)
        panel = np.empty(-(-plan.outputs // FILTERS) * FILTERS * most, np.float32)
        sums = np.empty(ROWS * WGRAD_COLUMNS * LANES, np.float32)
        for piece in range(part, -(-N // LANES) * bands, count):
            top, first = piece % bands * plan.band, piece // bands * LANES
            pack_window(
                images,
                group * plan.channels + channel,
                channels,
                plan.source_top + top * plan.step,
                plan.packed_rows,
                plan.source_left,
                plan.packed_columns,
                first,
                packed,
            )
            height = min(plan.band, P - top)
            length = height * Q * LANES
            for f in range(plan.outputs):
                plane, to = (group * plan.outputs + f) * P, f * (most + LANES)
                pack_plane(grads, plane, P, Q, N, top, height, 0, Q, first, rows, to)
            turn_grads(rows, most + LANES, plan.outputs, length, panel)
            for k in range(0, plan.outputs, FILTERS):
                for t in range(0, channels * taps, ROWS):
                    wgrad_tile(panel, k * length, packed, starts, t, steps[:length], sums, 0)
                    row, column = part * T + channel * taps + t, group * plan.outputs + k
                    store_grads(
                        sums,
                        ROWS,
                        channels * taps - t,
                        plan.outputs - k,
                        piece >= count,
                        flat,
                        row * F + column,
                        F,
                    )


@parallel
def add_parts(parts: Array, total: Array, add: bool) -> None:
    """total = sum of parts, (parts, size)."""
    for i in prange(total.size):
        result = total[i] if add else ZERO
        for part in range(parts.shape[0]):
            result += parts[part, i]
        total[i] = result
