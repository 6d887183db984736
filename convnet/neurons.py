"""Activation functions: their names, parameters and formulas.

This table is what the layer files, the documentation and the backends share; each backend
computes the functions in its own way. Formulas as in cuda-convnet; `power` is of the fork
dicarlolab/archconvnets, `dropout` of mavenlin/cuda-convnet, and the soft LIF neurons of
hunse/cuda-convnet2: Hunsberger and Eliasmith, "Spiking Deep Networks with LIF Neurons" (2015).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class NeuronType:
    """What one kind of neuron is.

    Attributes:
        parameters: names of the numbers in the square brackets.
        formula: y = f(x), as shown in the documentation.
        derivative: dy/dx, in terms of y where `from_output`, else of x.
        from_output: whether the derivative needs only y. Such a neuron can overwrite its input.
        training: what it puts out instead while training, if it is random then. The derivative of
            dropout knows what was dropped; that of the others is of y.
    """

    parameters: tuple[str, ...]
    formula: str
    derivative: str
    from_output: bool
    training: str = ""


_RATE = "m / p, p = t + r log(1 + 1/j), j = g softrelu(a x / g)"
_RATE_SLOPE = "m r a softrelu'(a x / g) / (p^2 j (j + 1))"

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
    "power": NeuronType(("a",), "x^a", "a x^(a - 1)", False),
    "dropout": NeuronType(
        ("p",), "(1 - p) x", "1 - p", True, training="0 with probability p, else x"
    ),
    "softlif": NeuronType(
        ("m", "t", "r", "a", "g", "n"),
        _RATE,
        _RATE_SLOPE,
        False,
        training="max(0, y + m n z) where a x > 0, z standard normal",
    ),
    "softlifalpha": NeuronType(
        ("m", "t", "r", "a", "g", "s"),
        _RATE,
        _RATE_SLOPE,
        False,
        training="m times spikes every p, through an alpha synapse of time constant s, "
        "at a random time",
    ),
    "softlifalpharc": NeuronType(
        ("m", "t", "r", "a", "g", "s"),
        _RATE,
        _RATE_SLOPE,
        False,
        training="as softlifalpha, then through a low-pass filter of time constant r",
    ),
}

Limit = tuple[str, Callable[[float], bool]]
_NOT_ZERO: Limit = ("must not be 0", lambda value: value != 0)
_NOT_NEGATIVE: Limit = ("must be at least 0", lambda value: value >= 0)
_POSITIVE: Limit = ("must be above 0", lambda value: value > 0)
_LIF: dict[str, Limit] = {"t": _NOT_NEGATIVE, "r": _POSITIVE, "g": _POSITIVE}
_LIMITS: dict[str, dict[str, Limit]] = {
    "tanh": {"a": _NOT_ZERO},
    "drelu": {"a": _NOT_ZERO},
    "brelu": {"a": _NOT_ZERO},
    "dropout": {"p": ("must be at least 0 and below 1", lambda value: 0 <= value < 1)},
    "softlif": {**_LIF, "n": _NOT_NEGATIVE},
    "softlifalpha": {**_LIF, "s": _POSITIVE},
    "softlifalpharc": {**_LIF, "s": _POSITIVE},
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

    @property
    def is_random(self) -> bool:
        """Whether it is while training."""
        return bool(NEURON_TYPES[self.kind].training)

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
    values = dict(zip(names, parameters, strict=True))
    for name, (words, holds) in _LIMITS.get(kind, {}).items():
        if not holds(values[name]):
            raise ValueError(f"parameter {name} of neuron '{text}' {words}")
    # Its formula divides by their difference; the fork's own limit.
    if kind == "softlifalpharc" and abs(values["r"] - values["s"]) < 0.001:
        raise ValueError(f"parameters r and s of neuron '{text}' must differ by at least 0.001")
    return Neuron(kind, parameters)


def _form(kind: str) -> str:
    names = NEURON_TYPES[kind].parameters
    return kind + (f"[{','.join(names)}]" if names else "")
