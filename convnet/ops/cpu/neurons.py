"""Activation functions: one pair of small formulas a kind, each a kernel once it is used."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import exp, log, sqrt, tanh
from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable

from convnet.ops.cpu.jit import BLOCK, ONE, ZERO, parallel
from convnet.ops.roles import Array

FOUR = np.float32(4)

# (f, df) of each kind: f(x, a, b) and df(v, a, b), where v is y or x as from_output in
# NEURON_TYPES says and a, b are the neuron's parameters (0 if it has none). All are float32.
_FORMULAS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "ident": (lambda x, a, b: x, lambda y, a, b: ONE),
    "logistic": (lambda x, a, b: ONE / (ONE + exp(-x)), lambda y, a, b: y * (ONE - y)),
    "relu": (lambda x, a, b: ZERO if x < ZERO else x, lambda y, a, b: ONE if y > ZERO else ZERO),
    "brelu": (
        lambda x, a, b: ZERO if x < ZERO else a if x > a else x,
        lambda y, a, b: ONE if (y > ZERO) & (y < a) else ZERO,
    ),
    "softrelu": (
        lambda x, a, b: x if x > FOUR else log(ONE + exp(x)),
        lambda y, a, b: ONE if y > FOUR else ONE - exp(-y),
    ),
    "abs": (lambda x, a, b: abs(x), lambda x, a, b: ONE if x > ZERO else -ONE),
    "square": (lambda x, a, b: x * x, lambda x, a, b: x + x),
    "sqrt": (lambda x, a, b: sqrt(x), lambda y, a, b: ONE / (y + y)),
    "tanh": (lambda x, a, b: a * tanh(b * x), lambda y, a, b: b * (a - y * y / a)),
    "linear": (lambda x, a, b: a * x + b, lambda y, a, b: a),
    "log": (lambda x, a, b: log(a + x), lambda x, a, b: ONE / (a + x)),
    "drelu": (lambda x, a, b: x - a * tanh(x / a), lambda x, a, b: tanh(x / a) ** 2),
}


@cache
def fprop(kind: str) -> Any:
    """The kernel (inputs, a, b, acts): acts = f(inputs), flat arrays. In place."""
    formula = register_jitable(_FORMULAS[kind][0])

    @parallel
    def neuron_fprop(inputs: Array, a: float, b: float, acts: Array) -> None:
        # LLVM vectorises no loop whose input and output may be the same array. Hence block by
        # block: copied while it is in the cache, then transformed where it lies.
        for block in prange(-(-acts.size // BLOCK)):
            y = acts[block * BLOCK : (block + 1) * BLOCK]
            y[:] = inputs[block * BLOCK : (block + 1) * BLOCK]
            for i in range(y.size):
                y[i] = formula(y[i], a, b)

    return neuron_fprop


@cache
def bprop(kind: str) -> Any:
    """The kernel (values, a, b, acts_grad, inputs_grad): see Ops.neuron_bprop. In place."""
    slope = register_jitable(_FORMULAS[kind][1])

    @parallel
    def neuron_bprop(
        values: Array, a: float, b: float, acts_grad: Array, inputs_grad: Array
    ) -> None:
        for block in prange(-(-acts_grad.size // BLOCK)):
            v = values[block * BLOCK : (block + 1) * BLOCK]
            dx = inputs_grad[block * BLOCK : (block + 1) * BLOCK]
            dx[:] = acts_grad[block * BLOCK : (block + 1) * BLOCK]
            for i in range(dx.size):
                dx[i] *= slope(v[i], a, b)

    return neuron_bprop


@cache
def bprop_add(kind: str) -> Any:
    """As bprop, adding to what inputs_grad holds. Not in place."""
    slope = register_jitable(_FORMULAS[kind][1])

    @parallel
    def neuron_bprop_add(
        values: Array, a: float, b: float, acts_grad: Array, inputs_grad: Array
    ) -> None:
        for i in prange(acts_grad.size):
            inputs_grad[i] += acts_grad[i] * slope(values[i], a, b)

    return neuron_bprop_add
