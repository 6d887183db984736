"""Softmax, cost.logreg, cost.sum2. Arrays are (rows, N); costs are summed in double precision."""

from __future__ import annotations

from math import exp, log

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import ZERO, parallel, serial
from convnet.ops.roles import Array


@serial
def _predict(inputs: Array, acts: Array, n: int) -> None:
    """acts = exp(inputs - max) / sum, of column n. In place."""
    rows = len(inputs)
    top = inputs[0, n]
    for k in range(1, rows):
        top = max(top, inputs[k, n])
    norm = ZERO
    for k in range(rows):
        acts[k, n] = exp(inputs[k, n] - top)
        norm += acts[k, n]
    for k in range(rows):
        acts[k, n] /= norm


@parallel
def fprop(inputs: Array, acts: Array) -> None:
    """acts = exp(inputs - max) / sum, per column. In place."""
    for n in prange(inputs.shape[1]):
        _predict(inputs, acts, n)


@parallel
def bprop(acts: Array, acts_grad: Array, inputs_grad: Array, add: bool) -> None:
    """inputs_grad = acts * (acts_grad - sum of acts_grad * acts), per column."""
    rows, cases = acts.shape
    for n in prange(cases):
        product = ZERO
        for k in range(rows):
            product += acts_grad[k, n] * acts[k, n]
        for k in range(rows):
            grad = acts[k, n] * (acts_grad[k, n] - product)
            inputs_grad[k, n] = grad + inputs_grad[k, n] if add else grad


@serial
def share_lacking(slots: int, ties: int) -> float:
    """What a label lacks of 1 of `slots` places that it shares with `ties` classes.

    All where nothing ties with it, not even itself: then it is a NaN.
    """
    return 1 - min(max(slots, 0) / ties, 1) if ties else 1.0


@serial
def _judge(labels: Array, probs: Array, top: int, n: int) -> tuple[float, float, float]:
    """The values of Ops.logreg_cost for image n. A NaN at the label counts as wrong."""
    if labels[n] < 0:
        return 0.0, 0.0, 0.0
    given = probs[int(labels[n]), n]
    better = ties = 0
    for k in range(len(probs)):
        better += probs[k, n] > given
        ties += probs[k, n] == given
    return -log(given), share_lacking(1 - better, ties), share_lacking(top - better, ties)


@serial
def logreg_cost(labels: Array, probs: Array, top: int, values: Array) -> None:
    """See Ops.logreg_cost."""
    cost = wrong = wrong_top = 0.0
    for n in range(probs.shape[1]):
        of_image = _judge(labels, probs, top, n)
        cost += of_image[0]
        wrong += of_image[1]
        wrong_top += of_image[2]
    values[0], values[1], values[2] = cost, wrong, wrong_top


@parallel
def softmax_logreg_fprop(
    labels: Array, inputs: Array, top: int, acts: Array, values: Array
) -> None:
    """fprop and logreg_cost of it."""
    cases = inputs.shape[1]
    by_image = np.empty((cases, 3))
    for n in prange(cases):
        _predict(inputs, acts, n)
        by_image[n, 0], by_image[n, 1], by_image[n, 2] = _judge(labels, acts, top, n)
    for i in range(3):
        total = 0.0
        for n in range(cases):
            total += by_image[n, i]
        values[i] = total


@serial
def logreg_bprop(labels: Array, probs: Array, coeff: float, probs_grad: Array, add: bool) -> None:
    """probs_grad = -coeff / p at the label, else 0."""
    if not add:
        probs_grad[:] = ZERO
    for n in range(probs.shape[1]):
        label = int(labels[n])
        if label >= 0:
            probs_grad[label, n] -= coeff / probs[label, n]


@serial
def softmax_logreg_bprop(
    labels: Array, probs: Array, coeff: float, inputs_grad: Array, add: bool
) -> None:
    """inputs_grad = coeff * (p - 1[label])."""
    rows, cases = probs.shape
    for k in range(rows):
        for n in range(cases):
            known = labels[n] >= 0
            grad = coeff * (probs[k, n] - np.float32(labels[n] == k)) if known else ZERO
            inputs_grad[k, n] = grad + inputs_grad[k, n] if add else grad


@serial
def sum2_cost(inputs: Array, values: Array) -> None:
    """values[0] = sum of inputs^2; flat array."""
    cost = 0.0
    for x in inputs:
        cost += x * x
    values[0] = cost
