"""Softmax and costs: checks arrays, calls the CPU kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from convnet.ops.cpu import softmax
from convnet.ops.cpu.arrays import checked
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.costs import CostOps

_f32: Any = np.float32


class CpuCostOps(CostOps):
    """This part of CpuOps."""

    def softmax_fprop(self, inputs: In, acts: Out) -> None:
        shape = _rows(inputs)
        softmax.fprop(checked("inputs", inputs, *shape), checked("acts", acts, *shape))

    def softmax_bprop(self, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        shape = _rows(acts)
        softmax.bprop(
            checked("acts", acts, *shape),
            checked("acts_grad", acts_grad, *shape),
            checked("inputs_grad", inputs_grad, *shape),
            add,
        )

    def logreg_cost(self, labels: In, probs: In, top: int, values: Out) -> None:
        shape = _rows(probs)
        softmax.logreg_cost(
            checked("labels", labels, shape[1]),
            checked("probs", probs, *shape),
            top,
            checked("values", values, 3),
        )

    def logreg_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        shape = _rows(probs)
        softmax.logreg_bprop(
            checked("labels", labels, shape[1]),
            checked("probs", probs, *shape),
            _f32(coeff),
            checked("probs_grad", probs_grad, *shape),
            add,
        )

    def softmax_logreg_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        shape = _rows(probs)
        softmax.softmax_logreg_bprop(
            checked("labels", labels, shape[1]),
            checked("probs", probs, *shape),
            _f32(coeff),
            checked("inputs_grad", inputs_grad, *shape),
            add,
        )

    def sum2_cost(self, inputs: In, values: Out) -> None:
        softmax.sum2_cost(
            checked("inputs", inputs, inputs.size), checked("values", values, values.size)
        )


def _rows(array: Array) -> tuple[int, int]:
    return array.size // array.shape[-1], array.shape[-1]
