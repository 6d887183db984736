"""Metric learning, image by image in plain loops, from the formulas."""

from __future__ import annotations

from math import acos, cos, pi, sin, sqrt

import numpy as np

BORDER = 1 - 2**-20  # of cosines


def l2norm_fprop(inputs: np.ndarray, eps: float) -> np.ndarray:
    acts = np.empty_like(inputs)
    for n, x in enumerate(inputs.T):
        length = sqrt(sum(float(v) ** 2 for v in x) + eps)
        acts[:, n] = [v / length for v in x]
    return acts


def l2norm_bprop(inputs: np.ndarray, acts_grad: np.ndarray, eps: float) -> np.ndarray:
    """By the matrix of derivatives: dy(j)/dx(k) = [j = k] / r - x(j) x(k) / r^3."""
    inputs_grad = np.empty_like(inputs)
    for n, x in enumerate(inputs.T):
        r = sqrt(sum(float(v) ** 2 for v in x) + eps)
        derivatives = np.eye(len(x)) / r - np.outer(x, x) / r**3
        inputs_grad[:, n] = derivatives @ acts_grad[:, n]
    return inputs_grad


def prelu_fprop(images: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    acts = images.copy()
    for index in np.ndindex(images.shape):
        if images[index] < 0:
            acts[index] *= slopes.flat[index[0]]
    return acts


def prelu_bprop(
    images: np.ndarray, slopes: np.ndarray, acts_grad: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the images, and what the gradients of the slopes are sums of."""
    images_grad, terms = acts_grad.copy(), np.zeros_like(images)
    for index in np.ndindex(images.shape):
        if images[index] <= 0:
            images_grad[index] *= slopes.flat[index[0]]
            terms[index] = acts_grad[index] * images[index]
    return images_grad, terms


def margin_logits(
    label: int, cosines: np.ndarray, m1: float, m2: float, m3: float, scale: float
) -> list[float]:
    """Of one image, by the angle of its label."""
    logits = [scale * float(c) for c in cosines]
    angle = m1 * acos(min(max(float(cosines[label]), -BORDER), BORDER)) + m2
    psi, turns = cos(angle) - m3, 0
    while angle > (turns + 1) * pi:  # SphereFace: each half turn goes on where the last has ended
        turns += 1
        psi = (-1) ** turns * cos(angle) - 2 * turns - m3
    logits[label] = scale * psi
    return logits


def chosen_classes(labels: np.ndarray, share: float, drawn: np.ndarray) -> np.ndarray:
    """1 for each class that counts, by a number from 0 to 1 for each."""
    given = set(labels.ravel().astype(int))
    return np.array([float(k in given or u < share) for k, u in enumerate(drawn)])


def margin_cost(
    labels: np.ndarray,
    cosines: np.ndarray,
    margins: tuple[float, ...],
    top: int,
    chosen: np.ndarray | None = None,
) -> np.ndarray:
    *sizes, smoothing = margins
    rows, values = len(cosines), np.zeros(3)
    counted = [k for k in range(rows) if chosen is None or chosen[k]]
    for n, label in enumerate(labels.ravel().astype(int)):
        logits = np.array(margin_logits(label, cosines[:, n], *sizes))
        log_probs = logits - logits[counted].max()
        log_probs -= np.log(np.exp(log_probs[counted]).sum())
        others = len(counted) - 1
        for k in counted:
            share = smoothing / others if others else 0
            values[0] -= log_probs[k] * (share if k != label else 1 - share * others)
        better = sum(cosines[k, n] > cosines[label, n] for k in range(rows))
        ties = sum(cosines[k, n] == cosines[label, n] for k in range(rows))
        values[1] += 1 - min(1, max(0, 1 - better) / ties)
        values[2] += 1 - min(1, max(0, top - better) / ties)
    return values


def margin_bprop(
    labels: np.ndarray,
    cosines: np.ndarray,
    margins: tuple[float, ...],
    coeff: float,
    chosen: np.ndarray | None = None,
) -> np.ndarray:
    m1, m2, m3, scale, smoothing = margins
    rows, grad = len(cosines), np.zeros_like(cosines)
    counted = [k for k in range(rows) if chosen is None or chosen[k]]
    for n, label in enumerate(labels.ravel().astype(int)):
        logits = np.array(margin_logits(label, cosines[:, n], m1, m2, m3, scale))
        probs = np.exp(logits - logits[counted].max())
        probs /= probs[counted].sum()
        others = len(counted) - 1
        for k in counted:
            share = smoothing / others if others else 0
            if k == label:
                share = 1 - share * others
                angle = acos(min(max(float(cosines[k, n]), -BORDER), BORDER))
                slope = m1 * abs(sin(m1 * angle + m2)) / sin(angle)
            else:
                slope = 1
            grad[k, n] = coeff * scale * (probs[k] - share) * slope
    return grad


Triplet = tuple[int, int, int]


def distance(inputs: np.ndarray, i: int, j: int) -> float:
    return float(((inputs[:, i] - inputs[:, j]) ** 2).sum())


def triplets_of(
    labels: np.ndarray, inputs: np.ndarray, margin: float, semihard: bool, drawn: np.ndarray
) -> tuple[list[Triplet], list[tuple[int, int]]]:
    """The triplets, and the pairs; `drawn` has a number from 0 to 1 for each a N + p."""
    given, count = labels.ravel(), labels.size
    triplets, pairs = [], []
    for a in range(count):
        for p in range(a + 1, count):
            if given[a] != given[p] or given[a] < 0:
                continue
            pairs.append((a, p))
            near = distance(inputs, a, p)
            fit = []
            for n in range(count):
                far = distance(inputs, a, n)
                others = given[n] not in (-1, given[a])
                if others and far < near + margin and (far > near or not semihard):
                    fit.append(n)
            if fit:
                triplets.append((a, p, fit[int(float(drawn[a * count + p]) * len(fit))]))
    return triplets, pairs


def triplet_cost(
    labels: np.ndarray, inputs: np.ndarray, margin: float, semihard: bool, drawn: np.ndarray
) -> np.ndarray:
    given, count = labels.ravel(), labels.size
    triplets, pairs = triplets_of(labels, inputs, margin, semihard, drawn)
    losses = [distance(inputs, a, p) - distance(inputs, a, n) + margin for a, p, n in triplets]
    same = [distance(inputs, *pair) for pair in pairs]
    others = [
        distance(inputs, i, j)
        for i in range(count)
        for j in range(i + 1, count)
        if given[i] != given[j] and -1 not in (given[i], given[j])
    ]
    mean_loss, mean_same, mean_other = (
        sum(values) / max(1, len(values)) for values in (losses, same, others)
    )
    sums = (count * mean_loss, len(triplets), len(pairs), count * mean_same, count * mean_other)
    return np.array(sums)


def triplet_bprop(inputs: np.ndarray, triplets: list[Triplet], coeff: float) -> np.ndarray:
    grad = np.zeros_like(inputs)
    factor = coeff * inputs.shape[1] / max(1, len(triplets))
    for a, p, n in triplets:
        grad[:, a] += factor * 2 * (inputs[:, n] - inputs[:, p])
        grad[:, p] += factor * 2 * (inputs[:, p] - inputs[:, a])
        grad[:, n] += factor * 2 * (inputs[:, a] - inputs[:, n])
    return grad


def center_cost(labels: np.ndarray, inputs: np.ndarray, centers: np.ndarray) -> np.ndarray:
    values = np.zeros(2)
    for n, label in enumerate(labels.ravel().astype(int)):
        values[0] += sum((inputs[:, n] - centers[:, label]) ** 2) / 2
        values[1] += sqrt(sum(inputs[:, n] ** 2))
    return values


def center_track(
    labels: np.ndarray, inputs: np.ndarray, centers: np.ndarray, rate: float
) -> np.ndarray:
    moved = centers.copy()
    for j in range(centers.shape[1]):
        images = [inputs[:, n] for n, label in enumerate(labels.ravel()) if label == j]
        delta = sum((centers[:, j] - x for x in images), start=np.zeros(len(inputs)))
        moved[:, j] -= rate * delta / (1 + len(images))
    return moved


def pairs_of(labels: np.ndarray) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pairs of images with one label, and with different ones."""
    given = labels.ravel()
    couples = [(i, j) for i in range(given.size) for j in range(i + 1, given.size)]
    same = [(i, j) for i, j in couples if given[i] == given[j] and given[i] >= 0]
    others = [c for c in couples if given[c[0]] != given[c[1]] and -1 not in given[list(c)]]
    return same, others


def contrastive_cost(labels: np.ndarray, inputs: np.ndarray, margin: float) -> np.ndarray:
    same, others = pairs_of(labels)
    values, count = np.zeros(4), labels.size
    for pair in same:
        values[0] += count * distance(inputs, *pair) / 2 / len(same)
        values[2] += count * distance(inputs, *pair) / len(same)
    for pair in others:
        missing = max(0, margin - sqrt(distance(inputs, *pair)))
        values[0] += count * missing**2 / 2 / len(others)
        values[1] += missing > 0
        values[3] += count * distance(inputs, *pair) / len(others)
    return values


def contrastive_bprop(
    labels: np.ndarray, inputs: np.ndarray, margin: float, coeff: float
) -> np.ndarray:
    same, others = pairs_of(labels)
    grad, factor = np.zeros_like(inputs), coeff * labels.size
    for i, j in (*same, *others):
        way = inputs[:, i] - inputs[:, j]
        if (i, j) in same:
            step = factor / len(same) * way
        else:
            away = sqrt(distance(inputs, i, j))
            step = -factor / len(others) * max(0, margin - away) / max(away, 1e-6) * way
        grad[:, i] += step
        grad[:, j] -= step
    return grad
