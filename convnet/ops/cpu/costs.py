"""The costs with matrices of labels, and those of rankings. Arrays are (rows, N).

Costs are summed in double precision, in a fixed order.
"""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import INFINITY, ONE, ZERO, parallel, serial
from convnet.ops.roles import Array

_TWO: Any = np.float32(2)
_HALF: Any = np.float32(0.5)


@serial
def _safe_log(p: float) -> float:
    return -50.0 if p <= ZERO else log(p)


@serial
def _safe_inverse(x: float) -> float:
    return ZERO if x <= ZERO else ONE / x


@serial
def _largest(probs: Array, n: int) -> tuple[float, int]:
    """The largest probability of image n, and how many classes have it."""
    top, count = probs[0, n], 0
    for k in range(probs.shape[0]):
        top = max(top, probs[k, n])
    for k in range(probs.shape[0]):
        count += probs[k, n] == top
    return top, max(count, 1)


# --- labels as a matrix -------------------------------------------------------------------------


@serial
def crossent_cost(labels: Array, probs: Array, values: Array) -> None:
    """See Ops.crossent_cost."""
    rows, cases = probs.shape
    cost = wrong = 0.0
    for n in range(cases):
        top, count = _largest(probs, n)
        right = False
        for k in range(rows):
            cost -= labels[k, n] * _safe_log(probs[k, n])
            right |= (probs[k, n] == top) & (labels[k, n] > ZERO)
        wrong += 1 - right / count
    values[0], values[1] = cost, wrong


@parallel
def crossent_bprop(labels: Array, probs: Array, coeff: float, probs_grad: Array, add: bool) -> None:
    """probs_grad = -coeff t / p."""
    rows, cases = probs.shape
    for k in prange(rows):
        for n in range(cases):
            grad = -coeff * labels[k, n] * _safe_inverse(probs[k, n])
            probs_grad[k, n] = grad + probs_grad[k, n] if add else grad


@parallel
def softmax_crossent_bprop(
    labels: Array, probs: Array, coeff: float, inputs_grad: Array, add: bool
) -> None:
    """inputs_grad = coeff * (p * sum of t - t)."""
    rows, cases = probs.shape
    for n in prange(cases):
        mass = ZERO
        for k in range(rows):
            mass += labels[k, n]
        for k in range(rows):
            grad = coeff * (probs[k, n] * mass - labels[k, n])
            inputs_grad[k, n] = grad + inputs_grad[k, n] if add else grad


@serial
def bce_cost(labels: Array, probs: Array, pos_weight: float, values: Array) -> None:
    """See Ops.bce_cost."""
    rows, cases = probs.shape
    cost = missed = 0.0
    mismatches = 0
    for n in range(cases):
        top, count = _largest(probs, n)
        hit = 0.0
        for k in range(rows):
            t, y = labels[k, n], probs[k, n]
            cost -= pos_weight * t * _safe_log(y) + (ONE - t) * _safe_log(ONE - y)
            mismatches += np.float32(y > _HALF) != t
            if y == top:
                hit += t
        missed += 1 - hit / count
    values[0], values[1], values[2] = cost, mismatches / rows, missed


@parallel
def bce_bprop(
    labels: Array, probs: Array, pos_weight: float, coeff: float, probs_grad: Array, add: bool
) -> None:
    """probs_grad = coeff * ((1 - t) / (1 - y) - pos_weight t / y)."""
    rows, cases = probs.shape
    for k in prange(rows):
        for n in range(cases):
            t, y = labels[k, n], probs[k, n]
            grad = (ONE - t) * _safe_inverse(ONE - y) - pos_weight * t * _safe_inverse(y)
            probs_grad[k, n] = coeff * grad + probs_grad[k, n] if add else coeff * grad


@parallel
def logistic_bce_bprop(
    labels: Array, probs: Array, pos_weight: float, coeff: float, inputs_grad: Array, add: bool
) -> None:
    """inputs_grad = coeff * ((1 - t) y - pos_weight t (1 - y))."""
    rows, cases = probs.shape
    for k in prange(rows):
        for n in range(cases):
            t, y = labels[k, n], probs[k, n]
            grad = coeff * ((ONE - t) * y - pos_weight * t * (ONE - y))
            inputs_grad[k, n] = grad + inputs_grad[k, n] if add else grad


@serial
def detections(labels: Array, probs: Array, counts: Array) -> None:
    """counts (3 rows,): declared positive, positive, true positive of each row."""
    rows, cases = probs.shape
    for k in range(rows):
        declared = positive = true = ZERO
        for n in range(cases):
            t = labels[k, n]
            says = ONE if probs[k, n] > _HALF else ZERO
            declared += says
            positive += t
            if says == t:
                true += t
        counts[3 * k], counts[3 * k + 1], counts[3 * k + 2] = declared, positive, true


# --- rankings -----------------------------------------------------------------------------------


@serial
def _best_other(inputs: Array, label: int, n: int) -> int:
    """The row of the largest input of image n but for the label; a NaN counts as the largest."""
    best, largest = -1, -INFINITY
    for k in range(inputs.shape[0]):
        x = inputs[k, n]
        if k != label and (best < 0 or x > largest or x != x):
            best, largest = k, x
    return best


@serial
def hinge_cost(labels: Array, inputs: Array, values: Array) -> None:
    """See Ops.hinge_cost."""
    cost = wrong = 0.0
    for n in range(inputs.shape[1]):
        label = int(labels[n])
        margin = inputs[label, n] - inputs[_best_other(inputs, label, n), n]
        if not margin >= ONE:
            cost += ONE - margin
        wrong += not margin > ZERO
    values[0], values[1] = cost, wrong


@serial
def hinge_bprop(labels: Array, inputs: Array, coeff: float, inputs_grad: Array, add: bool) -> None:
    """See Ops.hinge_bprop."""
    if not add:
        inputs_grad[:] = ZERO
    for n in range(inputs.shape[1]):
        label = int(labels[n])
        other = _best_other(inputs, label, n)
        if ONE + inputs[other, n] - inputs[label, n] > ZERO:
            inputs_grad[other, n] += coeff
            inputs_grad[label, n] -= coeff


@parallel
def group_norms(groups: Array, sizes: Array, inputs: Array, norms: Array) -> None:
    """norms(channel, group) = S of Ops.gsinlabel_cost; groups (N,) are numbers of groups."""
    channels, pixels, cases = inputs.shape
    for c in prange(channels):
        norms[c] = 0.0
        for p in range(pixels):
            for n in range(cases):
                norms[c, groups[n]] += inputs[c, p, n] * inputs[c, p, n]
        for g in range(sizes.size):
            norms[c, g] = sqrt(sizes[g] * norms[c, g])


@parallel
def gsinlabel_bprop(
    groups: Array,
    sizes: Array,
    inputs: Array,
    norms: Array,
    coeff: float,
    inputs_grad: Array,
    add: bool,
) -> None:
    """inputs_grad = coeff * size * x / norm."""
    channels, pixels, cases = inputs.shape
    for c in prange(channels):
        for p in range(pixels):
            for n in range(cases):
                g = groups[n]
                scale = np.float32(0.0 if norms[c, g] <= 0.0 else sizes[g] / norms[c, g])
                grad = coeff * scale * inputs[c, p, n]
                inputs_grad[c, p, n] = grad + inputs_grad[c, p, n] if add else grad


@serial
def _excess(first: Array, second: Array, third: Array, margin: float, n: int) -> float:
    """h of Ops.locrank_cost, for image n."""
    total = 0.0
    for j in range(first.shape[0]):
        total += (_TWO * first[j, n] - ONE) * (third[j, n] - second[j, n])
    return margin + total


@serial
def _mean(codes: Array, j: int) -> float:
    """The mean over the images of bit j, stretched to -1..1."""
    total = 0.0
    for n in range(codes.shape[1]):
        total += _TWO * codes[j, n] - ONE
    return total / codes.shape[1]


@serial
def locrank_cost(
    first: Array, second: Array, third: Array, weights: Array, margin: float, values: Array
) -> None:
    """See Ops.locrank_cost."""
    ranking = balance = 0.0
    for n in range(first.shape[1]):
        excess = _excess(first, second, third, margin, n)
        if not excess <= 0:
            ranking += weights[n] * excess
    for j in range(first.shape[0]):
        balance += _mean(first, j) ** 2 / 2
    values[0], values[1] = ranking + balance, ranking


@serial
def locrank_bprop(
    first: Array,
    second: Array,
    third: Array,
    weights: Array,
    margin: float,
    position: int,
    coeff: float,
    codes_grad: Array,
    add: bool,
) -> None:
    """See Ops.locrank_bprop."""
    bits, cases = first.shape
    active = np.zeros(cases, np.float32)
    for n in range(cases):
        if _excess(first, second, third, margin, n) > 0:
            active[n] = coeff * weights[n]
    for j in range(bits):
        balance = np.float32(2 * coeff * _mean(first, j) / cases) if position == 0 else ZERO
        for n in range(cases):
            if position == 0:
                grad = _TWO * active[n] * (third[j, n] - second[j, n]) + balance
            else:
                sign = -ONE if position == 1 else ONE
                grad = sign * active[n] * (_TWO * first[j, n] - ONE)
            codes_grad[j, n] = grad + codes_grad[j, n] if add else grad
