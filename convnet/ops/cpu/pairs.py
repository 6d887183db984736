"""Kernels of costs of pairs of images: distances, triplets. Inputs are (rows, N)."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import parallel, serial
from convnet.ops.cpu.random import words
from convnet.ops.roles import Array
from convnet.ops.spec.metric import UNKNOWN

_LOW, _UNIT = np.uint64(8), np.uint64(24)


@parallel
def distances(inputs: Array, result: Array) -> None:
    """result(i, j) = sum over rows of (x(i) - x(j))^2, (N, N)."""
    rows, cases = inputs.shape
    for i in prange(cases):
        sums = np.zeros(cases)
        for k in range(rows):
            for j in range(cases):
                away = inputs[k, i] - inputs[k, j]
                sums[j] += away * away
        result[i] = sums


@parallel
def distances_bprop(inputs: Array, slopes: Array, inputs_grad: Array, add: bool) -> None:
    """The gradient of the inputs, given that of each distance (N, N)."""
    rows, cases = inputs.shape
    for k in prange(rows):
        for i in range(cases):
            total = 0.0
            for j in range(cases):
                total += (slopes[i, j] + slopes[j, i]) * (inputs[k, i] - inputs[k, j])
            grad = np.float32(2 * total)
            inputs_grad[k, i] = grad + inputs_grad[k, i] if add else grad


@serial
def is_pair(labels: Array, a: int, p: int) -> bool:
    """Whether two images are of one label, that is not below 0."""
    return labels[a] == labels[p] and labels[a] >= 0


@serial
def are_others(labels: Array, a: int, n: int) -> bool:
    """Whether two images are known to be of different labels."""
    return labels[a] != labels[n] and labels[a] != UNKNOWN and labels[n] != UNKNOWN


@serial
def _fits(
    labels: Array, distance: Array, margin: float, semihard: bool, a: int, p: int, n: int
) -> bool:
    """Whether n may be in a triplet with the pair a, p."""
    return (
        are_others(labels, a, n)
        and distance[a, n] < distance[a, p] + margin
        and not (semihard and not distance[a, n] > distance[a, p])
    )


@parallel
def choose_negatives(
    labels: Array, distance: Array, margin: float, semihard: bool, key: Array, negatives: Array
) -> None:
    """negatives(a, p) = n of the triplet of a pair, -1: none; see Ops.triplet_cost."""
    cases = labels.size
    for a in prange(cases):
        for p in range(cases):
            negatives[a, p] = -1
            count = 0
            if a < p and is_pair(labels, a, p):
                for n in range(cases):
                    count += _fits(labels, distance, margin, semihard, a, p, n)
            if count:
                element = a * cases + p
                word = words(key, element // 4)[element % 4] >> _LOW
                left = np.int64(word * np.uint64(count) >> _UNIT)
                for n in range(cases):
                    if _fits(labels, distance, margin, semihard, a, p, n):
                        if left == 0:
                            negatives[a, p] = n
                        left -= 1


@serial
def triplet_cost(
    labels: Array, distance: Array, negatives: Array, margin: float, values: Array
) -> None:
    """The values of Ops.triplet_cost."""
    cases = labels.size
    loss = same = other = 0.0
    triplets = pairs = others = 0
    for a in range(cases):
        for p in range(a + 1, cases):
            if is_pair(labels, a, p):
                pairs += 1
                same += distance[a, p]
            elif are_others(labels, a, p):
                others += 1
                other += distance[a, p]
            if negatives[a, p] >= 0:
                triplets += 1
                loss += distance[a, p] - distance[a, negatives[a, p]] + margin
    # A NaN passes, though it is in no triplet.
    values[0] = cases * loss / max(triplets, 1) + 0 * (same + other)
    values[1], values[2] = triplets, pairs
    values[3] = cases * same / max(pairs, 1)
    values[4] = cases * other / max(others, 1)


@serial
def triplet_slopes(negatives: Array, coeff: float, slopes: Array) -> None:
    """The gradients of the distances, (N, N)."""
    cases = len(negatives)
    slopes[:] = 0
    triplets = 0
    for a in range(cases):
        for p in range(cases):
            n = negatives[a, p]
            if n >= 0:
                triplets += 1
                slopes[a, p] += 1
                slopes[a, n] -= 1
    slopes *= np.float32(coeff * cases / max(triplets, 1))


@serial
def contrastive_cost(labels: Array, distance: Array, margin: float, values: Array) -> None:
    """The values of Ops.contrastive_cost."""
    cases = labels.size
    same = other = missing = 0.0
    pairs = others = near = 0
    for i in range(cases):
        for j in range(i + 1, cases):
            if is_pair(labels, i, j):
                pairs += 1
                same += distance[i, j]
            elif are_others(labels, i, j):
                others += 1
                other += distance[i, j]
                away = sqrt(distance[i, j])
                if not away >= margin:
                    near += 1
                    missing += (margin - away) ** 2
    pairs, others = max(pairs, 1), max(others, 1)
    values[0] = cases * (same / (2 * pairs) + missing / (2 * others))
    values[1], values[2], values[3] = near, cases * same / pairs, cases * other / others


@serial
def contrastive_slopes(labels: Array, distance: Array, margin: float, coeff: float) -> None:
    """The gradients of the distances, in place of these, (N, N)."""
    cases = labels.size
    pairs = others = 0
    for i in range(cases):
        for j in range(i + 1, cases):
            pairs += is_pair(labels, i, j)
            others += are_others(labels, i, j)
    same = coeff * cases / (2 * max(pairs, 1))
    other = coeff * cases / (2 * max(others, 1))
    for i in range(cases):
        for j in range(cases):
            slope = 0.0
            if i < j and is_pair(labels, i, j):
                slope = same
            elif i < j and are_others(labels, i, j):
                away = sqrt(distance[i, j])
                slope = -other * max(0.0, margin - away) / max(away, 1e-6)
            distance[i, j] = slope
