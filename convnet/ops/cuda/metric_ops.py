"""Metric learning: kernels/metric.cu."""

from __future__ import annotations

from convnet.ops.cuda.launch import Launcher, checked
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.metric import Margins, MetricOps


class CudaMetricOps(Launcher, MetricOps):
    """This part of CudaOps."""

    def l2norm_fprop(self, inputs: In, eps: float, acts: Out) -> None:
        rows, N = _rows(inputs)
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
        rows, N = _rows(inputs)
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

    def margin_cost(self, labels: In, cosines: In, margins: Margins, top: int, values: Out) -> None:
        rows, N = _rows(cosines)
        by_image = self._scratch(3 * N)
        self._columns(
            "metric",
            "margin_cost",
            N,
            checked("labels", labels, N),
            checked("cosines", cosines, rows, N),
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
    ) -> None:
        rows, N = _rows(cosines)
        self._columns(
            "metric",
            "margin_bprop",
            N,
            checked("labels", labels, N),
            checked("cosines", cosines, rows, N),
            *map(float, margins),
            float(coeff),
            checked("cosines_grad", cosines_grad, rows, N),
            *(add, rows),
        )


def _rows(array: Array) -> tuple[int, int]:
    return array.size // array.shape[-1], array.shape[-1]
