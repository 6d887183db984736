"""Activation functions: one pair of small formulas a kind, each a kernel once it is used."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import exp, log, sqrt, tanh
from typing import Any

import numpy as np
from numba import prange
from numba.extending import register_jitable

from convnet.ops.cpu import lif
from convnet.ops.cpu.jit import BLOCK, ONE, ZERO, parallel
from convnet.ops.roles import Array

FOUR = np.float32(4)

# (f, df) of each kind: f(x, *parameters) and df(v, *parameters), where v is y or x as from_output
# in NEURON_TYPES says. All are float32.
_FORMULAS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "ident": (lambda x: x, lambda y: ONE),
    "logistic": (lambda x: ONE / (ONE + exp(-x)), lambda y: y * (ONE - y)),
    "relu": (lambda x: ZERO if x < ZERO else x, lambda y: ONE if y > ZERO else ZERO),
    "brelu": (
        lambda x, a: ZERO if x < ZERO else a if x > a else x,
        lambda y, a: ONE if (y > ZERO) & (y < a) else ZERO,
    ),
    "softrelu": (
        lambda x: x if x > FOUR else log(ONE + exp(x)),
        lambda y: ONE if y > FOUR else ONE - exp(-y),
    ),
    "abs": (lambda x: abs(x), lambda x: ONE if x > ZERO else -ONE),
    "square": (lambda x: x * x, lambda x: x + x),
    "sqrt": (lambda x: sqrt(x), lambda y: ONE / (y + y)),
    "tanh": (lambda x, a, b: a * tanh(b * x), lambda y, a, b: b * (a - y * y / a)),
    "linear": (lambda x, a, b: a * x + b, lambda y, a, b: a),
    "log": (lambda x, a: log(a + x), lambda x, a: ONE / (a + x)),
    "drelu": (lambda x, a: x - a * tanh(x / a), lambda x, a: tanh(x / a) ** 2),
    "power": (lambda x, a: x**a, lambda x, a: a * x ** (a - ONE)),
    "dropout": (lambda x, p: (ONE - p) * x, lambda y, p: ONE - p),
    "softlif": (lif.rate, lif.slope),
    "softlifalpha": (lif.rate, lif.slope),
    "softlifalpharc": (lif.rate, lif.slope),
}


def formula(kind: str) -> Callable[..., Any]:
    """f of a kind of neuron, f(x, *parameters), to be compiled into a kernel."""
    return _FORMULAS[kind][0]


@cache
def fprop(kind: str) -> Any:
    """The kernel (inputs, parameters, acts): acts = f(inputs), flat arrays. In place."""
    f = register_jitable(formula(kind))

    @parallel
    def neuron_fprop(inputs: Array, parameters: Any, acts: Array) -> None:
        # LLVM vectorises no loop whose input and output may be the same array. Hence block by
        # block: copied while it is in the cache, then transformed where it lies.
        for block in prange(-(-acts.size // BLOCK)):
            y = acts[block * BLOCK : (block + 1) * BLOCK]
            y[:] = inputs[block * BLOCK : (block + 1) * BLOCK]
            for i in range(y.size):
                y[i] = f(y[i], *parameters)

    return neuron_fprop


@cache
def bprop(kind: str) -> Any:
    """The kernel (values, parameters, acts_grad, inputs_grad): see Ops.neuron_bprop. In place."""
    slope = register_jitable(_FORMULAS[kind][1])

    @parallel
    def neuron_bprop(values: Array, parameters: Any, acts_grad: Array, inputs_grad: Array) -> None:
        for block in prange(-(-acts_grad.size // BLOCK)):
            v = values[block * BLOCK : (block + 1) * BLOCK]
            dx = inputs_grad[block * BLOCK : (block + 1) * BLOCK]
            dx[:] = acts_grad[block * BLOCK : (block + 1) * BLOCK]
            for i in range(dx.size):
                dx[i] *= slope(v[i], *parameters)

    return neuron_bprop


@cache
def bprop_add(kind: str) -> Any:
    """As bprop, adding to what inputs_grad holds. Not in place."""
    slope = register_jitable(_FORMULAS[kind][1])

    @parallel
    def neuron_bprop_add(
        values: Array, parameters: Any, acts_grad: Array, inputs_grad: Array
    ) -> None:
        for i in prange(acts_grad.size):
            inputs_grad[i] += acts_grad[i] * slope(values[i], *parameters)

    return neuron_bprop_add
