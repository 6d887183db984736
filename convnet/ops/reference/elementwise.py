"""Elementwise operations and copies of rows in numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convnet.neurons import Neuron
from convnet.ops.reference import lif
from convnet.ops.reference.common import store
from convnet.ops.roles import Array, In, InOut, Out
from convnet.ops.spec.elementwise import ElementwiseOps

# f(x, *parameters) of each neuron.
_VALUE: dict[str, Callable[..., Array]] = {
    "ident": lambda x: x,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.where(x < 0, 0, x),
    "brelu": lambda x, a: np.minimum(a, np.maximum(0, x)),
    "softrelu": lambda x: np.where(x > 4, x, np.log(1 + np.exp(x))),
    "abs": np.abs,
    "square": lambda x: x**2,
    "sqrt": np.sqrt,
    "tanh": lambda x, a, b: a * np.tanh(b * x),
    "linear": lambda x, a, b: a * x + b,
    "log": lambda x, a: np.log(a + x),
    "drelu": lambda x, a: x - a * np.tanh(x / a),
    "power": lambda x, a: x**a,
    "dropout": lambda x, p: (1 - p) * x,
    "softlif": lif.rate,
    "softlifalpha": lif.rate,
    "softlifalpharc": lif.rate,
}

# df/dx of each neuron, in terms of its output y or its input x as NEURON_TYPES says.
_SLOPE: dict[str, Callable[..., Array]] = {
    "ident": lambda y: 1,
    "logistic": lambda y: y * (1 - y),
    "relu": lambda y: y > 0,
    "brelu": lambda y, a: (y > 0) & (y < a),
    "softrelu": lambda y: np.where(y > 4, 1, 1 - np.exp(-y)),
    "abs": lambda x: np.where(x > 0, 1, -1),
    "square": lambda x: 2 * x,
    "sqrt": lambda y: 1 / (2 * y),
    "tanh": lambda y, a, b: b * (a - y**2 / a),
    "linear": lambda y, a, b: a,
    "log": lambda x, a: 1 / (a + x),
    "drelu": lambda x, a: np.tanh(x / a) ** 2,
    "power": lambda x, a: a * x ** (a - 1),
    "dropout": lambda y, p: 1 - p,
    "softlif": lif.slope,
    "softlifalpha": lif.slope,
    "softlifalpharc": lif.slope,
}


def neuron_value(neuron: Neuron, inputs: Array) -> Array:
    """f(inputs)."""
    return _evaluate(_VALUE, neuron, inputs)


@np.errstate(all="ignore")  # infinities and NaNs are results like any other here
def _evaluate(table: dict[str, Callable[..., Array]], neuron: Neuron, values: Array) -> Array:
    return table[neuron.kind](values, *neuron.parameters)


class ReferenceElementwiseOps(ElementwiseOps):
    """This part of ReferenceOps."""

    def neuron_fprop(self, neuron: Neuron, inputs: In, acts: Out) -> None:
        store(acts, neuron_value(neuron, inputs))

    def neuron_bprop(
        self, neuron: Neuron, values: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        store(inputs_grad, acts_grad * _evaluate(_SLOPE, neuron, values), add)

    def add_scaled(self, inputs: In, scale: float, acts: Out, add: bool = False) -> None:
        store(acts, scale * inputs, add)

    def eltmax(self, first: In, second: In, acts: Out) -> None:
        store(acts, np.maximum(first, second))

    def eltmax_bprop(
        self, inputs: In, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        store(inputs_grad, acts_grad * (inputs == acts), add)

    def copy_rows(
        self, source: In, source_row: int, target: InOut, target_row: int, rows: int, add: bool
    ) -> None:
        block = _as_rows(source)[source_row : source_row + rows]
        store(_as_rows(target)[target_row : target_row + rows], block, add)

    def copy_cases(
        self, source: In, source_case: int, target: InOut, target_case: int, cases: int
    ) -> None:
        block = _as_rows(source)[:, source_case : source_case + cases]
        _as_rows(target)[:, target_case : target_case + cases] = block

    def prelu_fprop(self, images: In, slopes: In, acts: Out) -> None:
        store(acts, np.where(images > 0, images, slopes.reshape(-1, 1, 1, 1) * images))

    def prelu_dgrad(
        self, images: In, slopes: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        factors = np.where(images > 0, 1, slopes.reshape(-1, 1, 1, 1))
        store(images_grad, acts_grad * factors, add)

    def prelu_terms(self, images: In, acts_grad: In, terms: Out) -> None:
        store(terms, acts_grad * np.minimum(0, images))


def _as_rows(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1])
