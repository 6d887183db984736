"""Elementwise operations on flat arrays, sums of rows, and the weight update."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import BLOCK, LANES, ZERO, parallel, serial
from convnet.ops.cpu.vectors import SUM_COLUMNS, sum_tile
from convnet.ops.roles import Array

SUMS = SUM_COLUMNS * LANES  # sums side by side, as their order is fixed


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


@parallel
def prelu_fprop(images: Array, slopes: Array, acts: Array) -> None:
    """acts = x where x > 0, else slope x; (C, numbers). In place."""
    for c in prange(images.shape[0]):
        for i in range(images.shape[1]):
            x = images[c, i]
            acts[c, i] = x if x > ZERO else slopes[c] * x


@parallel
def prelu_dgrad(
    images: Array, slopes: Array, acts_grad: Array, images_grad: Array, add: bool
) -> None:
    """images_grad = acts_grad where x > 0, else slope acts_grad; (C, numbers). In place."""
    for c in prange(images.shape[0]):
        for i in range(images.shape[1]):
            grad = acts_grad[c, i]
            if not images[c, i] > ZERO:
                grad *= slopes[c]
            images_grad[c, i] = grad + images_grad[c, i] if add else grad


@parallel
def prelu_terms(images: Array, acts_grad: Array, terms: Array) -> None:
    """terms = acts_grad min(0, x); flat arrays. In place."""
    for i in prange(images.size):
        x = images[i]
        terms[i] = acts_grad[i] * (ZERO if x > ZERO else x)


@serial
def _total(values: Array, ones: Array, starts: Array, offsets: Array, sums: Array) -> float:
    """The sum of a flat array, in double precision but for runs of BLOCK / SUMS numbers."""
    result = 0.0
    for start in range(0, values.size, BLOCK):
        stop = min(start + BLOCK, values.size)
        runs = (stop - start) // SUMS
        sum_tile(ones, 0, values[start:], starts, 0, offsets[:runs], sums, 0)
        for j in range(SUMS):
            result += sums[j]
        for i in range(start + runs * SUMS, stop):
            result += values[i]
    return result


@parallel
def sum_rows(values: Array, sums: Array, add: bool) -> None:
    """sums(row) = sum of values(row, :)."""
    ones = np.ones(BLOCK // SUMS, np.float32)
    starts = np.arange(0, SUMS, LANES)
    offsets = np.arange(0, BLOCK, SUMS).astype(np.int32)
    for row in prange(sums.size):
        parts = np.empty(SUMS, np.float32)
        result = np.float32(_total(values[row], ones, starts, offsets, parts))
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


@parallel
def bound_columns(weights: Array, low: float, high: float, centred: bool) -> None:
    """See Ops.bound_columns; (modules, rows, F)."""
    modules, rows, columns = weights.shape
    for mc in prange(modules * columns):
        m, c = mc // columns, mc % columns
        mean = 0.0
        if centred:
            for r in range(rows):
                mean += weights[m, r, c]
            mean /= rows
        squares = 0.0
        for r in range(rows):
            squares += (weights[m, r, c] - mean) ** 2
        norm = sqrt(squares) / (rows if centred else 1)
        if norm > 0:
            factor = np.float32(min(max(norm, low), high) / norm)
            for r in range(rows):
                weights[m, r, c] *= factor
