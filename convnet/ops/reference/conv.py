"""Convolution in plain numpy, with shared filters or with filters per output pixel.

Walks over the K x K taps of a filter. At each, all output pixels are computed at once from the
pixels that they see there. Letters in einsum: g group, c channel and f filter within the group,
p q output pixel, n image. Shared filters are filters per output pixel with one p and one q.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convnet.geometry import Window
from convnet.ops.roles import Array


def split_shared(g: Window, filters: Array) -> Array:
    """(C/groups * K * K, F) as (1, 1, C/groups, K, K, groups, F/groups)."""
    return _split_filters(g, filters, 1, 1)


def split_local(g: Window, filters: Array) -> Array:
    """(P * Q * C/groups * K * K, F) as (P, Q, C/groups, K, K, groups, F/groups)."""
    return _split_filters(g, filters, g.out_height, g.out_width)


def _split_filters(g: Window, filters: Array, p: int, q: int) -> Array:
    sides = (g.rows.filter_size, g.columns.filter_size)
    return filters.reshape(p, q, g.group_channels, *sides, g.groups, g.group_filters)


def fprop(g: Window, images: Array, filters: Array) -> Array:
    """The sums (F, P, Q, N) of split filters, before biases and neuron."""
    canvas, inside = _canvas(g, images.shape[-1], images.dtype)
    inside[...] = images.reshape(inside.shape)
    acts = np.zeros((*g.acts_shape, images.shape[-1]), images.dtype)
    for y, x, seen in _taps(g, canvas):
        _split_acts(g, acts)[...] += np.einsum("gcpqn,pqcgf->gfpqn", seen, filters[:, :, :, y, x])
    return acts


def dgrad(g: Window, filters: Array, acts_grad: Array) -> Array:
    """Gradient (C, H, W, N) of the images, from split filters."""
    canvas, inside = _canvas(g, acts_grad.shape[-1], acts_grad.dtype)
    grad = _split_acts(g, acts_grad)
    for y, x, seen in _taps(g, canvas):
        seen += np.einsum("gfpqn,pqcgf->gcpqn", grad, filters[:, :, :, y, x])
    return inside.reshape(*g.images_shape, -1)


def wgrad(g: Window, images: Array, acts_grad: Array) -> Array:
    """Gradients of the split filters of each output pixel."""
    canvas, inside = _canvas(g, images.shape[-1], images.dtype)
    inside[...] = images.reshape(inside.shape)
    grad = _split_acts(g, acts_grad)
    filters_grad = split_local(g, np.empty(g.local_filters_shape, images.dtype))
    for y, x, seen in _taps(g, canvas):
        filters_grad[:, :, :, y, x] = np.einsum("gcpqn,gfpqn->pqcgf", seen, grad)
    return filters_grad


def _split_acts(g: Window, acts: Array) -> Array:
    return acts.reshape(g.groups, g.group_filters, *acts.shape[1:])


def _canvas(g: Window, n: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Zeros that every window fits into, (groups, C/groups, .., .., N), and the images in it."""
    sides = (g.rows, g.columns)
    shape = [max(s.padding + s.pixels, (s.outputs - 1) * s.stride + s.filter_size) for s in sides]
    canvas = np.zeros((g.groups, g.group_channels, *shape, n), dtype)
    inside = canvas[:, :, *(slice(s.padding, s.padding + s.pixels) for s in sides)]
    return canvas, inside


def _taps(g: Window, canvas: Array) -> Iterator[tuple[int, int, Array]]:
    """y, x and what the output pixels see there: a view (groups, C/groups, P, Q, N)."""
    height, width = ((n - 1) * g.stride + 1 for n in (g.out_height, g.out_width))
    for y in range(g.rows.filter_size):
        for x in range(g.columns.filter_size):
            yield y, x, canvas[:, :, y : y + height : g.stride, x : x + width : g.stride]
