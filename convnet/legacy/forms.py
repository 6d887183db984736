"""Forms of values: how a field of a stored layer reads in our layer files, and back.

`text` takes what is stored and gives the text of the layer file, or raises ValueError saying what
it must be. `stored` takes what our reader made of such a text and gives what the original stored.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convnet.config.schedules import Schedule
from convnet.layer_types.base import Layer
from convnet.legacy.stored import StoredLayer, is_name
from convnet.neurons import NEURON_TYPES, Neuron

RATE_PARAMETERS = {"base": "base", "tgt_factor": "tgtFactor", "num_steps": "numSteps"}


@dataclass(frozen=True)
class Form:
    """See above. Both functions get the layer first, for what depends on its other fields."""

    text: Callable[[StoredLayer, Any], str]
    stored: Callable[[Layer, Any], Any]


def whole(value: Any) -> int:
    """Raises: ValueError for anything but a whole number of less than 2^31."""
    if isinstance(value, np.integer):
        value = value.item()
    if isinstance(value, int) and abs(value) < 2**31:
        return int(value)
    raise ValueError("must be a whole number")


def number(value: Any) -> int | float:
    """Raises: ValueError for anything but a finite number."""
    if isinstance(value, np.number):
        value = value.item()
    if isinstance(value, int | float) and abs(value) < 1e300 and math.isfinite(value):
        return int(value) if isinstance(value, int) else value
    raise ValueError("must be a finite number")


def per_input(layer: StoredLayer, value: Any) -> Sequence[Any]:
    """A value for each input; early versions stored one for layers with one input.

    Raises: ValueError if there are more or fewer.
    """
    values = value if isinstance(value, list) else [value] * len(layer.inputs)
    if len(values) != len(layer.inputs):
        raise ValueError(f"must have {len(layer.inputs)} values, one for each input")
    return values


def listed(texts: Sequence[str]) -> str:
    """The text of a list, one for all where they are equal."""
    return texts[0] if len(set(texts)) == 1 else ",".join(texts)


def each(form: Form) -> Form:
    """A list with one value for each input."""

    def text(layer: StoredLayer, value: Any) -> str:
        return listed([form.text(layer, item) for item in per_input(layer, value)])

    def stored(layer: Layer, value: Any) -> list[Any]:
        values = value if isinstance(value, tuple) else (value,) * len(layer.inputs)
        return [form.stored(layer, item) for item in values]

    return Form(text, stored)


WHOLE = Form(lambda layer, value: str(whole(value)), lambda layer, value: value)
NUMBER = Form(lambda layer, value: repr(number(value)), lambda layer, value: value)
FLAG = Form(lambda layer, value: "true" if whole(value) else "false", lambda layer, value: value)
NEGATED = Form(lambda layer, value: str(-whole(value)), lambda layer, value: -value)


def _word(layer: StoredLayer, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[\w.]{1,40}", value):
        raise ValueError("must be a word")
    return value


WORD = Form(_word, lambda layer, value: value)


def times(field: str) -> Form:
    """Stored already times another field of the layer, such as the number of groups."""

    def text(layer: StoredLayer, value: Any) -> str:
        parts = []
        # The factor can be one for each input while the product is one for all.
        factors = layer.get(field, 1)
        for factor in factors if isinstance(factors, list) else [factors]:
            if not 0 < whole(factor) <= whole(value) or value % factor:
                raise ValueError(f"must be a multiple of {field}")
            parts.append(str(value // factor))
        return listed(parts)

    def stored(layer: Layer, value: Any) -> Any:
        factor = layer.values[field]
        return value[0] * factor[0] if isinstance(value, tuple) else value * factor

    return Form(text, stored)


def divided_by_size(dimensions: int) -> Form:
    """Stored already divided by the number of elements of a neighbourhood, size^dimensions."""

    def text(layer: StoredLayer, value: Any) -> str:
        size = whole(layer.get("size", layer.get("sizeX", None)))
        # 15 digits undo the rounding of the division.
        return f"{number(value) * size**dimensions:.15g}"

    def stored(layer: Layer, value: Any) -> float:
        return float(value / layer.values["size"] ** dimensions)

    return Form(text, stored)


def _rate(layer: StoredLayer, value: Any) -> str:
    """v1 stored a number, v2 the kind of schedule and its parameters."""
    if not isinstance(value, dict):
        return repr(max(0, number(value)))  # one below 0 stood for a frozen matrix, as 0 does
    kind, parameters = value.get("type"), value.get("params")
    if kind == "const" and isinstance(parameters, dict):
        return _rate(layer, number(parameters.get("base")))
    known = isinstance(parameters, dict) and parameters.keys() <= set(RATE_PARAMETERS.values())
    if not isinstance(kind, str) or not re.fullmatch(r"\w{1,40}", kind) or not known:
        raise ValueError("must be a learning rate or a schedule")
    values = [f"{name}={number(part)!r}" for name, part in sorted(parameters.items())]  # type: ignore[union-attr]
    return f"{kind}[{';'.join(values)}]"


def _stored_rate(layer: Layer, value: Schedule) -> dict[str, Any]:
    parameters = {RATE_PARAMETERS[k]: v for k, v in dataclasses.asdict(value).items()}
    return {"type": type(value).__name__.lower(), "params": parameters}


RATE = Form(_rate, _stored_rate)


def neuron_text(value: Any) -> str:
    """Such as "tanh[1.7,0.66]".

    Raises: ValueError if it is no neuron.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or not re.fullmatch(r"\w{1,40}", kind):
        raise ValueError("must be a neuron with its type")
    parameters = value.get("params")
    if not isinstance(parameters, dict) or not all(isinstance(name, str) for name in parameters):
        raise ValueError("must be a neuron with its parameters")
    names = NEURON_TYPES[kind].parameters if kind in NEURON_TYPES else ()
    names = names if set(names) == parameters.keys() else tuple(sorted(parameters))
    numbers = [repr(number(parameters[name])) for name in names]
    return kind + (f"[{','.join(numbers)}]" if numbers else "")


def _stored_neuron(layer: Layer, value: Neuron) -> dict[str, Any]:
    names = NEURON_TYPES[value.kind].parameters
    return {
        "type": value.kind,
        "params": dict(zip(names, value.parameters, strict=True)),
        "usesActs": value.from_output,
        "usesInputs": not value.from_output,
    }


NEURON = Form(lambda layer, value: neuron_text(value), _stored_neuron)


# A list that has one number for each input even where all are equal.
NUMBERS = Form(
    lambda layer, value: ",".join(repr(number(item)) for item in per_input(layer, value)),
    each(NUMBER).stored,
)


def _names(layer: StoredLayer, value: Any) -> str:
    if not isinstance(value, list) or not all(map(is_name, value)):
        raise ValueError("must be a list of names")
    return ",".join(value)


NAMES = Form(_names, lambda layer, value: list(value))
