"""Softmax and costs: kernels/costs.cu."""

from __future__ import annotations

from convnet.ops.cuda.launch import LANES, TEAMS, Launcher, checked
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.costs import CostOps

# Blocks that sum up squares; enough for a device to be busy.
SUMS = 256


class CudaCostOps(Launcher, CostOps):
    """This part of CudaOps. Values of costs are computed image by image, then summed up."""

    def softmax_fprop(self, inputs: In, acts: Out) -> None:
        rows, N = _rows(inputs)
        self._columns(
            "costs",
            "softmax_fprop",
            N,
            checked("inputs", inputs, rows, N),
            checked("acts", acts, rows, N),
            rows,
        )

    def softmax_bprop(self, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        rows, N = _rows(acts)
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
        rows, N = _rows(probs)
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
        rows, N = _rows(probs)
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


def _rows(array: Array) -> tuple[int, int]:
    return array.size // array.shape[-1], array.shape[-1]
