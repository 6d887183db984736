"""Kernels of metric learning. Arrays are (rows, N); sums are made in double precision."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import parallel
from convnet.ops.roles import Array

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
