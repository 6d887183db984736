"""Metric learning: checks arrays, calls the CPU kernels."""

from __future__ import annotations

import numpy as np

from convnet.ops.cpu import centers as center_kernels
from convnet.ops.cpu import metric, pairs
from convnet.ops.cpu.arrays import checked
from convnet.ops.cpu.random_ops import key_words, threshold
from convnet.ops.layout import rows_of
from convnet.ops.roles import Array, In, InOut, Out, RandomKey
from convnet.ops.spec.metric import Margins, MetricOps


class CpuMetricOps(MetricOps):
    """This part of CpuOps."""

    def l2norm_fprop(self, inputs: In, eps: float, acts: Out) -> None:
        shape = rows_of(inputs)
        metric.l2norm_fprop(checked("inputs", inputs, *shape), eps, checked("acts", acts, *shape))

    def l2norm_bprop(
        self, inputs: In, acts_grad: In, eps: float, inputs_grad: Out, add: bool = False
    ) -> None:
        shape = rows_of(inputs)
        metric.l2norm_bprop(
            checked("inputs", inputs, *shape),
            checked("acts_grad", acts_grad, *shape),
            eps,
            checked("inputs_grad", inputs_grad, *shape),
            add,
        )

    def choose_classes(self, labels: In, share: float, key: RandomKey, chosen: Out) -> None:
        given = checked("labels", labels, labels.size)
        target = checked("chosen", chosen, chosen.size)
        metric.choose_classes(given, threshold(share), key_words(key), target)

    def margin_cost(
        self,
        labels: In,
        cosines: In,
        margins: Margins,
        top: int,
        values: Out,
        chosen: In | None = None,
    ) -> None:
        rows, N = rows_of(cosines)
        by_image = np.empty((3, N))
        metric.margin_cost(
            checked("labels", labels, N),
            checked("cosines", cosines, rows, N),
            _counted(chosen, rows),
            *map(float, margins),
            top,
            by_image,
        )
        checked("values", values, 3)[:] = by_image.sum(axis=1)

    def margin_bprop(
        self,
        labels: In,
        cosines: In,
        margins: Margins,
        coeff: float,
        cosines_grad: Out,
        add: bool = False,
        chosen: In | None = None,
    ) -> None:
        rows, N = rows_of(cosines)
        metric.margin_bprop(
            checked("labels", labels, N),
            checked("cosines", cosines, rows, N),
            _counted(chosen, rows),
            *map(float, margins),
            float(coeff),
            checked("cosines_grad", cosines_grad, rows, N),
            add,
        )

    def triplet_cost(
        self,
        labels: In,
        inputs: In,
        margin: float,
        semihard: bool,
        key: RandomKey,
        values: Out,
    ) -> None:
        distances, negatives = _triplets(labels, inputs, margin, semihard, key)
        target = checked("values", values, 5)
        pairs.triplet_cost(labels.reshape(-1), distances, negatives, float(margin), target)

    def triplet_bprop(
        self,
        labels: In,
        inputs: In,
        margin: float,
        semihard: bool,
        key: RandomKey,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        slopes, negatives = _triplets(labels, inputs, margin, semihard, key)
        pairs.triplet_slopes(negatives, float(coeff), slopes)
        shape = rows_of(inputs)
        target = checked("inputs_grad", inputs_grad, *shape)
        pairs.distances_bprop(inputs.reshape(shape), slopes, target, add)

    def contrastive_cost(self, labels: In, inputs: In, margin: float, values: Out) -> None:
        given, distances = _pairs(labels, inputs)
        pairs.contrastive_cost(given, distances, float(margin), checked("values", values, 4))

    def contrastive_bprop(
        self,
        labels: In,
        inputs: In,
        margin: float,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        given, slopes = _pairs(labels, inputs)
        pairs.contrastive_slopes(given, slopes, float(margin), float(coeff))
        shape = rows_of(inputs)
        target = checked("inputs_grad", inputs_grad, *shape)
        pairs.distances_bprop(inputs.reshape(shape), slopes, target, add)

    def center_cost(self, labels: In, inputs: In, centers: In, values: Out) -> None:
        arrays = _centered(labels, inputs, centers)
        center_kernels.center_cost(*arrays, checked("values", values, 2))

    def center_bprop(
        self,
        labels: In,
        inputs: In,
        centers: In,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        target = checked("inputs_grad", inputs_grad, *rows_of(inputs))
        arrays = _centered(labels, inputs, centers)
        center_kernels.center_bprop(*arrays, np.float32(coeff), target, add)

    def center_track(self, labels: In, inputs: In, rate: float, centers: InOut) -> None:
        given, x, target = _centered(labels, inputs, centers)
        center_kernels.center_track(given, x, float(rate), target)


def _counted(chosen: Array | None, classes: int) -> Array:
    """Which classes count, 1 or 0: all if none are chosen."""
    return np.ones(classes, np.float32) if chosen is None else checked("chosen", chosen, classes)


def _centered(labels: Array, inputs: Array, centers: Array) -> tuple[Array, Array, Array]:
    rows, N = rows_of(inputs)
    return (
        checked("labels", labels, N),
        checked("inputs", inputs, rows, N),
        checked("centers", centers, rows, centers.shape[-1]),
    )


def _pairs(labels: Array, inputs: Array) -> tuple[Array, Array]:
    """The labels (N,), and squares of the distances between all images, (N, N)."""
    rows, N = rows_of(inputs)
    distances = np.empty((N, N), np.float32)
    pairs.distances(checked("inputs", inputs, rows, N), distances)
    return checked("labels", labels, N), distances


def _triplets(
    labels: Array, inputs: Array, margin: float, semihard: bool, key: RandomKey
) -> tuple[Array, Array]:
    """Squares of the distances between all images, and what is chosen for each pair; (N, N)."""
    given, distances = _pairs(labels, inputs)
    negatives = np.empty(distances.shape, np.int32)
    words = key_words(key)
    pairs.choose_negatives(given, distances, np.float32(margin), semihard, words, negatives)
    return distances, negatives
