"""Pooling and normalisation in numpy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convnet.geometry import Norm, Pool
from convnet.ops.reference.common import along, store
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.windows import WindowOps

_CHANNELS, _PIXELS = (0,), (1, 2)  # axes


class ReferenceWindowOps(WindowOps):
    """This part of ReferenceOps."""

    def pool_max_fprop(self, g: Pool, images: In, acts: Out, magnitude: bool = False) -> None:
        for output, window in _pool_windows(g):
            # From the back, as argmax finds the first of equal numbers.
            pixels = images[window].reshape(len(images), -1, images.shape[-1])[:, ::-1]
            ranked = np.abs(pixels) if magnitude else pixels
            best = ranked.argmax(axis=1, keepdims=True)
            acts[output] = np.take_along_axis(pixels, best, axis=1)[:, np.newaxis]

    def pool_max_bprop(
        self,
        g: Pool,
        images: In,
        acts: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        total = np.zeros_like(images)
        for output, window in _pool_windows(g):
            total[window] += acts_grad[output] * (images[window] == acts[output])
        store(images_grad, total, add)

    def pool_avg_fprop(self, g: Pool, divide: bool, images: In, acts: Out) -> None:
        reduce = np.mean if divide else np.sum
        for output, window in _pool_windows(g):
            acts[output] = reduce(images[window], axis=(1, 2), keepdims=True)

    def pool_avg_bprop(
        self, g: Pool, divide: bool, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        total = np.zeros_like(images_grad)
        for output, window in _pool_windows(g):
            height, width = total[window].shape[1:3]
            total[window] += acts_grad[output] / (height * width if divide else 1)
        store(images_grad, total, add)

    def pool_l2_fprop(self, g: Pool, images: In, acts: Out) -> None:
        for output, window in _pool_windows(g):
            acts[output] = np.sqrt((images[window] ** 2).sum(axis=(1, 2), keepdims=True))

    def pool_l2_bprop(
        self,
        g: Pool,
        images: In,
        acts: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        total = np.zeros_like(images)
        for output, window in _pool_windows(g):
            sloped = np.where(acts[output] > 0, acts[output], np.inf)
            total[window] += acts_grad[output] * images[window] / sloped
        store(images_grad, total, add)

    def rnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        _norm_fprop(norm, _PIXELS, images, denoms, acts)

    def rnorm_bprop(
        self,
        norm: Norm,
        images: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        _norm_bprop(norm, _PIXELS, images, denoms, acts_grad, images_grad, add)

    def cmrnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        _norm_fprop(norm, _CHANNELS, images, denoms, acts)

    def cmrnorm_bprop(
        self,
        norm: Norm,
        images: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        _norm_bprop(norm, _CHANNELS, images, denoms, acts_grad, images_grad, add)

    def cnorm_fprop(self, norm: Norm, images: In, diffs: Out, denoms: Out, acts: Out) -> None:
        counts = _sum_over(norm, _PIXELS, np.ones_like(images))
        store(diffs, images - _sum_over(norm, _PIXELS, images) / counts)
        store(denoms, norm.min_div + norm.scale * _sum_over(norm, _PIXELS, diffs**2))
        store(acts, images * denoms**-norm.power)

    def cnorm_bprop(
        self,
        norm: Norm,
        images: In,
        diffs: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        counts = _sum_over(norm, _PIXELS, np.ones_like(images))
        diffs_grad = _through_denoms(norm, _PIXELS, images, diffs, denoms, acts_grad)
        through_means = _sum_over(norm, _PIXELS, diffs_grad / counts, readers=True)
        direct = acts_grad * denoms**-norm.power
        store(images_grad, direct + diffs_grad - through_means, add)


def _pool_windows(g: Pool) -> Iterator[tuple[Any, Any]]:
    """Index of each output pixel, and of the image pixels in its window."""
    for p in range(g.out_height):
        for q in range(g.out_width):
            rows, columns = g.rows(p), g.columns(q)
            yield (
                np.s_[:, p : p + 1, q : q + 1],
                np.s_[:, rows.start : rows.stop, columns.start : columns.stop],
            )


def _sum_over(norm: Norm, axes: tuple[int, ...], values: Array, *, readers: bool = False) -> Array:
    """The sum over the elements that each is normalised by or, if `readers`, that it normalises."""
    for axis in axes:
        length = values.shape[axis]
        matrix = np.zeros((length, length), values.dtype)
        for i in range(length):
            matrix[i, norm.span(i, length)] = 1
        values = along(axis, matrix.T if readers else matrix, values)
    return values


def _norm_fprop(
    norm: Norm, axes: tuple[int, ...], images: Array, denoms: Array, acts: Array
) -> None:
    store(denoms, norm.min_div + norm.scale * _sum_over(norm, axes, images**2))
    store(acts, images * denoms**-norm.power)


def _through_denoms(
    norm: Norm, axes: tuple[int, ...], images: Array, squared: Array, denoms: Array, grad: Array
) -> Array:
    """The gradient of `squared`, whose squares are summed in the denominators of `images`."""
    terms = grad * images * denoms ** (-norm.power - 1)
    total = _sum_over(norm, axes, terms, readers=True)
    return -2 * norm.power * norm.scale * squared * total


def _norm_bprop(
    norm: Norm,
    axes: tuple[int, ...],
    images: Array,
    denoms: Array,
    acts_grad: Array,
    images_grad: Array,
    add: bool,
) -> None:
    indirect = _through_denoms(norm, axes, images, images, denoms, acts_grad)
    store(images_grad, acts_grad * denoms**-norm.power + indirect, add)
