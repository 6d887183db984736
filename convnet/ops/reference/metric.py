"""Metric learning in numpy."""

from __future__ import annotations

import numpy as np

from convnet.ops.philox import uniform
from convnet.ops.reference.common import store
from convnet.ops.reference.costs import is_known, is_label, label_values, lacking_shares
from convnet.ops.roles import Array, In, InOut, Out, RandomKey
from convnet.ops.spec.metric import BORDER, UNKNOWN, Margins, MetricOps


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

    def choose_classes(self, labels: In, share: float, key: RandomKey, chosen: Out) -> None:
        chosen[...] = uniform(key, chosen.size) < share
        known = labels[labels >= 0]
        chosen[known.astype(int)] = 1

    def margin_cost(
        self,
        labels: In,
        cosines: In,
        margins: Margins,
        top: int,
        values: Out,
        chosen: In | None = None,
    ) -> None:
        logits, _ = _logits_and_slopes(labels, cosines, margins)
        counted = _counted(cosines, chosen)
        shares = _shares(labels, cosines, margins.smoothing, counted)
        lacking = _log_norms(logits[counted]) - logits[counted]
        values[0] = (shares[counted] * lacking)[:, is_known(labels)].sum()
        values[1:] = lacking_shares(labels, cosines, top)

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
        logits, slopes = _logits_and_slopes(labels, cosines, margins)
        counted = _counted(cosines, chosen)
        shares = _shares(labels, cosines, margins.smoothing, counted)
        rest = np.zeros_like(cosines)
        rest[counted] = np.exp(logits[counted] - _log_norms(logits[counted])) - shares[counted]
        store(cosines_grad, np.where(is_known(labels), coeff * rest * slopes, 0), add)

    def triplet_cost(
        self,
        labels: In,
        inputs: In,
        margin: float,
        semihard: bool,
        key: RandomKey,
        values: Out,
    ) -> None:
        distances = _distances(inputs)
        pairs, others = _pairs(labels)
        triplets = _triplets(distances, pairs, others, margin, semihard, key)
        losses = [distances[a, p] - distances[a, n] + margin for a, p, n in triplets]
        # A NaN passes, though it is in no triplet.
        values[0] = _mean(np.array(losses)) + 0 * distances.sum()
        values[1:3] = len(triplets), pairs.sum()
        values[3:5] = _mean(distances[pairs]), _mean(distances[np.triu(others)])
        for i in (0, 3, 4):
            values[i] *= len(distances)

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
        distances = _distances(inputs)
        triplets = _triplets(distances, *_pairs(labels), margin, semihard, key)
        slopes = np.zeros_like(distances)
        for a, p, n in triplets:
            slopes[a, p] += 1
            slopes[a, n] -= 1
        slopes *= coeff * len(distances) / max(1, len(triplets))
        store(inputs_grad, _distances_bprop(inputs, slopes), add)

    def contrastive_cost(self, labels: In, inputs: In, margin: float, values: Out) -> None:
        distances = _distances(inputs)
        pairs, others = _pairs(labels)
        same, other = distances[pairs], distances[np.triu(others)]
        missing = np.maximum(0, margin - np.sqrt(other))
        values[0] = _mean(same) / 2 + _mean(missing**2) / 2
        values[1] = (missing > 0).sum()
        values[2:4] = _mean(same), _mean(other)
        for i in (0, 2, 3):
            values[i] *= len(distances)

    def contrastive_bprop(
        self,
        labels: In,
        inputs: In,
        margin: float,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        roots = np.sqrt(_distances(inputs))
        pairs, others = _pairs(labels)
        others = np.triu(others)
        slopes = pairs / (2 * max(1, pairs.sum()))
        missing = np.maximum(0, margin - roots) / np.maximum(roots, 1e-6)
        slopes = slopes - others * missing / (2 * max(1, others.sum()))
        store(inputs_grad, _distances_bprop(inputs, coeff * len(roots) * slopes), add)

    def center_cost(self, labels: In, inputs: In, centers: In, values: Out) -> None:
        values[0] = (_from_centers(labels, inputs, centers) ** 2).sum() / 2
        values[1] = np.sqrt((inputs**2).sum(axis=0))[is_known(labels)].sum()

    def center_bprop(
        self,
        labels: In,
        inputs: In,
        centers: In,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        store(inputs_grad, coeff * _from_centers(labels, inputs, centers), add)

    def center_track(self, labels: In, inputs: In, rate: float, centers: InOut) -> None:
        away = _from_centers(labels, inputs, centers)
        for label in np.unique(labels[labels >= 0]):
            members = away[:, labels.reshape(-1) == label]
            centers[:, int(label)] += rate / (1 + members.shape[1]) * members.sum(axis=1)


def _from_centers(labels: Array, inputs: Array, centers: Array) -> Array:
    """Each image's way from the center of its class, 0 without a class, (rows, N)."""
    away = inputs - centers[:, labels.reshape(-1).astype(int)]
    return np.where(is_known(labels), away, 0)


def _distances(inputs: Array) -> Array:
    """Squares of the distances between all images, (N, N)."""
    return ((inputs[:, :, None] - inputs[:, None, :]) ** 2).sum(axis=0)


def _distances_bprop(inputs: Array, slopes: Array) -> Array:
    """The gradient of the inputs, given that of each distance."""
    both = slopes + slopes.T
    return 2 * (both * (inputs[:, :, None] - inputs[:, None, :])).sum(axis=2)


def _pairs(labels: Array) -> tuple[Array, Array]:
    """Truth of "a < p have one label, not below 0", and of "different labels", (N, N).

    Unknown labels are not different from others.
    """
    labels = labels.reshape(-1)
    equal = labels[:, None] == labels
    known = labels != UNKNOWN
    return np.triu(equal, 1) & (labels >= 0), ~equal & known & known[:, None]


def _triplets(
    distances: Array,
    pairs: Array,
    others: Array,
    margin: float,
    semihard: bool,
    key: RandomKey,
) -> list[tuple[int, int, int]]:
    """(a, p, n) of Ops.triplet_cost."""
    drawn = uniform(key, distances.size).astype(np.float64).reshape(distances.shape)
    triplets = []
    for a, p in np.argwhere(pairs):
        fit = others[a] & (distances[a] < distances[a, p] + margin)
        if semihard:
            fit &= distances[a] > distances[a, p]
        if count := fit.sum():
            triplets.append((a, p, np.flatnonzero(fit)[int(drawn[a, p] * count)]))
    return triplets


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else 0.0


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


def _counted(cosines: Array, chosen: Array | None) -> Array:
    """Which classes count, bool (classes,)."""
    return np.ones(len(cosines), bool) if chosen is None else chosen > 0


def _shares(labels: Array, cosines: Array, smoothing: float, counted: Array) -> Array:
    """t of Margins, (classes, N)."""
    others = counted.sum() - 1
    smoothing = smoothing if others else 0.0
    return np.where(is_label(labels, cosines), 1 - smoothing, smoothing / max(1, others))


def _log_norms(logits: Array) -> Array:
    """log of the sum of exp(logits), per image."""
    largest = logits.max(axis=0)
    return largest + np.log(np.exp(logits - largest).sum(axis=0))
