"""Kernels of cost.center. Inputs are (rows, N), centers (rows, classes)."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import ZERO, parallel, serial
from convnet.ops.roles import Array


@serial
def center_cost(labels: Array, inputs: Array, centers: Array, values: Array) -> None:
    """See Ops.center_cost."""
    rows, cases = inputs.shape
    squares = np.zeros(cases)
    distance = 0.0
    for k in range(rows):
        for n in range(cases):
            if labels[n] < 0:
                continue
            x = inputs[k, n]
            away = x - centers[k, int(labels[n])]
            distance += away * away
            squares[n] += x * x
    values[0] = distance / 2
    length = 0.0
    for n in range(cases):
        length += sqrt(squares[n])
    values[1] = length


@parallel
def center_bprop(
    labels: Array, inputs: Array, centers: Array, coeff: float, inputs_grad: Array, add: bool
) -> None:
    """inputs_grad = coeff (x - center)."""
    rows, cases = inputs.shape
    for k in prange(rows):
        for n in range(cases):
            away = inputs[k, n] - centers[k, int(labels[n])] if labels[n] >= 0 else ZERO
            grad = coeff * away
            inputs_grad[k, n] = grad + inputs_grad[k, n] if add else grad


@serial
def center_track(labels: Array, inputs: Array, rate: float, centers: Array) -> None:
    """See Ops.center_track."""
    rows, cases = inputs.shape
    for first in range(cases):
        count = 0
        for n in range(first):
            count += labels[n] == labels[first]
        if count or labels[first] < 0:  # done already, or nobody's
            continue
        label = int(labels[first])
        sums = np.zeros(rows)
        for n in range(first, cases):
            if labels[n] == labels[first]:
                count += 1
                for k in range(rows):
                    sums[k] += inputs[k, n] - centers[k, label]
        for k in range(rows):
            centers[k, label] += rate / (1 + count) * sums[k]
