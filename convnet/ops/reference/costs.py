"""Softmax and costs in numpy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convnet.ops.reference.common import store
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.costs import CostOps


class ReferenceCostOps(CostOps):
    """This part of ReferenceOps."""

    def softmax_fprop(self, inputs: In, acts: Out) -> None:
        powers = np.exp(inputs - inputs.max(axis=0))
        store(acts, powers / powers.sum(axis=0))

    def softmax_bprop(self, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        store(inputs_grad, acts * (acts_grad - (acts_grad * acts).sum(axis=0)), add)

    @np.errstate(divide="ignore", invalid="ignore")  # infinite or NaN costs are for the trainer
    def logreg_cost(self, labels: In, probs: In, top: int, values: Out) -> None:
        values[0] = -np.log(label_values(labels, probs))[is_known(labels)].sum()
        values[1:] = lacking_shares(labels, probs, top)

    def softmax_logreg_fprop(
        self, labels: In, inputs: In, top: int, acts: Out, values: Out
    ) -> None:
        self.softmax_fprop(inputs, acts)
        self.logreg_cost(labels, acts, top, values)

    @np.errstate(divide="ignore")  # as in logreg_cost
    def logreg_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        total = np.where(is_label(labels, probs), -coeff / label_values(labels, probs), 0)
        store(probs_grad, total, add)

    def softmax_logreg_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        grad = coeff * (probs - is_label(labels, probs))
        store(inputs_grad, np.where(is_known(labels), grad, 0), add)

    def sum2_cost(self, inputs: In, values: Out) -> None:
        values[0] = (inputs**2).sum()

    def crossent_cost(self, labels: In, probs: In, values: Out) -> None:
        largest = probs == probs.max(axis=0)
        right = (largest & (labels > 0)).any(axis=0)
        values[0] = -(labels * _safe_log(probs)).sum()
        values[1] = (1 - right / largest.sum(axis=0)).sum()

    def crossent_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        store(probs_grad, -coeff * labels * _safe_inverse(probs), add)

    def softmax_crossent_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        store(inputs_grad, coeff * (probs * labels.sum(axis=0) - labels), add)

    def bce_cost(self, labels: In, probs: In, pos_weight: float, values: Out) -> None:
        largest = probs == probs.max(axis=0)
        terms = pos_weight * labels * _safe_log(probs) + (1 - labels) * _safe_log(1 - probs)
        values[0] = -terms.sum()
        values[1] = ((probs > 0.5) != labels).sum() / len(labels)
        values[2] = probs.shape[-1] - (labels * largest / largest.sum(axis=0)).sum()

    def bce_bprop(
        self,
        labels: In,
        probs: In,
        pos_weight: float,
        coeff: float,
        probs_grad: Out,
        add: bool = False,
    ) -> None:
        present = pos_weight * labels * _safe_inverse(probs)
        store(probs_grad, coeff * ((1 - labels) * _safe_inverse(1 - probs) - present), add)

    def logistic_bce_bprop(
        self,
        labels: In,
        probs: In,
        pos_weight: float,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        total = (1 - labels) * probs - pos_weight * labels * (1 - probs)
        store(inputs_grad, coeff * total, add)

    def dce_cost(self, labels: In, probs: In, pos_weight: float, values: Out) -> None:
        shared = np.empty(3, values.dtype)
        self.bce_cost(labels, probs, pos_weight, shared)
        declared = probs > 0.5
        values[:2] = shared[:2]
        values[2::3] = declared.sum(axis=1)
        values[3::3] = labels.sum(axis=1)
        values[4::3] = (labels * (declared == labels)).sum(axis=1)

    def hinge_cost(self, labels: In, inputs: In, values: Out) -> None:
        label, other = _label_and_best_other(labels, inputs)
        values[0] = np.maximum(0, 1 + other - label).sum()
        values[1] = (~(label > other)).sum()

    def hinge_bprop(
        self, labels: In, inputs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        label, other = _label_and_best_other(labels, inputs)
        here = is_label(labels, inputs)
        rows = np.arange(len(inputs))[:, None]
        is_other = rows == np.where(here, -np.inf, inputs).argmax(axis=0)
        total = coeff * (is_other * 1.0 - here) * (1 + other - label > 0)
        store(inputs_grad, total, add)

    def gsinlabel_cost(self, labels: In, inputs: In, values: Out) -> None:
        values[0] = sum(_group_norms(group).sum() for _, group in _groups(labels, inputs))

    def gsinlabel_bprop(
        self, labels: In, inputs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        total = np.zeros_like(inputs)
        for members, group in _groups(labels, inputs):
            scale = coeff * len(members) * _safe_inverse(_group_norms(group))
            total[..., members] = scale[:, None, None] * group
        store(inputs_grad, total, add)

    def locrank_cost(
        self, first: In, second: In, third: In, weights: In, margin: float, values: Out
    ) -> None:
        excess = np.maximum(0, _locrank_excess(first, second, third, margin))
        values[1] = (weights.reshape(-1) * excess).sum()
        values[0] = values[1] + ((2 * first - 1).mean(axis=1) ** 2).sum() / 2

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
        active = _locrank_excess(first, second, third, margin) > 0
        weight = coeff * weights.reshape(-1) * active
        if position == 0:
            mean = (2 * first - 1).mean(axis=1, keepdims=True)
            total = 2 * weight * (third - second) + 2 * coeff * mean / first.shape[-1]
        else:
            total = (-weight if position == 1 else weight) * (2 * first - 1)
        store(codes_grad, total, add)


def is_known(labels: Array) -> Array:
    """Truth of "the image has a label", (N,)."""
    return labels.reshape(-1) >= 0


def label_values(labels: Array, values: Array) -> Array:
    """The value of each image's label, (N,); anything where it has none."""
    return values[labels.reshape(-1).astype(int), np.arange(values.shape[-1])]


def lacking_shares(labels: Array, values: Array, top: int) -> tuple[float, float]:
    """How many labels are not the largest of their column, and not among the `top` largest."""
    given = label_values(labels, values)
    better = (values > given).sum(axis=0)
    ties = (values == given).sum(axis=0)
    # In each column the label's share of the slots that are left to those it ties with. A NaN ties
    # with nothing, not even itself, and has none.
    valid, ties = ties > 0, np.maximum(ties, 1)
    shares = (1 - np.clip((k - better) / ties, 0, 1) * valid for k in (1, top))
    first, several = (share[is_known(labels)].sum() for share in shares)
    return first, several


def is_label(labels: Array, values: Array) -> Array:
    """Truth of "row is the image's label", (classes, N)."""
    return np.arange(len(values))[:, None] == labels.reshape(1, -1)


def _safe_log(probs: Array) -> Array:
    """log p, -50 where p is not positive; a NaN stays one."""
    return np.where(probs <= 0, -50, np.log(np.where(probs <= 0, 1, probs)))


def _safe_inverse(values: Array) -> Array:
    """1 / x, 0 where x is not positive; a NaN stays one."""
    return np.where(values <= 0, 0, 1 / np.where(values <= 0, 1, values))


def _label_and_best_other(labels: Array, inputs: Array) -> tuple[Array, Array]:
    """Of each image: the input at the label, and the largest elsewhere."""
    others = np.where(is_label(labels, inputs), -np.inf, inputs)
    return label_values(labels, inputs), others.max(axis=0)


def _groups(labels: Array, inputs: Array) -> Iterator[tuple[Array, Array]]:
    """For each label that occurs: the numbers of its images, and their inputs."""
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        yield members, inputs[..., members]


def _group_norms(group: Array) -> Array:
    """S of Ops.gsinlabel_cost, per channel."""
    return np.sqrt(group.shape[-1] * (group**2).sum(axis=(1, 2)))


def _locrank_excess(first: Array, second: Array, third: Array, margin: float) -> Array:
    """h of Ops.locrank_cost, per image."""
    return margin + ((2 * first - 1) * (third - second)).sum(axis=0)
