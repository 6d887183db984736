"""Metric learning: kernels/metric.cu."""

from __future__ import annotations

from convnet.ops.cuda.launch import LANES, TEAMS, Launcher, checked
from convnet.ops.cuda.random_ops import threshold
from convnet.ops.layout import rows_of
from convnet.ops.roles import Array, In, InOut, Out, RandomKey
from convnet.ops.spec.metric import Margins, MetricOps


class CudaMetricOps(Launcher, MetricOps):
    """This part of CudaOps."""

    def l2norm_fprop(self, inputs: In, eps: float, acts: Out) -> None:
        rows, N = rows_of(inputs)
        self._columns(
            "metric",
            "l2norm_fprop",
            N,
            checked("inputs", inputs, rows, N),
            float(eps),
            checked("acts", acts, rows, N),
            rows,
        )

    def l2norm_bprop(
        self, inputs: In, acts_grad: In, eps: float, inputs_grad: Out, add: bool = False
    ) -> None:
        rows, N = rows_of(inputs)
        self._columns(
            "metric",
            "l2norm_bprop",
            N,
            checked("inputs", inputs, rows, N),
            checked("acts_grad", acts_grad, rows, N),
            float(eps),
            checked("inputs_grad", inputs_grad, rows, N),
            *(add, rows),
        )

    def choose_classes(self, labels: In, share: float, key: RandomKey, chosen: Out) -> None:
        given, size = checked("labels", labels, labels.size), chosen.size
        drawn = (threshold(share), self._key(key))
        target = checked("chosen", chosen, size)
        self._numbers("metric", "choose_classes", size, given, *drawn, target, labels.size)

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
        by_image = self._scratch(3 * N)
        self._columns(
            "metric",
            "margin_cost",
            N,
            checked("labels", labels, N),
            checked("cosines", cosines, rows, N),
            *_counted(chosen, labels, rows),
            *map(float, margins),
            *(top, by_image, rows),
        )
        self._sum_rows(by_image, 3, checked("values", values, 3))

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
        self._columns(
            "metric",
            "margin_bprop",
            N,
            checked("labels", labels, N),
            checked("cosines", cosines, rows, N),
            *_counted(chosen, labels, rows),
            *map(float, margins),
            float(coeff),
            checked("cosines_grad", cosines_grad, rows, N),
            *(add, rows),
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
        sums = self._triplets(labels, inputs, margin, semihard, key)[-1]
        target = checked("values", values, 5)
        self._launch("metric", "triplet_values", (1,), (1,), sums, target, inputs.shape[-1])

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
        N = inputs.shape[-1]
        slopes, negatives, sums = self._triplets(labels, inputs, margin, semihard, key)
        triplets = sums[1:2]
        self._numbers(
            "metric", "triplet_slopes", N * N, negatives, triplets, float(coeff), slopes, N
        )
        self._distances_bprop(inputs, slopes, inputs_grad, add)

    def _triplets(
        self, labels: In, inputs: In, margin: float, semihard: bool, key: RandomKey
    ) -> tuple[Array, Array, Array]:
        """Distances and negatives, (N * N,), and the sums over anchors of triplet_sums, (6,)."""
        N = inputs.shape[-1]
        scratch = self._scratch(2 * N * N + 6 * N + 6)
        distances, negatives = scratch[: N * N], scratch[N * N : 2 * N * N]
        by_anchor, sums = scratch[2 * N * N : -6], scratch[-6:]
        given = checked("labels", labels, N)
        self._distances(inputs, distances)
        self._numbers(
            "metric",
            "choose_negatives",
            N * N,
            *(given, distances, float(margin), semihard, self._key(key), negatives, N),
        )
        arguments = (given, distances, negatives, float(margin), by_anchor, N)
        self._launch("metric", "triplet_sums", (N,), (LANES, TEAMS), *arguments)
        self._sum_rows(by_anchor, 6, sums)
        return distances, negatives, sums

    def contrastive_cost(self, labels: In, inputs: In, margin: float, values: Out) -> None:
        _, sums = self._contrasts(labels, inputs, margin)
        target = checked("values", values, 4)
        self._launch("metric", "contrastive_values", (1,), (1,), sums, target, inputs.shape[-1])

    def contrastive_bprop(
        self,
        labels: In,
        inputs: In,
        margin: float,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        N = inputs.shape[-1]
        slopes, sums = self._contrasts(labels, inputs, margin)
        factors = (float(margin), float(coeff))
        self._numbers("metric", "contrastive_slopes", N * N, labels, slopes, sums, *factors, N)
        self._distances_bprop(inputs, slopes, inputs_grad, add)

    def _contrasts(self, labels: In, inputs: In, margin: float) -> tuple[Array, Array]:
        """Distances (N * N,), and the sums over images of contrastive_sums, (6,)."""
        N = inputs.shape[-1]
        scratch = self._scratch(N * N + 6 * N + 6)
        distances, by_image, sums = scratch[: N * N], scratch[N * N : -6], scratch[-6:]
        self._distances(inputs, distances)
        arguments = (checked("labels", labels, N), distances, float(margin), by_image, N)
        self._launch("metric", "contrastive_sums", (N,), (LANES, TEAMS), *arguments)
        self._sum_rows(by_image, 6, sums)
        return distances, sums

    def _distances(self, inputs: In, distances: Array) -> None:
        """Squares of the distances between all images, (N * N,)."""
        rows, N = rows_of(inputs)
        given = checked("inputs", inputs, rows, N)
        self._numbers("metric", "pair_distances", N * N, given, distances, rows, N)

    def _distances_bprop(self, inputs: In, slopes: Array, inputs_grad: Out, add: bool) -> None:
        """The gradient of the inputs, given that of each distance."""
        rows, N = rows_of(inputs)
        target = checked("inputs_grad", inputs_grad, rows, N)
        self._numbers("metric", "pair_distances_bprop", rows * N, inputs, slopes, target, add, N)

    def center_cost(self, labels: In, inputs: In, centers: In, values: Out) -> None:
        rows, N = rows_of(inputs)
        by_image = self._scratch(2 * N)
        self._columns(
            "metric", "center_cost", N, *_centered(labels, inputs, centers), by_image, rows
        )
        self._sum_rows(by_image, 2, checked("values", values, 2))

    def center_bprop(
        self,
        labels: In,
        inputs: In,
        centers: In,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        rows, N = rows_of(inputs)
        self._numbers(
            "metric",
            "center_bprop",
            rows * N,
            *_centered(labels, inputs, centers),
            float(coeff),
            checked("inputs_grad", inputs_grad, rows, N),
            *(add, N),
        )

    def center_track(self, labels: In, inputs: In, rate: float, centers: InOut) -> None:
        rows, N = rows_of(inputs)
        given, x, target, classes = _centered(labels, inputs, centers)
        self._numbers("metric", "center_track", rows * N, given, x, float(rate), target, classes, N)


def _counted(chosen: Array | None, labels: Array, classes: int) -> tuple[Array, bool]:
    """What kernels take for `chosen`, and whether it is that: they take no None."""
    return (labels, False) if chosen is None else (checked("chosen", chosen, classes), True)


def _centered(labels: Array, inputs: Array, centers: Array) -> tuple[Array, Array, Array, int]:
    (rows, N), classes = rows_of(inputs), centers.shape[-1]
    return (
        checked("labels", labels, N),
        checked("inputs", inputs, rows, N),
        checked("centers", centers, rows, classes),
        classes,
    )
