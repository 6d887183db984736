"""Activation functions: their names, parameters and formulas.

This table is what the layer files, the documentation and the backends share; each backend
computes the functions in its own way. Formulas as in cuda-convnet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class NeuronType:
    """What one kind of neuron is.

    Attributes:
        parameters: names of the numbers in the square brackets.
        formula: y = f(x), as shown in the documentation.
        derivative: dy/dx, in terms of y where `from_output`, else of x.
        from_output: whether the derivative needs only y. Such a neuron can overwrite its input.
    """

    parameters: tuple[str, ...]
    formula: str
    derivative: str
    from_output: bool


NEURON_TYPES: dict[str, NeuronType] = {
    "ident": NeuronType((), "x", "1", True),
    "logistic": NeuronType((), "1 / (1 + exp(-x))", "y (1 - y)", True),
    "relu": NeuronType((), "0 if x < 0 else x", "1 if y > 0 else 0", True),
    "brelu": NeuronType(("a",), "min(a, max(0, x))", "1 if 0 < y < a else 0", True),
    "softrelu": NeuronType(
        (), "x if x > 4 else log(1 + exp(x))", "1 if y > 4 else 1 - exp(-y)", True
    ),
    "abs": NeuronType((), "|x|", "1 if x > 0 else -1", False),
    "square": NeuronType((), "x^2", "2 x", False),
    "sqrt": NeuronType((), "sqrt(x)", "1 / (2 y)", True),
    "tanh": NeuronType(("a", "b"), "a tanh(b x)", "b (a - y^2 / a)", True),
    "linear": NeuronType(("a", "b"), "a x + b", "a", True),
    "log": NeuronType(("a",), "log(a + x)", "1 / (a + x)", False),
    "drelu": NeuronType(("a",), "x - a tanh(x / a)", "tanh(x / a)^2", False),
}

_TEXT = re.compile(r"^\s*(\w+)\s*(?:\[([^\]]*)\])?\s*$")


@dataclass(frozen=True)
class Neuron:
    """One activation function with its parameters, e.g. `tanh[1.7,0.66]`."""

    kind: str
    parameters: tuple[float, ...] = ()

    @property
    def from_output(self) -> bool:
        return NEURON_TYPES[self.kind].from_output

    def __str__(self) -> str:
        return self.kind + (
            f"[{','.join(f'{p:g}' for p in self.parameters)}]" if self.parameters else ""
        )


IDENT = Neuron("ident")


def parse_neuron(text: str) -> Neuron:
    """The neuron that a text such as `relu` or `tanh[1.7,0.66]` names.

    Raises:
        ValueError: unknown kind, or wrong number or form of parameters.
    """
    match = _TEXT.match(text)
    kind = match.group(1) if match else text
    if kind == "nrelu":
        raise ValueError("neuron 'nrelu' never ran in cuda-convnet's engine; use relu")
    if not match or kind not in NEURON_TYPES:
        known = ", ".join(_form(name) for name in NEURON_TYPES)
        raise ValueError(f"unknown neuron '{text}'; expected one of {known}")
    names = NEURON_TYPES[kind].parameters
    given = match.group(2).split(",") if match.group(2) is not None else []
    if len(given) != len(names):
        raise ValueError(
            f"neuron '{kind}' takes {len(names)} parameters; expected {_form(kind)}, found '{text}'"
        )
    try:
        parameters = tuple(float(p) for p in given)
    except ValueError:
        raise ValueError(f"parameters of neuron '{text}' must be numbers") from None
    if kind in ("tanh", "drelu", "brelu") and parameters[0] == 0:
        raise ValueError(f"parameter a of neuron '{text}' must not be 0")
    return Neuron(kind, parameters)


def _form(kind: str) -> str:
    names = NEURON_TYPES[kind].parameters
    return kind + (f"[{','.join(names)}]" if names else "")
