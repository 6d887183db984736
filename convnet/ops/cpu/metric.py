"""Kernels of metric learning. Arrays are (rows, N); sums are made in double precision."""

from __future__ import annotations

from math import acos, cos, exp, floor, log, pi, sin, sqrt

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import ONE, ZERO, parallel, serial
from convnet.ops.cpu.random import LOW, words
from convnet.ops.cpu.softmax import share_lacking
from convnet.ops.roles import Array
from convnet.ops.spec.metric import BORDER

COLUMNS = 64  # whose sums are made side by side


@parallel
def l2norm_fprop(inputs: Array, eps: float, acts: Array) -> None:
    """See Ops.l2norm_fprop."""
    rows, cases = inputs.shape
    for block in prange(-(-cases // COLUMNS)):
        first = block * COLUMNS
        width = min(COLUMNS, cases - first)
        squares = np.full(width, eps)
        for k in range(rows):
            for j in range(width):
                squares[j] += inputs[k, first + j] ** 2
        scales = np.empty(width, np.float32)
        for j in range(width):
            scales[j] = 1 / sqrt(squares[j])
        for k in range(rows):
            for j in range(width):
                acts[k, first + j] = inputs[k, first + j] * scales[j]


@parallel
def l2norm_bprop(
    inputs: Array, acts_grad: Array, eps: float, inputs_grad: Array, add: bool
) -> None:
    """See Ops.l2norm_bprop."""
    rows, cases = inputs.shape
    for block in prange(-(-cases // COLUMNS)):
        first = block * COLUMNS
        width = min(COLUMNS, cases - first)
        squares, products = np.full(width, eps), np.zeros(width)
        for k in range(rows):
            for j in range(width):
                squares[j] += inputs[k, first + j] ** 2
                products[j] += inputs[k, first + j] * acts_grad[k, first + j]
        scales, shares = np.empty(width, np.float32), np.empty(width, np.float32)
        for j in range(width):
            scales[j] = 1 / sqrt(squares[j])
            shares[j] = products[j] / squares[j]
        for k in range(rows):
            for j in range(width):
                n = first + j
                grad = (acts_grad[k, n] - inputs[k, n] * shares[j]) * scales[j]
                inputs_grad[k, n] = grad + inputs_grad[k, n] if add else grad


# --- softmax with margins -----------------------------------------------------------------------


@serial
def _psi(cosine: float, m1: float, m2: float, m3: float) -> tuple[float, float]:
    """psi of Margins and its slope."""
    cosine = min(max(float(cosine), -BORDER), BORDER)
    angle = m1 * acos(cosine) + m2
    turns = floor(angle / pi)
    sign = 1 - 2 * (turns % 2)
    slope = m1 * abs(sin(angle)) / sqrt((1 - cosine) * (1 + cosine))
    return sign * cos(angle) - 2 * turns - m3, slope


@parallel
def choose_classes(labels: Array, threshold: int, key: Array, chosen: Array) -> None:
    """See Ops.choose_classes; chosen by chance are those with word >> 8 < threshold."""
    for block in prange(-(-chosen.size // 4)):
        drawn = words(key, block)
        for j in range(min(4, chosen.size - block * 4)):
            chosen[block * 4 + j] = ONE if drawn[j] >> LOW < threshold else ZERO
    for n in range(labels.size):
        if labels[n] >= ZERO:
            chosen[int(labels[n])] = ONE


@serial
def _log_norm(
    cosines: Array, chosen: Array, label: int, logit: float, scale: float, n: int
) -> float:
    """log of the sum of exp(logits) of image n; `logit` is that of its label."""
    largest = logit
    for k in range(cosines.shape[0]):
        if k != label and chosen[k] > ZERO:
            largest = max(largest, scale * cosines[k, n])
    powers = exp(logit - largest)
    for k in range(cosines.shape[0]):
        if k != label and chosen[k] > ZERO:
            powers += exp(scale * cosines[k, n] - largest)
    return largest + log(powers)


@parallel
def margin_cost(
    labels: Array,
    cosines: Array,
    chosen: Array,
    m1: float,
    m2: float,
    m3: float,
    scale: float,
    smoothing: float,
    top: int,
    by_image: Array,
) -> None:
    """The values of Ops.margin_cost for each image, (3, N)."""
    rows, cases = cosines.shape
    others = chosen.sum() - 1
    for n in prange(cases):
        label = int(labels[n])
        if label < 0:
            by_image[:, n] = 0
            continue
        given = cosines[label, n]
        psi, _ = _psi(given, m1, m2, m3)
        log_norm = _log_norm(cosines, chosen, label, scale * psi, scale, n)
        better = ties = 0
        missing = 0.0  # what the logits of the other classes lack
        for k in range(rows):
            better += cosines[k, n] > given
            ties += cosines[k, n] == given
            if k != label and chosen[k] > ZERO:
                missing += log_norm - scale * cosines[k, n]
        share = smoothing / max(others, 1)
        own = 1 - share * others
        by_image[0, n] = own * (log_norm - scale * psi) + share * missing
        by_image[1, n] = share_lacking(1 - better, ties)
        by_image[2, n] = share_lacking(top - better, ties)


@parallel
def margin_bprop(
    labels: Array,
    cosines: Array,
    chosen: Array,
    m1: float,
    m2: float,
    m3: float,
    scale: float,
    smoothing: float,
    coeff: float,
    cosines_grad: Array,
    add: bool,
) -> None:
    """See Ops.margin_bprop."""
    rows, cases = cosines.shape
    others = chosen.sum() - 1
    for n in prange(cases):
        label = int(labels[n])
        if label < 0:
            if not add:
                cosines_grad[:, n] = 0
            continue
        psi, slope = _psi(cosines[label, n], m1, m2, m3)
        log_norm = _log_norm(cosines, chosen, label, scale * psi, scale, n)
        share = smoothing / max(others, 1)
        own = 1 - share * others
        for k in range(rows):
            if k == label:
                rest = (exp(scale * psi - log_norm) - own) * slope
            elif chosen[k] > ZERO:
                rest = exp(scale * cosines[k, n] - log_norm) - share
            else:
                rest = 0.0
            grad = np.float32(coeff * scale * rest)
            cosines_grad[k, n] = grad + cosines_grad[k, n] if add else grad
