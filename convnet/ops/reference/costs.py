"""Softmax and costs in numpy."""

from __future__ import annotations

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
        given = _label_probs(labels, probs)
        better = (probs > given).sum(axis=0)
        ties = (probs == given).sum(axis=0)
        values[0] = -np.log(given).sum()
        # In each column the label's share of the slots that are left to those it ties with.
        for i, slots in ((1, 1 - better), (2, top - better)):
            values[i] = (1 - np.clip(slots / ties, 0, 1)).sum()

    @np.errstate(divide="ignore")  # as in logreg_cost
    def logreg_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        total = np.where(_is_label(labels, probs), -coeff / _label_probs(labels, probs), 0)
        store(probs_grad, total, add)

    def softmax_logreg_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        store(inputs_grad, coeff * (probs - _is_label(labels, probs)), add)

    def sum2_cost(self, inputs: In, values: Out) -> None:
        values[0] = (inputs**2).sum()


def _label_probs(labels: Array, probs: Array) -> Array:
    """Probability of each image's label, (N,)."""
    return probs[labels.reshape(-1).astype(int), np.arange(probs.shape[-1])]


def _is_label(labels: Array, probs: Array) -> Array:
    """Truth of "row is the image's label", (classes, N)."""
    return np.arange(len(probs))[:, None] == labels.reshape(1, -1)
