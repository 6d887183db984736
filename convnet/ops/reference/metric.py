"""Metric learning in numpy."""

from __future__ import annotations

import numpy as np

from convnet.ops.reference.common import store
from convnet.ops.reference.costs import is_label, label_values, lacking_shares
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.metric import BORDER, Margins, MetricOps


class ReferenceMetricOps(MetricOps):
    """This part of ReferenceOps."""

    def l2norm_fprop(self, inputs: In, eps: float, acts: Out) -> None:
        store(acts, inputs / np.sqrt((inputs**2).sum(axis=0) + eps))

    def l2norm_bprop(
        self, inputs: In, acts_grad: In, eps: float, inputs_grad: Out, add: bool = False
    ) -> None:
        norms = np.sqrt((inputs**2).sum(axis=0) + eps)
        units = inputs / norms
        store(inputs_grad, (acts_grad - units * (units * acts_grad).sum(axis=0)) / norms, add)

    def margin_cost(self, labels: In, cosines: In, margins: Margins, top: int, values: Out) -> None:
        logits, _ = _logits_and_slopes(labels, cosines, margins)
        shares = _shares(labels, cosines, margins.smoothing)
        values[0] = (shares * (_log_norms(logits) - logits)).sum()
        values[1:] = lacking_shares(labels, cosines, top)

    def margin_bprop(
        self,
        labels: In,
        cosines: In,
        margins: Margins,
        coeff: float,
        cosines_grad: Out,
        add: bool = False,
    ) -> None:
        logits, slopes = _logits_and_slopes(labels, cosines, margins)
        rest = np.exp(logits - _log_norms(logits)) - _shares(labels, cosines, margins.smoothing)
        store(cosines_grad, coeff * rest * slopes, add)


def _logits_and_slopes(labels: Array, cosines: Array, margins: Margins) -> tuple[Array, Array]:
    """The logits, (classes, N), and their derivatives by the cosines."""
    m1, m2, m3, scale, _ = margins
    cosine = np.clip(label_values(labels, cosines), -BORDER, BORDER)
    angle = m1 * np.arccos(cosine) + m2
    turns = np.floor(angle / np.pi)
    psi = (-1) ** turns * np.cos(angle) - 2 * turns - m3
    slope = m1 * np.abs(np.sin(angle)) / np.sqrt((1 - cosine) * (1 + cosine))
    here = is_label(labels, cosines)
    return scale * np.where(here, psi, cosines), scale * np.where(here, slope, 1)


def _shares(labels: Array, cosines: Array, smoothing: float) -> Array:
    """t of Margins, (classes, N)."""
    others = len(cosines) - 1
    smoothing = smoothing if others else 0.0
    return np.where(is_label(labels, cosines), 1 - smoothing, smoothing / max(1, others))


def _log_norms(logits: Array) -> Array:
    """log of the sum of exp(logits), per image."""
    largest = logits.max(axis=0)
    return largest + np.log(np.exp(logits - largest).sum(axis=0))
