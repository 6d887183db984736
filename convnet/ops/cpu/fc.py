"""Products of matrices, for the fully connected layers.

By the same micro-kernel as the convolutions rather than by BLAS, whose own pool of threads would
compete with numba's for the processor. Sums run in the same order with any number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from convnet.ops.cpu.jit import INFINITY, LANES, parallel
from convnet.ops.cpu.tiles import FILTERS, pack_weights, store_grads, turn_grads, whole_vectors
from convnet.ops.cpu.vectors import (
    FC_COLUMNS,
    ROWS,
    WGRAD_COLUMNS,
    fc_tile,
    store_sums,
    wgrad_tile,
)
from convnet.ops.roles import Array

DEPTH = 1024  # summands that are treated at a time: 128 images of them fill half an L2 cache


def fprop(
    inputs: Array, weights: Array, biases: Array, low: float, high: float, acts: Array, add: bool
) -> None:
    """acts (F, N) = clamp(weights^T inputs + biases), with (K, N), (K, F), (F,)."""
    K, F = weights.shape
    _sum_rows(whole_vectors(inputs), weights, np.arange(K) * F, 1, biases, low, high, acts, add)


def dgrad(weights: Array, acts_grad: Array, inputs_grad: Array, add: bool) -> None:
    """inputs_grad (K, N) = weights acts_grad, with (K, F), (F, N)."""
    K, F = weights.shape
    no_biases = np.zeros(K, np.float32)
    _sum_rows(
        whole_vectors(acts_grad), weights, np.arange(F), F, no_biases, -INFINITY, INFINITY,
        inputs_grad, add,
    )  # fmt: skip


def wgrad(inputs: Array, acts_grad: Array, weights_grad: Array, add: bool) -> None:
    """weights_grad (K, F) = inputs acts_grad^T, with (K, N), (F, N)."""
    (K, N), F = inputs.shape, acts_grad.shape[0]
    grads = whole_vectors(acts_grad)
    panels = np.empty((-(-F // FILTERS), FILTERS * grads.shape[1]), np.float32)
    starts = np.append(np.arange(K) * N, [0] * (ROWS - 1)).astype(np.int64)
    steps = np.arange(N, dtype=np.int32)
    _wgrad(inputs.reshape(-1), grads, starts, steps, panels, weights_grad, add)


def _sum_rows(
    source: Array,
    weights: Array,
    rows: Array,
    step: int,
    biases: Array,
    low: float,
    high: float,
    target: Array,
    add: bool,
) -> None:
    """target(m, n) = clamp(biases(m) + sum over r of weights[rows[r] + m * step] * source(r, n)).

    `weights` is taken as flat.
    """
    depth, width = source.shape
    starts = np.append(np.arange(0, width, LANES), [0] * (FC_COLUMNS - 1)).astype(np.int64)
    none = np.zeros_like(biases)
    for first in range(0, depth, DEPTH):
        part = slice(first, min(first + DEPTH, depth))
        offsets = (np.arange(part.stop - part.start) * width).astype(np.int32)
        last = part.stop == depth
        _sum_part(
            source[part].reshape(-1),
            starts,
            offsets,
            weights.reshape(-1),
            rows[part],
            step,
            biases if last else none,
            low if last else -INFINITY,
            high if last else INFINITY,
            target,
            add or first > 0,
        )


@parallel
def _sum_part(
    source: Array,
    starts: Array,
    offsets: Array,
    weights: Array,
    rows: Array,
    step: int,
    biases: Array,
    low: float,
    high: float,
    target: Array,
    add: bool,
) -> None:
    M, N = target.shape
    flat = target.reshape(-1)
    chunks = -(-N // LANES)
    for tile in prange(-(-M // ROWS)):
        panel = np.empty(rows.size * ROWS, np.float32)
        sums = np.empty(ROWS * FC_COLUMNS * LANES, np.float32)
        pack_weights(weights, 0, rows, step, M, tile, panel, 0)
        for k in range(0, chunks, FC_COLUMNS):
            fc_tile(panel, 0, source, starts, k, offsets, sums, 0)
            for m in range(tile * ROWS, min((tile + 1) * ROWS, M)):
                for n in range(k, min(k + FC_COLUMNS, chunks)):
                    at = ((m - tile * ROWS) * FC_COLUMNS + n - k) * LANES
                    place, count = m * N + n * LANES, N - n * LANES
                    store_sums(sums, at, biases[m], low, high, add, flat, place, count)


@parallel
def _wgrad(
    inputs: Array,
    grads: Array,
    starts: Array,
    steps: Array,
    panels: Array,
    weights_grad: Array,
    add: bool,
) -> None:
    K, F = weights_grad.shape
    flat_panels, flat = panels.reshape(-1), weights_grad.reshape(-1)
    length = grads.shape[1]
    turn_grads(grads.reshape(-1), length, F, length, flat_panels)
    for tile in prange(-(-K // ROWS)):
        sums = np.empty(ROWS * WGRAD_COLUMNS * LANES, np.float32)
        for f in range(0, F, FILTERS):
            wgrad_tile(flat_panels, f * length, inputs, starts, tile * ROWS, steps, sums, 0)
            place = tile * ROWS * F + f
            store_grads(sums, ROWS, K - tile * ROWS, F - f, add, flat, place, F)
