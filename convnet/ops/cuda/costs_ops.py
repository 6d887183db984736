"""Softmax and costs: kernels/costs.cu."""

from __future__ import annotations

from convnet.ops.cuda.launch import LANES, TEAMS, Launcher, checked
from convnet.ops.layout import rows_of
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.costs import CostOps

# Blocks that sum up squares; enough for a device to be busy.
SUMS = 256


class CudaCostOps(Launcher, CostOps):
    """This part of CudaOps. Values of costs are computed image by image, then summed up."""

    def softmax_fprop(self, inputs: In, acts: Out) -> None:
        rows, N = rows_of(inputs)
        self._columns(
            "costs",
            "softmax_fprop",
            N,
            checked("inputs", inputs, rows, N),
            checked("acts", acts, rows, N),
            rows,
        )

    def softmax_bprop(self, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        rows, N = rows_of(acts)
        self._columns(
            "costs",
            "softmax_bprop",
            N,
            checked("acts", acts, rows, N),
            checked("acts_grad", acts_grad, rows, N),
            checked("inputs_grad", inputs_grad, rows, N),
            *(add, rows),
        )

    def logreg_cost(self, labels: In, probs: In, top: int, values: Out) -> None:
        rows, N = rows_of(probs)
        by_image = self._scratch(3 * N)
        self._columns(
            "costs",
            "logreg_cost",
            N,
            checked("labels", labels, N),
            checked("probs", probs, rows, N),
            *(top, by_image, rows),
        )
        self._sum_rows(by_image, 3, checked("values", values, 3))

    def softmax_logreg_fprop(
        self, labels: In, inputs: In, top: int, acts: Out, values: Out
    ) -> None:
        rows, N = rows_of(inputs)
        by_image = self._scratch(3 * N)
        self._columns(
            "costs",
            "softmax_logreg_fprop",
            N,
            checked("labels", labels, N),
            checked("inputs", inputs, rows, N),
            top,
            checked("acts", acts, rows, N),
            *(by_image, rows),
        )
        self._sum_rows(by_image, 3, checked("values", values, 3))

    def logreg_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        self._label_bprop("logreg_bprop", labels, probs, coeff, "probs_grad", probs_grad, add)

    def softmax_logreg_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        self._label_bprop(
            "softmax_logreg_bprop", labels, probs, coeff, "inputs_grad", inputs_grad, add
        )

    def sum2_cost(self, inputs: In, values: Out) -> None:
        size = inputs.size
        count = min(SUMS, -(-size // (LANES * TEAMS)))
        sums = self._scratch(count)
        block = (LANES, TEAMS)
        self._launch(
            "sums", "sum_squares", (count,), block, checked("inputs", inputs, size), sums, size
        )
        self._sum_rows(sums, 1, checked("values", values, 1))

    def crossent_cost(self, labels: In, probs: In, values: Out) -> None:
        self._matrix_cost("crossent_cost", labels, probs, checked("values", values, 2), 2)

    def crossent_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        rows, N = rows_of(probs)
        target = checked("probs_grad", probs_grad, rows, N)
        matrices = _matrices(labels, probs)
        self._numbers("costs", "crossent_bprop", rows * N, *matrices, float(coeff), target, add)

    def softmax_crossent_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        rows, N = rows_of(probs)
        target = checked("inputs_grad", inputs_grad, rows, N)
        matrices = _matrices(labels, probs)
        self._columns(
            "costs", "softmax_crossent_bprop", N, *matrices, float(coeff), target, add, rows
        )

    def bce_cost(self, labels: In, probs: In, pos_weight: float, values: Out) -> None:
        target = checked("values", values, 3)
        self._matrix_cost("bce_cost", labels, probs, target, 3, float(pos_weight))

    def bce_bprop(
        self,
        labels: In,
        probs: In,
        pos_weight: float,
        coeff: float,
        probs_grad: Out,
        add: bool = False,
    ) -> None:
        rows, N = rows_of(probs)
        target = checked("probs_grad", probs_grad, rows, N)
        factors = (float(pos_weight), float(coeff))
        matrices = _matrices(labels, probs)
        self._numbers("costs", "bce_bprop", rows * N, *matrices, *factors, target, add)

    def logistic_bce_bprop(
        self,
        labels: In,
        probs: In,
        pos_weight: float,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        rows, N = rows_of(probs)
        target = checked("inputs_grad", inputs_grad, rows, N)
        factors = (float(pos_weight), float(coeff))
        matrices = _matrices(labels, probs)
        self._numbers("costs", "logistic_bce_bprop", rows * N, *matrices, *factors, target, add)

    def dce_cost(self, labels: In, probs: In, pos_weight: float, values: Out) -> None:
        rows, N = rows_of(probs)
        target = checked("values", values, 2 + 3 * rows).reshape(-1)
        # The third value of bce_cost is written over by the counts.
        self._matrix_cost("bce_cost", labels, probs, target[:3], 3, float(pos_weight))
        block = (LANES, TEAMS)
        self._launch("costs", "detections", (rows,), block, labels, probs, target[2:], N)

    def _matrix_cost(
        self, name: str, labels: In, probs: In, values: Out, count: int, *factors: float
    ) -> None:
        """`count` values of a cost whose labels are a matrix."""
        rows, N = rows_of(probs)
        by_image = self._scratch(count * N)
        self._columns("costs", name, N, *_matrices(labels, probs), *factors, by_image, rows)
        self._sum_rows(by_image, count, values)

    def _label_bprop(
        self,
        name: str,
        labels: In,
        probs: In,
        coeff: float,
        target_name: str,
        target: Out,
        add: bool,
    ) -> None:
        rows, N = rows_of(probs)
        self._numbers(
            "costs",
            name,
            rows * N,
            checked("labels", labels, N),
            checked("probs", probs, rows, N),
            float(coeff),
            checked(target_name, target, rows, N),
            *(add, N),
        )


def _matrices(labels: Array, probs: Array) -> tuple[Array, Array]:
    shape = rows_of(probs)
    return checked("labels", labels, *shape), checked("probs", probs, *shape)
