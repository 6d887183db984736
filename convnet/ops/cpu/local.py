"""Convolution with a set of filters per output pixel.

A weight serves the images of one pixel only, so the unit of work is one target pixel of all
images. The source rows (N images of one channel and pixel) that it depends on are packed one
after another; fprop and dgrad are one kernel with different lists of such rows.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange

from convnet.geometry import Window
from convnet.ops.cpu.jit import INFINITY, LANES, aligned, parallel, serial
from convnet.ops.cpu.tiles import (
    FILTERS,
    pack_weights,
    store_grads,
    turn_grads,
)
from convnet.ops.cpu.vectors import (
    FC_COLUMNS,
    ROWS,
    WGRAD_COLUMNS,
    fc_tile,
    pack_lanes,
    store_sums,
    wgrad_tile,
)
from convnet.ops.roles import Array


class _Sizes(NamedTuple):
    """What the kernels need of a Window, see there; C and F are those of a group."""

    groups: int
    C: int
    H: int
    W: int
    F: int
    P: int
    Q: int
    KY: int
    KX: int
    top: int  # padding
    left: int
    stride: int


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
    """acts = clamp(local(images, filters) + biases); biases (F, 1) or (F, P*Q)."""
    scratch = _scratch(g.taps, images.shape[3])
    _correlate(
        _sizes(g), False, images, filters.reshape(-1), biases, low, high, acts, add, *scratch
    )


def dgrad(g: Window, filters: Array, acts_grad: Array, images_grad: Array, add: bool) -> None:
    """images_grad = the gradient into the images."""
    biases = np.zeros((g.channels, 1), np.float32)
    # Windows that hold a pixel, at most.
    windows = prod(-(-side.filter_size // side.stride) for side in (g.rows, g.columns))
    scratch = _scratch(g.group_filters * windows, images_grad.shape[3])
    _correlate(
        _sizes(g),
        True,
        acts_grad,
        filters.reshape(-1),
        biases,
        -INFINITY,
        INFINITY,
        images_grad,
        add,
        *scratch,
    )


def wgrad(g: Window, images: Array, acts_grad: Array, filters_grad: Array, add: bool) -> None:
    """filters_grad = the gradient into the filters."""
    taps = -(-g.taps // ROWS) * ROWS  # the micro-kernel reads, and drops, the surplus
    packed, _ = _scratch(taps, images.shape[3])
    size = -(-g.group_filters // FILTERS) * FILTERS * packed.shape[2]
    panels = np.empty((get_num_threads(), size), np.float32)
    _wgrad(_sizes(g), images, acts_grad, filters_grad.reshape(-1), add, packed, panels)


def _sizes(g: Window) -> _Sizes:
    return _Sizes(
        groups=g.groups,
        C=g.group_channels,
        H=g.height,
        W=g.width,
        F=g.group_filters,
        P=g.out_height,
        Q=g.out_width,
        KY=g.rows.filter_size,
        KX=g.columns.filter_size,
        top=g.rows.padding,
        left=g.columns.padding,
        stride=g.stride,
    )


def _scratch(rows: int, cases: int) -> tuple[Array, Array]:
    """Room for packed rows (threads, rows, images), and the first image of each vector.

    Images are padded to whole vectors, vectors to whole tiles.
    """
    images, threads = -(-cases // LANES) * LANES, get_num_threads()
    starts = np.append(np.arange(0, images, LANES), [0] * (FC_COLUMNS - 1)).astype(np.int64)
    return aligned(threads * rows * images).reshape(threads, rows, images), starts


@serial
def _fprop_rows(z: _Sizes, pixel: int, group: int, weights: Array, sources: Array) -> int:
    """Lists the taps of an output pixel: index of the weight of filter 0, and of the image row.

    The latter is -1 for a pixel outside the image. Returns their number.
    """
    top = pixel // z.Q * z.stride - z.top
    left = pixel % z.Q * z.stride - z.left
    r = 0
    for c in range(group * z.C, (group + 1) * z.C):
        for h in range(top, top + z.KY):
            for w in range(left, left + z.KX):
                inside = (0 <= h < z.H) & (0 <= w < z.W)
                sources[r] = (c * z.H + h) * z.W + w if inside else -1
                weights[r] = ((pixel * z.C * z.KY * z.KX + r) * z.groups + group) * z.F
                r += 1
    return r


@serial
def _dgrad_rows(z: _Sizes, pixel: int, group: int, weights: Array, sources: Array) -> int:
    """Lists the filters that see an image pixel: index of the weight of channel 0, and of the
    output row. Returns their number.
    """
    r = 0
    for p in range(z.P):
        y = pixel // z.W + z.top - p * z.stride
        if 0 <= y < z.KY:
            for q in range(z.Q):
                x = pixel % z.W + z.left - q * z.stride
                if 0 <= x < z.KX:
                    tap = ((p * z.Q + q) * z.C * z.KY + y) * z.KX + x
                    for f in range(group * z.F, (group + 1) * z.F):
                        sources[r] = (f * z.P + p) * z.Q + q
                        weights[r] = tap * z.groups * z.F + f
                        r += 1
    return r


@serial
def _pack_rows(source: Array, rows: Array, width: int, packed: Array) -> None:
    """Packs rows of `source`, taken as (.., N), one after another; -1 stands for zeros."""
    N = source.shape[3]
    flat = source.reshape(-1)
    for r in range(rows.size):
        for first in range(0, width, LANES):
            images = N - first if rows[r] >= 0 else 0
            pack_lanes(flat, max(rows[r], 0) * N + first, images, packed, r * width + first)


@parallel
def _correlate(
    z: _Sizes,
    backward: bool,
    source: Array,
    filters: Array,
    biases: Array,
    low: float,
    high: float,
    target: Array,
    add: bool,
    scratch: Array,
    starts: Array,
) -> None:
    threads, rows, images = scratch.shape
    channels, height, width, N = target.shape
    pixels, outputs = height * width, channels // z.groups
    flat = target.reshape(-1)
    step = z.KY * z.KX * z.groups * z.F if backward else 1
    offsets = (np.arange(rows) * images).astype(np.int32)
    for thread in prange(threads):
        packed = scratch[thread].reshape(-1)
        weights, sources = np.empty(rows, np.int64), np.empty(rows, np.int64)
        panel = np.empty(rows * ROWS, np.float32)
        sums = np.empty(ROWS * FC_COLUMNS * LANES, np.float32)
        for task in range(thread, pixels * z.groups, threads):
            pixel, group = task // z.groups, task % z.groups
            if backward:
                count = _dgrad_rows(z, pixel, group, weights, sources)
            else:
                count = _fprop_rows(z, pixel, group, weights, sources)
            _pack_rows(source, sources[:count], images, packed)
            for tile in range(-(-outputs // ROWS)):
                pack_weights(filters, 0, weights[:count], step, outputs, tile, panel, 0)
                for k in range(0, images // LANES, FC_COLUMNS):
                    fc_tile(panel, 0, packed, starts, k, offsets[:count], sums, 0)
                    for i in range(min(ROWS, outputs - tile * ROWS)):
                        f = group * outputs + tile * ROWS + i
                        bias = biases[f, pixel if biases.shape[1] > 1 else 0]
                        for j in range(min(FC_COLUMNS, images // LANES - k)):
                            store_sums(
                                sums,
                                (i * FC_COLUMNS + j) * LANES,
                                bias,
                                low,
                                high,
                                add,
                                flat,
                                (f * pixels + pixel) * N + (k + j) * LANES,
                                N - (k + j) * LANES,
                            )


@parallel
def _wgrad(
    z: _Sizes,
    images: Array,
    acts_grad: Array,
    filters_grad: Array,
    add: bool,
    scratch: Array,
    panels: Array,
) -> None:
    threads, rows, cases = scratch.shape
    pixels, F = z.P * z.Q, z.groups * z.F
    taps = (np.arange(rows) * cases).astype(np.int64)
    steps = np.arange(cases).astype(np.int32)
    for thread in prange(threads):
        packed, panel = scratch[thread].reshape(-1), panels[thread]
        grads = np.empty(z.F * cases, np.float32)
        weights, sources = np.empty(rows, np.int64), np.empty(rows, np.int64)
        sums = np.empty(ROWS * WGRAD_COLUMNS * LANES, np.float32)
        for task in range(thread, pixels * z.groups, threads):
            pixel, group = task // z.groups, task % z.groups
            count = _fprop_rows(z, pixel, group, weights, sources)
            _pack_rows(images, sources[:count], cases, packed)
            _pack_rows(acts_grad, (np.arange(z.F) + group * z.F) * pixels + pixel, cases, grads)
            turn_grads(grads, cases, z.F, cases, panel)
            for k in range(0, z.F, FILTERS):
                for t in range(0, count, ROWS):
                    wgrad_tile(panel, k * cases, packed, taps, t, steps, sums, 0)
                    place = (pixel * count + t) * F + group * z.F + k
                    store_grads(sums, ROWS, count - t, z.F - k, add, filters_grad, place, F)
