"""Typed keys of the layer types: declared as data, parsed and checked in one place."""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from convnet.config.reader import Entry, Section, quote
from convnet.config.schedules import Const, Schedule, parse_schedule, split_list
from convnet.errors import Problems
from convnet.neurons import Neuron, parse_neuron

REQUIRED = object()
"""Default of a key that must be given."""


class DoubtfulError(ValueError):
    """A value that is a mistake, but one that cuda-convnet took for `instead`."""

    def __init__(self, text: str, instead: Any) -> None:
        super().__init__(text)
        self.instead = instead


class Kind(ABC):
    """The form of a value."""

    @property
    @abstractmethod
    def expected(self) -> str:
        """What a value looks like, for messages and the documentation."""

    @abstractmethod
    def parse(self, text: str) -> Any:
        """The typed value.

        Raises:
            ValueError: with a text that says what was expected.
            DoubtfulError: the same, where the original took the value.
        """

    def _refusal(self) -> ValueError:
        return ValueError(f"expected {self.expected}")


@dataclass(frozen=True)
class Float(Kind):
    """A finite number; `min` and `max` are allowed values, `above` is not.

    `below` says what the original did with a number below `min`: refuse it, take it for `min`, or
    take it as it is.
    """

    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: Literal["refused", "min", "taken"] = "refused"

    noun: ClassVar[str] = "a finite number"
    number: ClassVar[type[float]] = float

    @property
    def expected(self) -> str:
        bounds = ((">=", self.min), (">", self.above), ("<=", self.max))
        limits = " and ".join(f"{sign} {bound}" for sign, bound in bounds if bound is not None)
        return f"{self.noun} {limits}".strip()

    def parse(self, text: str) -> float:
        try:
            value = self.number(text)
            finite = math.isfinite(value)
        except (ValueError, OverflowError):
            raise self._refusal() from None
        if finite and self.below != "refused" and self.min is not None and value < self.min:
            instead = self.number(self.min) if self.below == "min" else value
            raise DoubtfulError(str(self._refusal()), instead)
        if (
            not finite
            or (self.min is not None and value < self.min)
            or (self.max is not None and value > self.max)
            or (self.above is not None and value <= self.above)
        ):
            raise self._refusal()
        return value


@dataclass(frozen=True)
class Int(Float):
    """A whole number that fits into 32 bits."""

    noun = "an integer"
    number = int

    def parse(self, text: str) -> float:
        value = super().parse(text)
        if abs(value) >= 2**31:
            raise ValueError(f"{self._refusal()}, of less than 2^31")
        return value


class Bool(Kind):
    """1, yes, true, on, 0, no, false or off, in any case."""

    expected = "a boolean (true or false, yes or no, on or off, 1 or 0)"
    values: ClassVar[dict[str, bool]] = {
        **dict.fromkeys(("1", "yes", "true", "on"), True),
        **dict.fromkeys(("0", "no", "false", "off"), False),
    }

    def parse(self, text: str) -> bool:
        if text.lower() not in self.values:
            raise self._refusal()
        return self.values[text.lower()]


class Choice(Kind):
    """One of several words, case-sensitive."""

    def __init__(self, *options: str) -> None:
        self.options = options

    @property
    def expected(self) -> str:
        return f"one of {', '.join(self.options)}"

    def parse(self, text: str) -> str:
        if text not in self.options:
            raise self._refusal()
        return text


class Names(Kind):
    """A comma-separated list of names, parsed to a tuple; an empty item stays, as ""."""

    expected = "a comma-separated list of names"

    def parse(self, text: str) -> tuple[str, ...]:
        return tuple(split_list(text)) if text else ()


class Floats(Kind):
    """A comma-separated list of finite numbers of any length, parsed to a tuple."""

    expected = "a comma-separated list of finite numbers"

    def parse(self, text: str) -> tuple[float, ...]:
        try:
            return tuple(map(Float().parse, split_list(text)))
        except ValueError:
            raise self._refusal() from None


class Ints(Kind):
    """A comma-separated list of whole numbers from 0, of any length, parsed to a tuple."""

    expected = "a comma-separated list of integers >= 0"

    def parse(self, text: str) -> tuple[int, ...]:
        try:
            return tuple(int(Int(min=0).parse(item)) for item in split_list(text))
        except ValueError:
            raise self._refusal() from None


class Rate(Kind):
    """A learning-rate schedule."""

    expected = "a number or schedule such as exp[base=0.01;tgtFactor=10]"

    def parse(self, text: str) -> Schedule:
        schedule = parse_schedule(text)
        if schedule.base < 0:
            text = f"expected a learning rate of at least 0, found {text!r}"
            raise DoubtfulError(text, Const(0.0))
        return schedule


class NeuronKind(Kind):
    """An activation function such as `relu` or `tanh[1.5,0.5]`."""

    expected = "a neuron such as relu or tanh[1.5,0.5]"

    def parse(self, text: str) -> Neuron:
        neuron = parse_neuron(text)
        if not all(map(math.isfinite, neuron.parameters)):
            raise ValueError("parameters of a neuron must be finite")
        return neuron


class Text(Kind):
    """Any text."""

    expected = "a text"

    def parse(self, text: str) -> str:
        return text


class Devices(Kind):
    """A comma-separated list of different device numbers, parsed to a tuple."""

    expected = "a comma-separated list of different device numbers"

    def parse(self, text: str) -> tuple[int, ...]:
        try:
            devices = tuple(int(Int(min=-1).parse(item)) for item in split_list(text))
        except ValueError:
            raise self._refusal() from None
        if len(set(devices)) < len(devices):
            raise self._refusal()
        return devices


class Ignored(Kind):
    """A key that only tuned cuda-convnet's kernels: accepted, and left out of the values."""

    expected = "anything"

    def parse(self, text: str) -> None:
        return None


class Refused(Kind):
    """A key whose effect cannot be had; `expected` says what to write instead."""

    def __init__(self, instead: str) -> None:
        self.instead = instead

    @property
    def expected(self) -> str:
        return self.instead

    def parse(self, text: str) -> None:
        raise self._refusal()


@dataclass(frozen=True)
class Key:
    """One key of a layer type.

    Attributes:
        name: as documented; files may write it in any case.
        help: one line for the documentation.
        default: value where the file gives none; without it the key is required.
        file: the file the key belongs in. In "either" the parameter file prevails.
        per_input: the value is a comma-separated list with one item per input of the layer; one
            item counts for all inputs. Parsed to a tuple.
    """

    name: str
    kind: Kind
    help: str
    default: Any = REQUIRED
    file: Literal["definition", "parameters", "either"] = "definition"
    per_input: bool = False

    @property
    def required(self) -> bool:
        return self.default is REQUIRED and not isinstance(self.kind, Ignored)


def parse_keys(
    keys: Sequence[Key],
    definition: Section,
    parameters: Section | None,
    n_inputs: int,
    problems: Problems,
    *,
    lenient: bool = False,
) -> dict[str, Any]:
    """The values of one layer by `Key.name`, typed and checked; Ignored keys are left out.

    Args:
        parameters: the layer's section of the parameter file. Where it is None, keys that belong
            there have their default, and None if they are required.
        n_inputs: length of the tuples that per-input keys give.
        problems: collects every mistake, each with file, line and layer.
        lenient: unknown keys, keys in the wrong file and doubtful values are warnings.
    """
    sections = {"definition": definition, "parameters": parameters}

    def report_at(section: Section, entry: Entry | None, text: str) -> None:
        problems.add(section.where(entry), f"Layer {definition.name!r}: {text}")

    def value_of(key: Key) -> Any:
        files = ("parameters", "definition") if key.file == "either" else (key.file,)
        present = [section for file in files if (section := sections[file])]
        for section in present:
            if key.name.lower() in section.broken:
                return None
            if entry := section.entries.get(key.name.lower()):
                try:
                    value, doubts = _parse(key, entry.value, n_inputs, lenient)
                except ValueError as error:
                    report_at(section, entry, str(error))
                    return None
                for doubt in doubts:
                    problems.warn(section.where(entry), f"Layer {definition.name!r}: {doubt}")
                return value
        if key.required and present:
            report_at(present[-1], None, f"required parameter {key.name!r} missing")
        if key.required:
            return None
        return (key.default,) * n_inputs if key.per_input else key.default

    values = {key.name: value_of(key) for key in keys if not isinstance(key.kind, Ignored)}
    _check_known(keys, definition, sections, problems, lenient)
    return values


def _parse(key: Key, text: str, n_inputs: int, lenient: bool) -> tuple[Any, list[str]]:
    """The typed value of a key, and what is doubtful in it.

    Raises:
        ValueError: with the key's name in its text.
    """
    items = split_list(text) if key.per_input else [text]
    if key.per_input and len(items) not in (1, n_inputs):
        raise ValueError(
            f"expected a list of length {n_inputs} for {key.name} but found length {len(items)}"
        )
    values, doubts = [], []
    for item in items:
        try:
            values.append(key.kind.parse(item))
        except ValueError as error:
            reason = " ".join(str(error).split())
            hint = "; '#' starts a comment only at the start of a line" if "#" in item else ""
            message = f"parameter {key.name!r} is {quote(item)}: {reason}{hint}"
            if not (lenient and isinstance(error, DoubtfulError)):
                raise ValueError(message) from None
            values.append(error.instead)
            doubts.append(f"{message}; taken as {error.instead}")
    if not key.per_input:
        return values[0], doubts
    return tuple(values * n_inputs if len(values) == 1 else values), doubts


def _check_known(
    keys: Sequence[Key],
    definition: Section,
    sections: Mapping[str, Section | None],
    problems: Problems,
    lenient: bool,
) -> None:
    """Reports entries that no key declares, that stand in the wrong file, or are unusable."""
    known = {key.name.lower(): key for key in keys}
    report = problems.warn if lenient else problems.add
    for file, section in sections.items():
        if section is None:
            continue
        for lower, fault in section.broken.items():
            (problems.add if lower in known else report)(*fault)
        for lower, entry in section.entries.items():
            key = known.get(lower)
            if entry.auxiliary or (key and key.file in (file, "either")):
                continue
            if key:
                right_file = "definition" if key.file == "definition" else "parameter"
                text = f"parameter {key.name!r} belongs in the {right_file} file"
            else:
                nearest = suggest(entry.key, [key.name for key in keys])
                text = f"unknown parameter {quote(entry.key)}{nearest}"
            report(section.where(entry), f"Layer {definition.name!r}: {text}")


def suggest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, else all of them."""
    spelling = {candidate.lower(): candidate for candidate in known}
    nearest = difflib.get_close_matches(name.lower(), spelling, n=1)
    if nearest:
        return f"; did you mean {spelling[nearest[0]]!r}?"
    if not 0 < len(spelling) <= 40:
        return ""
    return f"; expected one of {', '.join(spelling.values())}"
