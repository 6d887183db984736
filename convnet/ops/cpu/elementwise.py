"""Elementwise operations on flat arrays, sums of rows, and the weight update."""

from __future__ import annotations

import numpy as np
from numba import prange

from convnet.ops.base import Array
from convnet.ops.cpu.jit import BLOCK, ZERO, parallel, serial


@parallel
def scale(inputs: Array, factor: float, acts: Array) -> None:
    """acts = factor * inputs. In place."""
    for block in prange(-(-acts.size // BLOCK)):
        y = acts[block * BLOCK : (block + 1) * BLOCK]
        y[:] = inputs[block * BLOCK : (block + 1) * BLOCK]
        for i in range(y.size):
            y[i] *= factor


@parallel
def scale_add(inputs: Array, factor: float, acts: Array) -> None:
    """acts += factor * inputs."""
    for i in prange(acts.size):
        acts[i] += factor * inputs[i]


@parallel
def eltmax(first: Array, second: Array, acts: Array) -> None:
    """acts = max(first, second), NaN if either is. In place."""
    for i in prange(acts.size):
        x, y = first[i], second[i]
        acts[i] = x if (x > y) | (x != x) else y


@parallel
def eltmax_bprop(
    inputs: Array, acts: Array, acts_grad: Array, inputs_grad: Array, add: bool
) -> None:
    """inputs_grad = acts_grad where inputs equals acts, else 0."""
    for i in prange(acts.size):
        grad = acts_grad[i] if inputs[i] == acts[i] else ZERO
        inputs_grad[i] = grad + inputs_grad[i] if add else grad


@serial
def _total(values: Array) -> float:
    """The sum of a flat array in double precision, of short pieces in single precision.

    Four pieces at a time, since a processor can add more than one sum can take.
    """
    result = 0.0
    piece = BLOCK // 4
    whole = values.size // BLOCK * BLOCK
    for start in range(0, whole, BLOCK):
        a, b, c, d = ZERO, ZERO, ZERO, ZERO
        for i in range(start, start + piece):
            a += values[i]
            b += values[i + piece]
            c += values[i + 2 * piece]
            d += values[i + 3 * piece]
        result += (a + b) + (c + d)
    rest = ZERO
    for i in range(whole, values.size):
        rest += values[i]
    return result + rest


@parallel
def sum_rows(values: Array, sums: Array, add: bool) -> None:
    """sums(row) = sum of values(row, :)."""
    for row in prange(sums.size):
        result = np.float32(_total(values[row]))
        sums[row] = result + sums[row] if add else result


@parallel
def sgd(
    weights: Array, increments: Array, gradients: Array, momentum: float, rate: float, decay: float
) -> None:
    """See Ops.sgd; `rate` is per case, `decay` already times the rate."""
    for i in prange(weights.size):
        w = weights[i]
        increment = momentum * increments[i] - rate * gradients[i] - decay * w
        increments[i] = increment
        weights[i] = w + increment
