"""The weight gradient by Winograd's method; see convnet.ops.winograd."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange

from convnet.geometry import Window
from convnet.ops.cpu.jit import INFINITY, LANES, ZERO, aligned, parallel, serial
from convnet.ops.cpu.tiles import FILTERS, store_grads
from convnet.ops.cpu.vectors import (
    COLOURS,
    ROWS,
    WGRAD_COLUMNS,
    colours_tile,
    matrix_transform,
    store_sums,
    wgrad_tile,
)
from convnet.ops.cpu.winograd_points import (
    GAP,
    OUTER,
    Tiling,
    find_places,
    grads_to_points,
    source_to_points,
    tiling,
)
from convnet.ops.roles import Array
from convnet.ops.winograd import SIZES, matrices

_filters_from_points_3 = matrix_transform(matrices(3, OUTER + 2)[1].T)
_filters_from_points_5 = matrix_transform(matrices(5, OUTER + 4)[1].T)

PARTS = 8  # partial sums of a small layer: the most threads that it can use
PARTS_FLOATS = 1 << 21  # the most of them all: 8 MiB
CACHE_FLOATS = 1 << 17  # transformed tiles that stay in a cache: 512 KiB, half of an L2 cache
BLOCK_FLOATS = 1 << 22  # transformed tiles of a block of a large layer: 16 MiB
ROOM = LANES * max(OUTER * OUTER * LANES, (OUTER + max(SIZES) - 1) ** 2)  # floats


class _Block(NamedTuple):
    """Tiles that are taken to the points and multiplied together."""

    units: int
    width: int  # filters, rounded up to whole vectors of a tile of sums
    inputs: int  # numbers from point to point, among the inputs (points, channels, units, LANES)
    panels: int  # and among the gradients (points, width / FILTERS, units * LANES, FILTERS)


def wgrad(g: Window, images: Array, acts_grad: Array, filters_grad: Array, add: bool) -> None:
    """As convnet.ops.cpu.conv.wgrad.

    The sums of a small layer fit into a cache: a thread takes tiles of its own to the points and
    multiplies them there. With a large one, all threads take a block of tiles to the points, and
    then each multiplies them at points of its own. Neither order of sums depends on the number
    of threads.
    """
    t = tiling(g, False, acts_grad)
    width = -(-t.outputs // FILTERS) * FILTERS
    unit_floats = t.points * LANES * (t.channels + width)
    small = PARTS * t.groups * t.points * t.channels * width <= PARTS_FLOATS
    share = -(-t.units // PARTS) if small else t.units
    units = max(4, CACHE_FLOATS // unit_floats) if small else max(4, BLOCK_FLOATS // unit_floats)
    units = min(units, share)
    block = _Block(units, width, t.channels * units * LANES + GAP, width * units * LANES + GAP)
    copies, threads = get_num_threads() if small else 1, get_num_threads()
    inputs = aligned(copies * t.points * block.inputs).reshape(copies, -1)
    panels = aligned(copies * t.points * block.panels).reshape(copies, -1)
    parts = np.empty((-(-t.units // share), t.groups, t.points, t.channels, width), np.float32)
    starts = np.append(np.arange(t.channels) * units * LANES, [0] * (ROWS - 1)).astype(np.int64)
    steps = np.arange(units * LANES, dtype=np.int32)
    if small:
        _sum_parts(t, block, images, acts_grad, share, starts, steps, inputs, panels, parts)
    else:
        for group in range(t.groups):
            for begin in range(0, t.units, units):
                _transform(t, block, images, acts_grad, group, begin, threads, inputs, panels)
                used = steps[: min(units, t.units - begin) * LANES]
                _multiply(
                    t, block, inputs, panels, starts, used, begin > 0, threads, parts[0, group]
                )
    _filters_from_points(t, parts, filters_grad, add)


@serial
def _transform_units(
    t: Tiling,
    block: _Block,
    flat_images: Array,
    images_shape: tuple[int, int, int, int],
    flat_grads: Array,
    grads_shape: tuple[int, int, int, int],
    group: int,
    places: Array,
    first: int,
    last: int,
    room: Array,
    inputs: Array,
    panels: Array,
) -> None:
    """Takes tiles first .. last - 1 of a block, of the images and of the gradients, to the points.

    Channel by channel, since the pixels of neighbouring tiles are neighbours in memory.
    """
    for c in range(t.channels):
        source_to_points(
            t, flat_images, images_shape, group * t.channels + c, places[first:last], room[0],
            inputs, (c * block.units + first) * LANES, block.inputs,
        )  # fmt: skip
    for f in range(0, block.width, LANES):
        for unit in range(first, last):
            to = (f // FILTERS * block.units + unit) * LANES * FILTERS + f % FILTERS
            grads_to_points(
                t, flat_grads, grads_shape, group * t.outputs + f, min(LANES, t.outputs - f),
                places[unit], room[1], room[2], panels, to, block.panels,
            )  # fmt: skip


@serial
def _multiply_at(
    t: Tiling,
    block: _Block,
    point: int,
    inputs: Array,
    panels: Array,
    starts: Array,
    steps: Array,
    add: bool,
    sums: Array,
    points: Array,
    at: int,
) -> None:
    """points[at:] (t.points, channels, width) = or += the products of a block at a point.

    `starts` holds the index of each channel among the inputs, `steps` that of its numbers.
    """
    images = inputs[point * block.inputs :]
    rows = COLOURS if t.channels <= COLOURS else ROWS
    for f in range(0, block.width, FILTERS):
        panel = point * block.panels + f * block.units * LANES
        for c in range(0, t.channels, rows):
            if rows == COLOURS:
                colours_tile(panels, panel, images, starts, c, steps, sums, 0)
            else:
                wgrad_tile(panels, panel, images, starts, c, steps, sums, 0)
            place = at + (point * t.channels + c) * block.width + f
            store_grads(sums, rows, t.channels - c, FILTERS, add, points, place, block.width)


@parallel
def _sum_parts(
    t: Tiling,
    block: _Block,
    images: Array,
    acts_grad: Array,
    share: int,
    starts: Array,
    steps: Array,
    inputs: Array,
    panels: Array,
    parts: Array,
) -> None:
    """parts (parts, groups, points, channels, width), each of `share` tiles."""
    threads = inputs.shape[0]
    flat_images, flat_grads, flat = images.reshape(-1), acts_grad.reshape(-1), parts.reshape(-1)
    size = t.points * t.channels * block.width
    for thread in prange(threads):
        room = np.zeros((3, ROOM), np.float32)
        sums = np.empty(ROWS * WGRAD_COLUMNS * LANES, np.float32)
        places = np.empty((block.units, 3), np.int64)
        for task in range(thread, parts.shape[0] * t.groups, threads):
            first, group = task // t.groups * share, task % t.groups
            last = min(first + share, t.units)
            for begin in range(first, last, block.units):
                count = min(find_places(t, begin, places), last - begin)
                _transform_units(
                    t, block, flat_images, images.shape, flat_grads, acts_grad.shape, group,
                    places, 0, count, room, inputs[thread], panels[thread],
                )  # fmt: skip
                for point in range(t.points):
                    _multiply_at(
                        t, block, point, inputs[thread], panels[thread], starts,
                        steps[: count * LANES], begin > first, sums, flat, task * size,
                    )  # fmt: skip


@parallel
def _transform(
    t: Tiling,
    block: _Block,
    images: Array,
    acts_grad: Array,
    group: int,
    begin: int,
    threads: int,
    inputs: Array,
    panels: Array,
) -> None:
    flat_images, flat_grads = images.reshape(-1), acts_grad.reshape(-1)
    places = np.empty((block.units, 3), np.int64)
    count = find_places(t, begin, places)
    for thread in prange(threads):
        room = np.zeros((3, ROOM), np.float32)
        _transform_units(
            t, block, flat_images, images.shape, flat_grads, acts_grad.shape, group,
            places, count * thread // threads, count * (thread + 1) // threads, room,
            inputs[0], panels[0],
        )  # fmt: skip


@parallel
def _multiply(
    t: Tiling,
    block: _Block,
    inputs: Array,
    panels: Array,
    starts: Array,
    steps: Array,
    add: bool,
    threads: int,
    points: Array,
) -> None:
    flat = points.reshape(-1)
    for thread in prange(threads):
        sums = np.empty(ROWS * WGRAD_COLUMNS * LANES, np.float32)
        for point in range(thread, t.points, threads):
            _multiply_at(t, block, point, inputs[0], panels[0], starts, steps, add, sums, flat, 0)


@parallel
def _filters_from_points(t: Tiling, parts: Array, filters_grad: Array, add: bool) -> None:
    """From the sum of the parts to the filters."""
    taps, F, width = t.size * t.size, filters_grad.shape[1], parts.shape[4]
    flat, grads = parts.reshape(-1), filters_grad.reshape(-1)
    for gc in prange(t.groups * t.channels):
        group, c = gc // t.channels, gc % t.channels
        points = np.empty(t.points * LANES, np.float32)
        lanes = np.empty(taps * LANES, np.float32)
        for f in range(0, t.outputs, LANES):
            for point in range(t.points):
                total = points[point * LANES : (point + 1) * LANES]
                total[:] = ZERO
                for part in range(parts.shape[0]):
                    at = ((part * t.groups + group) * t.points + point) * t.channels + c
                    for lane in range(LANES):
                        total[lane] += flat[at * width + f + lane]
            if t.size == 3:
                _filters_from_points_3(points, 0, 6 * LANES, LANES, lanes, 0, LANES)
            else:
                _filters_from_points_5(points, 0, 8 * LANES, LANES, lanes, 0, LANES)
            for tap in range(taps):
                place = (c * taps + tap) * F + group * t.outputs + f
                store_sums(
                    lanes, tap * LANES, ZERO, -INFINITY, INFINITY, add, grads, place, t.outputs - f
                )
