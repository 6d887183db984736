"""Winograd's transforms: tiles of pixels, filters and gradients to points and back.

The method and its sources are described in convnet.ops.winograd.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from convnet.geometry import Window
from convnet.ops.cpu.jit import LANES, parallel, serial
from convnet.ops.cpu.tiles import FILTERS, pack_plane
from convnet.ops.cpu.vectors import ROWS, matrix_transform, transpose
from convnet.ops.roles import Array
from convnet.ops.winograd import matrices

OUTER = 4  # pixels along a tile of the target
GAP = LANES  # floats between the points of a tile: else all would share one set of the cache


_A3, _G3, _B3 = matrices(3, OUTER + 2)
_A5, _G5, _B5 = matrices(5, OUTER + 4)
_source_to_points_3, _source_to_points_5 = matrix_transform(_B3), matrix_transform(_B5)
_filters_to_points_3, _filters_to_points_5 = matrix_transform(_G3), matrix_transform(_G5)
_grads_to_points_3, _grads_to_points_5 = matrix_transform(_A3), matrix_transform(_A5)


class Tiling(NamedTuple):
    """Sizes of one convolution by tiles, for the kernels. Channels are those of a group."""

    size: int  # of the filters
    side: int  # of a tile of the source
    points: int  # side * side
    groups: int
    channels: int  # of the source
    outputs: int  # channels of the target
    padding: int  # of the source
    down: int  # tiles
    across: int
    units: int  # tiles of LANES images in all


def tiling(g: Window, backward: bool, target: Array) -> Tiling:
    channels, outputs, padding = g.group_channels, g.group_filters, g.padding
    if backward:
        channels, outputs, padding = outputs, channels, g.filter_size - 1 - padding
    side = OUTER + g.filter_size - 1
    _, height, width, images = target.shape
    down, across = -(-height // OUTER), -(-width // OUTER)
    units = down * across * -(-images // LANES)
    return Tiling(
        g.filter_size, side, side**2, g.groups, channels, outputs, padding, down, across, units
    )


@parallel
def filters_to_points(t: Tiling, filters: Array, backward: bool, points: Array) -> None:
    """Panels (groups, tiles of ROWS outputs, t.points, channels, ROWS) of transformed filters.

    Outputs beyond the last become zero. `backward`: for the image gradient, with the filters
    turned round.
    """
    taps, F = t.size * t.size, filters.shape[1]
    tiles, blocks = -(-t.outputs // ROWS), -(-t.outputs // LANES)
    output_step, channel_step = (taps * F, 1) if backward else (1, taps * F)
    flat = filters.reshape(-1)
    for task in prange(t.groups * blocks):
        group, first = task // blocks, task % blocks * LANES
        count = min(LANES, t.outputs - first)
        lanes = np.zeros(taps * LANES, np.float32)
        results = np.empty(t.points * LANES, np.float32)
        for channel in range(t.channels):
            base = group * (F // t.groups) + first * output_step + channel * channel_step
            for tap in range(taps):
                at = base + (taps - 1 - tap if backward else tap) * F
                for i in range(count):
                    lanes[tap * LANES + i] = flat[at + i * output_step]
            if t.size == 3:
                _filters_to_points_3(lanes, 0, 3 * LANES, LANES, results, 0, LANES)
            else:
                _filters_to_points_5(lanes, 0, 5 * LANES, LANES, results, 0, LANES)
            for tile in range(first // ROWS, min((first + LANES) // ROWS, tiles)):
                panels = (group * tiles + tile) * t.points
                for point in range(t.points):
                    to = ((panels + point) * t.channels + channel) * ROWS
                    for i in range(ROWS):
                        points[to + i] = results[point * LANES + tile * ROWS - first + i]


@serial
def find_places(t: Tiling, begin: int, places: Array) -> int:
    """places (.., 3) = first image and first target pixel, row and column, of tiles from `begin`.

    Returns how many there are.
    """
    count = min(len(places), t.units - begin)
    images = t.units // (t.across * t.down)
    for i in range(count):
        tile = (begin + i) // images  # neighbours in memory follow one another
        places[i, 0] = (begin + i) % images * LANES
        places[i, 1] = tile // t.across * OUTER
        places[i, 2] = tile % t.across * OUTER
    return count


@serial
def source_to_points(
    t: Tiling,
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
        inside = (top >= 0) & (left >= 0) & (top + t.side <= H) & (left + t.side <= W)
        if inside & (first + LANES <= N):
            source, at = flat, ((channel * H + top) * W + left) * N + first
            row_step, column_step = W * N, N
        else:
            pack_plane(flat, channel * H, H, W, N, top, t.side, left, t.side, first, edge, 0)
            source, at, row_step, column_step = edge, 0, t.side * LANES, LANES
        if t.size == 3:
            _source_to_points_3(source, at, row_step, column_step, points, to, step)
        else:
            _source_to_points_5(source, at, row_step, column_step, points, to, step)
        to += LANES


@serial
def grads_to_points(
    t: Tiling,
    flat: Array,
    shape: tuple[int, int, int, int],
    filter_: int,
    count: int,
    place: Array,
    pixels: Array,
    turned: Array,
    panels: Array,
    to: int,
    step: int,
) -> None:
    """The points of a tile of at most LANES filters: panels (LANES images, FILTERS).

    `step` is between points. There are `count` filters; numbers of those beyond are undefined.
    `pixels` and `turned` are room for a tile of LANES filters.
    """
    _, P, Q, N = shape
    first, top, left = place
    size = OUTER * OUTER * LANES
    for i in range(count):
        at = (filter_ + i) * P
        pack_plane(flat, at, P, Q, N, top, OUTER, left, OUTER, first, pixels, i * size)
    for pixel in range(OUTER * OUTER):  # vectors of filters rather than of images
        transpose(pixels, pixel * LANES, size, turned, pixel * LANES, size)
    for image in range(LANES):
        if t.size == 3:
            _grads_to_points_3(turned, image * size, OUTER * LANES, LANES, panels, to, step)
        else:
            _grads_to_points_5(turned, image * size, OUTER * LANES, LANES, panels, to, step)
        to += FILTERS
