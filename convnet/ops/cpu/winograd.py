"""Convolutions of stride 1 with fewer multiplications: convnet.ops.winograd says how and why."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange

from convnet.geometry import Window
from convnet.ops.cpu.jit import INFINITY, LANES, ZERO, aligned, parallel, serial
from convnet.ops.cpu.tiles import FILTERS, pack_lanes, pack_plane, store_grads, turn_grads
from convnet.ops.cpu.vectors import (
    FPROP_COLUMNS,
    ROWS,
    WGRAD_COLUMNS,
    fprop_tile,
    matrix_transform,
    store_sums,
    wgrad_tile,
)
from convnet.ops.roles import Array
from convnet.ops.winograd import POINTS, SIDE, SIZES, matrices

_A3, _G3, _B = matrices(3)
_A5, _G5, _ = matrices(5)
_source_to_points = matrix_transform(_B)
_acts_from_points_3, _acts_from_points_5 = matrix_transform(_A3.T), matrix_transform(_A5.T)
_filters_to_points_3, _filters_to_points_5 = matrix_transform(_G3), matrix_transform(_G5)
_filters_from_points_3, _filters_from_points_5 = matrix_transform(_G3.T), matrix_transform(_G5.T)
_grads_to_points_3, _grads_to_points_5 = matrix_transform(_A3), matrix_transform(_A5)

GAP = LANES  # floats between the points of a tile: else all would share one set of the cache
BLOCK_FLOATS = 1 << 19  # transformed tiles of a block: 2 MiB
TRANSFORM = 25  # multiplications of vectors that last as long as a channel's part in one point
WGRAD_FLOATS = 1 << 22  # the same in the weight gradient, for all threads: 16 MiB


class _Tiling(NamedTuple):
    """Sizes of one convolution by tiles, for the kernels. Channels are those of a group."""

    size: int  # of the filters
    groups: int
    channels: int  # of the source
    outputs: int  # channels of the target
    padding: int  # of the source
    outer: int  # target pixels along a tile
    down: int  # tiles
    across: int
    units: int  # tiles of LANES images in all
    block: int  # of them that a task treats at a time


def is_faster(g: Window) -> bool:
    """Whether the convolution is for this method, by the multiplications of vectors it needs.

    Beside those of the products it pays for taking each channel to the points or back.
    """
    if g.stride != 1 or g.filter_size not in SIZES:
        return False
    outer = SIDE + 1 - g.filter_size
    tiles = -(-g.out_height // outer) * -(-g.out_width // outer)
    C, F = g.group_channels, g.group_filters
    by_tiles = tiles * POINTS * (C * F + TRANSFORM * (C + F))
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
    t = _tiling(g, False, acts)
    _correlate(t, images, _points_of(t, filters, False), biases, low, high, acts, add, _scratch(t))


def dgrad(g: Window, filters: Array, acts_grad: Array, images_grad: Array, add: bool) -> None:
    """As convnet.ops.cpu.conv.dgrad."""
    t = _tiling(g, True, images_grad)
    points, biases = _points_of(t, filters, True), np.zeros((g.channels, 1), np.float32)
    _correlate(t, acts_grad, points, biases, -INFINITY, INFINITY, images_grad, add, _scratch(t))


def wgrad(g: Window, images: Array, acts_grad: Array, filters_grad: Array, add: bool) -> None:
    """As convnet.ops.cpu.conv.wgrad."""
    t = _tiling(g, False, acts_grad)
    channels, filters = t.groups * t.channels, t.groups * t.outputs
    # Results must not depend on the number of threads, and so the blocks must not either.
    block = max(4, WGRAD_FLOATS // (POINTS * LANES * (channels + filters)))
    t = t._replace(block=min(block, t.units))
    lanes, width = t.block * LANES, -(-t.outputs // FILTERS) * FILTERS
    inputs, grads = (aligned(POINTS * (n * lanes + GAP)) for n in (channels, filters))
    panels = np.empty((get_num_threads(), width * lanes), np.float32)
    starts = np.append(np.arange(t.channels) * lanes, [0] * (ROWS - 1)).astype(np.int64)
    steps = np.arange(lanes, dtype=np.int32)
    points = np.empty((t.groups, POINTS, t.channels, width), np.float32)
    for begin in range(0, t.units, t.block):
        _transform(t, images, acts_grad, begin, inputs, grads)
        used = steps[: min(t.block, t.units - begin) * LANES]
        _multiply(t, inputs, grads, starts, used, begin > 0, panels, points)
    _filters_from_points(t, points, filters_grad, add)


def _tiling(g: Window, backward: bool, target: Array) -> _Tiling:
    channels, outputs, padding = g.group_channels, g.group_filters, g.padding
    if backward:
        channels, outputs, padding = outputs, channels, g.filter_size - 1 - padding
    outer = SIDE + 1 - g.filter_size
    _, height, width, images = target.shape
    down, across = -(-height // outer), -(-width // outer)
    units = down * across * -(-images // LANES)
    room = BLOCK_FLOATS // (POINTS * LANES * (channels + outputs) * FPROP_COLUMNS)
    share = -(-units // (2 * get_num_threads() * FPROP_COLUMNS))
    block = max(1, min(room, share, 4)) * FPROP_COLUMNS
    return _Tiling(
        g.filter_size, g.groups, channels, outputs, padding, outer, down, across, units, block
    )


def _points_of(t: _Tiling, filters: Array, backward: bool) -> Array:
    """Transformed filters, as panels (groups, POINTS, tiles of ROWS outputs, channels, ROWS)."""
    tiles = -(-t.outputs // ROWS)
    points = aligned(t.groups * POINTS * tiles * t.channels * ROWS)
    if t.outputs % ROWS:
        points.fill(0)
    _filters_to_points(t, filters, backward, points)
    return points


def _scratch(t: _Tiling) -> Array:
    """Room for the transformed source and target of a block, for each thread."""
    outputs = -(-t.outputs // ROWS) * ROWS
    size = POINTS * ((t.channels + outputs) * t.block * LANES + 2 * GAP)
    threads = get_num_threads()
    return aligned(threads * size).reshape(threads, size)


@parallel
def _filters_to_points(t: _Tiling, filters: Array, backward: bool, points: Array) -> None:
    taps = t.size * t.size
    depth, width = (t.outputs, t.channels) if backward else (t.channels, t.outputs)
    tiles, blocks = -(-t.outputs // ROWS), -(-depth // ROWS)
    F = filters.shape[1]
    flat = filters.reshape(-1)
    for task in prange(t.groups * blocks):
        group, start = task // blocks, task % blocks * ROWS
        count = min(ROWS, depth - start)
        lanes = np.empty(taps * LANES, np.float32)
        results = np.empty(ROWS * POINTS * LANES, np.float32)
        for f in range(0, width, LANES):
            for i in range(count):
                for tap in range(taps):
                    # Turned round for the image gradient.
                    row = (start + i) * taps + (taps - 1 - tap if backward else tap)
                    at = row * F + group * width + f
                    pack_lanes(flat, at, width - f, lanes, tap * LANES)
                to = i * POINTS * LANES
                if t.size == 3:
                    _filters_to_points_3(lanes, 0, 3 * LANES, LANES, results, to, LANES)
                else:
                    _filters_to_points_5(lanes, 0, 5 * LANES, LANES, results, to, LANES)
            for point in range(POINTS):
                panels = (group * POINTS + point) * tiles * t.channels * ROWS
                for lane in range(min(LANES, width - f)):
                    for i in range(count):
                        output, channel = f + lane, start + i
                        if backward:
                            output, channel = channel, output
                        place = (output // ROWS * t.channels + channel) * ROWS + output % ROWS
                        points[panels + place] = results[(i * POINTS + point) * LANES + lane]


@serial
def _find_places(t: _Tiling, begin: int, places: Array) -> int:
    """places (.., 3) = first image and first target pixel, row and column, of tiles from `begin`.

    Returns how many there are.
    """
    count = min(len(places), t.units - begin)
    images = t.units // (t.across * t.down)
    for i in range(count):
        tile = (begin + i) // images  # neighbours in memory follow one another
        places[i, 0] = (begin + i) % images * LANES
        places[i, 1] = tile // t.across * t.outer
        places[i, 2] = tile % t.across * t.outer
    return count


@serial
def _transform_channel(
    t: _Tiling,
    flat: Array,
    shape: tuple[int, int, int, int],
    channel: int,
    places: Array,
    edge: Array,
    points: Array,
    to: int,
    step: int,
) -> None:
    """The points of a channel's tiles, LANES numbers each, side by side; `step` between points.

    `flat` holds the source, of `shape`; `edge` is room for a tile that does not lie in it wholly.
    """
    _, H, W, N = shape
    for i in range(len(places)):
        first, top, left = places[i, 0], places[i, 1] - t.padding, places[i, 2] - t.padding
        inside = (top >= 0) & (left >= 0) & (top + SIDE <= H) & (left + SIDE <= W)
        if inside & (first + LANES <= N):
            at = ((channel * H + top) * W + left) * N + first
            _source_to_points(flat, at, W * N, N, points, to, step)
        else:
            pack_plane(flat, channel * H, H, W, N, top, SIDE, left, SIDE, first, edge, 0)
            _source_to_points(edge, 0, SIDE * LANES, LANES, points, to, step)
        to += LANES


@parallel
def _correlate(
    t: _Tiling,
    source: Array,
    points: Array,
    biases: Array,
    low: float,
    high: float,
    target: Array,
    add: bool,
    scratch: Array,
) -> None:
    threads, tiles = scratch.shape[0], -(-t.outputs // ROWS)
    _, H, W, N = target.shape
    flat_source, flat = source.reshape(-1), target.reshape(-1)
    columns = t.block // FPROP_COLUMNS
    step_in = t.channels * t.block * LANES + GAP  # from point to point
    step_out = tiles * columns * ROWS * FPROP_COLUMNS * LANES + GAP
    offsets = (np.arange(t.channels) * (t.block * LANES)).astype(np.int32)
    starts = np.arange(t.block) * LANES
    blocks = -(-t.units // t.block)
    for thread in prange(threads):
        inputs, sums = scratch[thread, : POINTS * step_in], scratch[thread, POINTS * step_in :]
        edge = np.empty(POINTS * LANES, np.float32)
        pixels = np.empty(POINTS * LANES, np.float32)
        places = np.empty((t.block, 3), np.int64)
        for task in range(thread, blocks * t.groups, threads):
            group, begin = task % t.groups, task // t.groups * t.block
            count = _find_places(t, begin, places)
            for c in range(t.channels):
                _transform_channel(
                    t, flat_source, source.shape, group * t.channels + c, places[:count], edge,
                    inputs, c * t.block * LANES, step_in,
                )  # fmt: skip
            for point in range(POINTS):
                here = inputs[point * step_in :]
                for tile in range(tiles):
                    panel = ((group * POINTS + point) * tiles + tile) * t.channels * ROWS
                    for column in range(-(-count // FPROP_COLUMNS)):
                        at = (tile * columns + column) * ROWS * FPROP_COLUMNS * LANES
                        fprop_tile(
                            points, panel, here, starts, column * FPROP_COLUMNS, offsets,
                            sums, point * step_out + at,
                        )  # fmt: skip
            for f in range(t.outputs):
                output = group * t.outputs + f
                for unit in range(count):
                    first, top, left = places[unit, 0], places[unit, 1], places[unit, 2]
                    row = (f // ROWS * columns + unit // FPROP_COLUMNS) * ROWS + f % ROWS
                    at = (row * FPROP_COLUMNS + unit % FPROP_COLUMNS) * LANES
                    if t.size == 3:
                        _acts_from_points_3(sums, at, SIDE * step_out, step_out, pixels, 0, LANES)
                    else:
                        _acts_from_points_5(sums, at, SIDE * step_out, step_out, pixels, 0, LANES)
                    for i in range(min(t.outer, H - top)):
                        for j in range(min(t.outer, W - left)):
                            place = (top + i) * W + left + j
                            store_sums(
                                pixels,
                                (i * t.outer + j) * LANES,
                                biases[output, place if biases.shape[1] > 1 else 0],
                                low,
                                high,
                                add,
                                flat,
                                (output * H * W + place) * N + first,
                                N - first,
                            )


@parallel
def _transform(
    t: _Tiling, images: Array, acts_grad: Array, begin: int, inputs: Array, grads: Array
) -> None:
    """The points (POINTS, channels, tiles, LANES) of a block of tiles, and of their gradients."""
    C, (F, P, Q, N) = images.shape[0], acts_grad.shape
    flat_images, flat_grads = images.reshape(-1), acts_grad.reshape(-1)
    places = np.empty((t.block, 3), np.int64)
    count, lanes = _find_places(t, begin, places), t.block * LANES
    step = F * lanes + GAP
    for channel in prange(C + F):
        edge = np.empty(POINTS * LANES, np.float32)
        if channel < C:
            _transform_channel(
                t, flat_images, images.shape, channel, places[:count], edge, inputs,
                channel * lanes, C * lanes + GAP,
            )  # fmt: skip
        else:
            for unit in range(count):
                first, top, left = places[unit, 0], places[unit, 1], places[unit, 2]
                to = (channel - C) * lanes + unit * LANES
                pack_plane(
                    flat_grads, (channel - C) * P, P, Q, N, top, t.outer, left, t.outer, first,
                    edge, 0,
                )  # fmt: skip
                if t.size == 3:
                    _grads_to_points_3(edge, 0, t.outer * LANES, LANES, grads, to, step)
                else:
                    _grads_to_points_5(edge, 0, t.outer * LANES, LANES, grads, to, step)


@parallel
def _multiply(
    t: _Tiling,
    inputs: Array,
    grads: Array,
    starts: Array,
    steps: Array,
    add: bool,
    panels: Array,
    points: Array,
) -> None:
    """points (groups, POINTS, channels, filters) = or += the products of a block.

    `starts` holds the index of each channel among `inputs`, `steps` that of its numbers.
    """
    threads, width, lanes = panels.shape[0], points.shape[3], t.block * LANES
    channels, filters = t.groups * t.channels, t.groups * t.outputs
    flat = points.reshape(-1)
    for thread in prange(threads):
        panel = panels[thread]
        sums = np.empty(ROWS * WGRAD_COLUMNS * LANES, np.float32)
        for task in range(thread, t.groups * POINTS, threads):
            group, point = task // POINTS, task % POINTS
            images = inputs[point * (channels * lanes + GAP) + group * t.channels * lanes :]
            rows = grads[point * (filters * lanes + GAP) + group * t.outputs * lanes :]
            turn_grads(rows, lanes, t.outputs, steps.size, panel)
            for f in range(0, t.outputs, FILTERS):
                for c in range(0, t.channels, ROWS):
                    wgrad_tile(panel, f * steps.size, images, starts, c, steps, sums, 0)
                    place = (task * t.channels + c) * width + f
                    store_grads(sums, t.channels - c, FILTERS, add, flat, place, width)


@parallel
def _filters_from_points(t: _Tiling, points: Array, filters_grad: Array, add: bool) -> None:
    taps, F, width = t.size * t.size, filters_grad.shape[1], points.shape[3]
    flat, grads = points.reshape(-1), filters_grad.reshape(-1)
    step = t.channels * width
    for gc in prange(t.groups * t.channels):
        group, c = gc // t.channels, gc % t.channels
        lanes = np.empty(taps * LANES, np.float32)
        for f in range(0, t.outputs, LANES):
            at = (group * POINTS * t.channels + c) * width + f
            if t.size == 3:
                _filters_from_points_3(flat, at, SIDE * step, step, lanes, 0, LANES)
            else:
                _filters_from_points_5(flat, at, SIDE * step, step, lanes, 0, LANES)
            for tap in range(taps):
                place = (c * taps + tap) * F + group * t.outputs + f
                store_sums(
                    lanes, tap * LANES, ZERO, -INFINITY, INFINITY, add, grads, place, t.outputs - f
                )
