"""Softmax and costs: checks arrays, calls the CPU kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from convnet.ops.cpu import costs, softmax
from convnet.ops.cpu.arrays import checked
from convnet.ops.layout import rows_of
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.costs import CostOps

_f32: Any = np.float32


class CpuCostOps(CostOps):
    """This part of CpuOps."""

    def softmax_fprop(self, inputs: In, acts: Out) -> None:
        shape = rows_of(inputs)
        softmax.fprop(checked("inputs", inputs, *shape), checked("acts", acts, *shape))

    def softmax_bprop(self, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        shape = rows_of(acts)
        softmax.bprop(
            checked("acts", acts, *shape),
            checked("acts_grad", acts_grad, *shape),
            checked("inputs_grad", inputs_grad, *shape),
            add,
        )

    def logreg_cost(self, labels: In, probs: In, top: int, values: Out) -> None:
        shape = rows_of(probs)
        softmax.logreg_cost(
            checked("labels", labels, shape[1]),
            checked("probs", probs, *shape),
            top,
            checked("values", values, 3),
        )

    def softmax_logreg_fprop(
        self, labels: In, inputs: In, top: int, acts: Out, values: Out
    ) -> None:
        shape = rows_of(inputs)
        softmax.softmax_logreg_fprop(
            checked("labels", labels, shape[1]),
            checked("inputs", inputs, *shape),
            top,
            checked("acts", acts, *shape),
            checked("values", values, 3),
        )

    def logreg_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        shape = rows_of(probs)
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
        shape = rows_of(probs)
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

    def crossent_cost(self, labels: In, probs: In, values: Out) -> None:
        costs.crossent_cost(*_matrices(labels, probs), checked("values", values, 2))

    def crossent_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        grad = checked("probs_grad", probs_grad, *rows_of(probs))
        costs.crossent_bprop(*_matrices(labels, probs), _f32(coeff), grad, add)

    def softmax_crossent_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        grad = checked("inputs_grad", inputs_grad, *rows_of(probs))
        costs.softmax_crossent_bprop(*_matrices(labels, probs), _f32(coeff), grad, add)

    def bce_cost(self, labels: In, probs: In, pos_weight: float, values: Out) -> None:
        target = checked("values", values, 3)
        costs.bce_cost(*_matrices(labels, probs), _f32(pos_weight), target)

    def bce_bprop(
        self,
        labels: In,
        probs: In,
        pos_weight: float,
        coeff: float,
        probs_grad: Out,
        add: bool = False,
    ) -> None:
        grad = checked("probs_grad", probs_grad, *rows_of(probs))
        weight, factor = _f32(pos_weight), _f32(coeff)
        costs.bce_bprop(*_matrices(labels, probs), weight, factor, grad, add)

    def logistic_bce_bprop(
        self,
        labels: In,
        probs: In,
        pos_weight: float,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        grad = checked("inputs_grad", inputs_grad, *rows_of(probs))
        weight, factor = _f32(pos_weight), _f32(coeff)
        costs.logistic_bce_bprop(*_matrices(labels, probs), weight, factor, grad, add)

    def dce_cost(self, labels: In, probs: In, pos_weight: float, values: Out) -> None:
        matrices = _matrices(labels, probs)
        target = checked("values", values, 2 + 3 * rows_of(probs)[0])
        # The third value of bce_cost is written over by the counts.
        costs.bce_cost(*matrices, _f32(pos_weight), target)
        costs.detections(*matrices, target[2:])

    def hinge_cost(self, labels: In, inputs: In, values: Out) -> None:
        rows, N = rows_of(inputs)
        costs.hinge_cost(
            checked("labels", labels, N),
            checked("inputs", inputs, rows, N),
            checked("values", values, 2),
        )

    def hinge_bprop(
        self, labels: In, inputs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        rows, N = rows_of(inputs)
        costs.hinge_bprop(
            checked("labels", labels, N),
            checked("inputs", inputs, rows, N),
            _f32(coeff),
            checked("inputs_grad", inputs_grad, rows, N),
            add,
        )

    def gsinlabel_cost(self, labels: In, inputs: In, values: Out) -> None:
        _, _, norms = _group_norms(labels, inputs)
        checked("values", values, 1)[0] = norms.sum()

    def gsinlabel_bprop(
        self, labels: In, inputs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        groups, sizes, norms = _group_norms(labels, inputs)
        grad = checked("inputs_grad", inputs_grad, *inputs.shape)
        costs.gsinlabel_bprop(groups, sizes, inputs, norms, _f32(coeff), grad, add)

    def locrank_cost(
        self, first: In, second: In, third: In, weights: In, margin: float, values: Out
    ) -> None:
        arrays = _codes(first, second, third, weights)
        costs.locrank_cost(*arrays, margin, checked("values", values, 2))

    def locrank_bprop(
        self,
        first: In,
        second: In,
        third: In,
        weights: In,
        margin: float,
        position: int,
        coeff: float,
        codes_grad: Out,
        add: bool = False,
    ) -> None:
        arrays = _codes(first, second, third, weights)
        grad = checked("codes_grad", codes_grad, *rows_of(first))
        costs.locrank_bprop(*arrays, margin, position, _f32(coeff), grad, add)


def _matrices(labels: Array, probs: Array) -> tuple[Array, Array]:
    shape = rows_of(probs)
    return checked("labels", labels, *shape), checked("probs", probs, *shape)


def _group_norms(labels: Array, inputs: Array) -> tuple[Array, Array, Array]:
    """Number of each image's group, sizes of the groups, S (channels, groups) in float64."""
    channels, _, N = inputs.shape
    _, groups, sizes = np.unique(
        checked("labels", labels, N), return_inverse=True, return_counts=True
    )
    norms = np.empty((channels, sizes.size))
    costs.group_norms(groups, sizes, checked("inputs", inputs, *inputs.shape), norms)
    return groups, sizes, norms


def _codes(first: Array, second: Array, third: Array, weights: Array) -> tuple[Array, ...]:
    shape = rows_of(first)
    return (
        checked("first", first, *shape),
        checked("second", second, *shape),
        checked("third", third, *shape),
        checked("weights", weights, shape[1]),
    )
