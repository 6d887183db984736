"""Learning-rate schedules: a rate as a function of the training's progress.

Formulas as in cuda-convnet2, with progress t in [0, 1], base B, tgtFactor T and numSteps K:

    const[base=B]                          B                           (also written as plain B)
    linear[base=B;tgtFactor=T]             B (1 - t) + (B / T) t
    exp[base=B;tgtFactor=T]                B T^(-t)
    dexp[base=B;tgtFactor=T;numSteps=K]    K equal steps in time; step i has rate B T^(-i / (K - 1))
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from bisect import bisect_left
from dataclasses import dataclass, fields

MAX_STEPS = 1_000_000

_FILE_NAMES = {"base": "base", "tgt_factor": "tgtFactor", "num_steps": "numSteps"}
_ATTRIBUTES = {name.lower(): attribute for attribute, name in _FILE_NAMES.items()}
_FORM = re.compile(r"(\w+)\s*\[([^\[\]]*)\]")


@dataclass(frozen=True)
class Schedule(ABC):
    """A learning rate over time; `base` is the rate at the start."""

    base: float

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """The rate at `progress` in [0, 1], the fraction of the training that is done."""

    def __str__(self) -> str:
        """The text that `parse_schedule` reads back as an equal schedule."""
        values = [f"{_FILE_NAMES[f.name]}={getattr(self, f.name)}" for f in fields(self)]
        return f"{type(self).__name__.lower()}[{';'.join(values)}]"


@dataclass(frozen=True)
class Const(Schedule):
    def __call__(self, progress: float) -> float:
        return self.base

    def __str__(self) -> str:
        return str(self.base)


@dataclass(frozen=True)
class _Falling(Schedule):
    """Ends at base / tgtFactor."""

    tgt_factor: float

    def __post_init__(self) -> None:
        if self.tgt_factor <= 0:
            raise ValueError(f"tgtFactor must be > 0, found {self.tgt_factor}")
        if not math.isfinite(self.base / self.tgt_factor):
            raise ValueError(f"base / tgtFactor is too large: {self.base} / {self.tgt_factor}")


@dataclass(frozen=True)
class Linear(_Falling):
    def __call__(self, progress: float) -> float:
        return self.base * (1 - progress) + self.base / self.tgt_factor * progress


@dataclass(frozen=True)
class Exp(_Falling):
    def __call__(self, progress: float) -> float:
        return self.base / math.pow(self.tgt_factor, progress)


@dataclass(frozen=True)
class Dexp(_Falling):
    """One step has the end rate at once; a boundary belongs to the step before it."""

    num_steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.num_steps <= MAX_STEPS:
            raise ValueError(f"numSteps must be from 1 to {MAX_STEPS}, found {self.num_steps}")

    def __call__(self, progress: float) -> float:
        last = self.num_steps - 1
        if last == 0:
            return self.base / self.tgt_factor
        step = bisect_left(range(last), progress, key=lambda i: (i + 1) / self.num_steps)
        return self.base / math.pow(self.tgt_factor, step / last)


_SCHEDULES: dict[str, type[Schedule]] = {
    kind.__name__.lower(): kind for kind in (Const, Linear, Exp, Dexp)
}


def parse_schedule(text: str) -> Schedule:
    """The schedule that a text such as `0.01` or `exp[base=0.01;tgtFactor=10]` describes.

    Parameters may come in any order and names in any case; cuda-convnet2 was stricter.

    Raises:
        ValueError: says what is wrong with the text.
    """
    form = _FORM.fullmatch(text.strip())
    if not form:
        if "[" in text and "]" not in text:
            raise ValueError("closing ']' missing (a blank followed by ';' starts a comment)")
        return Const(_number("a learning rate", text))
    name = form[1].lower()
    if name not in _SCHEDULES:
        raise ValueError(f"unknown schedule {form[1]!r}; expected {', '.join(_SCHEDULES)}")
    expected = [field.name for field in fields(_SCHEDULES[name])]
    form_text = f"{name}[{';'.join(f'{_FILE_NAMES[attribute]}=..' for attribute in expected)}]"
    values: dict[str, float] = {}
    for part in form[2].split(";"):
        parameter, _, value = part.partition("=")
        attribute = _ATTRIBUTES.get(parameter.strip().lower(), "")
        if attribute not in expected:
            raise ValueError(f"unknown parameter {parameter.strip()!r}; expected {form_text}")
        if attribute in values:
            raise ValueError(f"parameter {_FILE_NAMES[attribute]} is given twice")
        number = _whole if attribute == "num_steps" else _number
        values[attribute] = number(_FILE_NAMES[attribute], value)
    for attribute in expected:
        if attribute not in values:
            raise ValueError(f"parameter {_FILE_NAMES[attribute]} is missing; expected {form_text}")
    return _SCHEDULES[name](**values)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, found {text.strip()!r}")
    return value


def _whole(name: str, text: str) -> int:
    value = _number(name, text)
    if not value.is_integer():
        raise ValueError(f"{name} must be a whole number, found {text.strip()!r}")
    return int(value)


def split_list(text: str) -> list[str]:
    """The comma-separated items of a text, trimmed; commas inside [...] do not separate."""
    items, start, depth = [], 0, 0
    for position, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == "," and depth <= 0:
            items.append(text[start:position].strip())
            start = position + 1
    return [*items, text[start:].strip()]
