"""Reads the layer definition file and the parameter file into checked layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from convnet.config.keys import Float, Ignored, Key, parse_keys, suggest
from convnet.config.reader import Section, Source, quote, read_sections
from convnet.config.schedules import split_list
from convnet.errors import ConfigError, Problems

_COMMON_KEYS = (
    Key("type", Ignored(), "kind of the layer"),
    Key("inputs", Ignored(), "comma-separated names of layers defined above"),
)
"""Keys that this module reads itself, before it knows the layer's type."""

DROPOUT_KEY = Key(
    "dropout",
    Float(min=0, max=1),
    "probability that an output of the layer is set to 0 while training, before its neuron; in "
    "tests all outputs are multiplied by 1 - dropout",
    default=0.0,
    file="parameters",
)
"""A key of every layer that has an output."""

_NEVER_RAN = {"sum": "type 'sum' never ran in cuda-convnet's engine; use eltsum, or fc"}


class TypeInfo(Protocol):
    """What this module needs to know of a layer type; the classes of layers are such objects.

    Attributes:
        keys: the type's own keys (`type` and `inputs` are common to all).
        min_inputs: least number of inputs; 0 for data layers.
        max_inputs: greatest number of inputs, None for any.
        needs_parameters: the parameter file must have a section for each such layer, as it must in
            any case if one of `keys` is required there.
        has_output: others must use it; False for costs, which nothing can use.
    """

    @property
    def keys(self) -> Sequence[Key]: ...
    @property
    def min_inputs(self) -> int: ...
    @property
    def max_inputs(self) -> int | None: ...
    @property
    def needs_parameters(self) -> bool: ...
    @property
    def has_output(self) -> bool: ...


@dataclass(frozen=True)
class LayerSpec:
    """One layer of a net as its files describe it.

    Attributes:
        values: typed values by `Key.name`; a tuple with one item per input where the key says so.
        where: `file:line` of the layer's definition.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    values: dict[str, Any]
    where: str


def read_layer_files(
    definition: Source | Path,
    parameters: Source | Path | None,
    types: Mapping[str, TypeInfo],
    *,
    lenient: bool = False,
    problems: Problems | None = None,
) -> list[LayerSpec]:
    """The layers of a net in file order.

    Args:
        parameters: None checks the definition alone; see `parse_keys` for the values then.
        types: every layer type by name.
        lenient: what cuda-convnet ignored is a warning: unknown keys, inputs of data layers, and
            surplus parameter sections.
        problems: receives the warnings, if given.

    Raises:
        ConfigError: with one line for every mistake of both files.
    """
    problems = Problems() if problems is None else problems
    sections = _read(definition, problems)
    settings = None if parameters is None else _read(parameters, problems)
    if not sections and not problems:
        name = definition.name if isinstance(definition, Source) else str(definition)
        problems.add(name, "holds no layers; expected sections such as [data]")
    specs: list[LayerSpec | None] = []
    if sections:
        layers = _Layers(sections, settings, types, problems, lenient)
        specs = [layers.spec(section) for section in sections.values()]
        layers.check_unused()
        layers.check_surplus()
    problems.raise_if_any()
    return [spec for spec in specs if spec]


def _read(file: Source | Path, problems: Problems) -> dict[str, Section]:
    try:
        source = file if isinstance(file, Source) else Source.from_path(file)
    except ConfigError as error:
        problems.add("", str(error))
        return {}
    return read_sections(source, problems)


class _Layers:
    """The sections of both files, and the checks that look at more than one of them."""

    def __init__(
        self,
        sections: Mapping[str, Section],
        settings: Mapping[str, Section] | None,
        types: Mapping[str, TypeInfo],
        problems: Problems,
        lenient: bool,
    ) -> None:
        self.sections = sections
        self.settings = settings
        self.types = types
        self.problems = problems
        self.lenient = lenient
        self.inputs = {name: self._inputs(section) for name, section in sections.items()}
        self.order = {name: position for position, name in enumerate(sections)}

    def spec(self, section: Section) -> LayerSpec | None:
        """The checked layer of a section, None if its type is unknown."""
        name = section.name
        info = self._info(name)
        if info is None:
            self._report_type(section)
            return None
        for source in self.inputs[name]:
            self._check_input(section, source)
        self._check_input_count(section, info)
        settings = self.settings.get(name) if self.settings is not None else None
        needed = info.needs_parameters or any(
            key.required and key.file == "parameters" for key in info.keys
        )
        if needed and settings is None and self.settings is not None:
            self._report(section, f"needs a section [{name}] in the parameter file")
        values = parse_keys(
            [*_COMMON_KEYS, *info.keys, *[DROPOUT_KEY] * info.has_output],
            section,
            settings,
            len(self.inputs[name]),
            self.problems,
            lenient=self.lenient,
        )
        return LayerSpec(name, self._type(name), self.inputs[name], values, section.where())

    def check_unused(self) -> None:
        """Reports every layer that no layer uses, costs apart."""
        used = {source for inputs in self.inputs.values() for source in inputs}
        for name, section in self.sections.items():
            info = self._info(name)
            if info and info.has_output and name not in used:
                text = f"Layer {name!r} of type {self._type(name)!r} is unused"
                self.problems.add(section.where(), text)

    def check_surplus(self) -> None:
        """Reports sections of the parameter file without a layer."""
        for name, section in (self.settings or {}).items():
            if name not in self.sections:
                text = f"section [{name}] belongs to no layer{suggest(name, self.sections)}"
                self._complain(section.where(), text)

    def _type(self, name: str) -> str:
        entry = self.sections[name].entries.get("type")
        return entry.value if entry else ""

    def _info(self, name: str) -> TypeInfo | None:
        return self.types.get(self._type(name))

    def _inputs(self, section: Section) -> tuple[str, ...]:
        entry = section.entries.get("inputs")
        if entry is None or not entry.value:
            return ()
        info = self._info(section.name)
        if info and info.max_inputs == 0:
            text = f"Layer {section.name!r}: type {self._type(section.name)!r} takes no inputs"
            self._complain(section.where(entry), text)
            return ()
        items = split_list(entry.value)
        if "" in items:
            self._report(section, "empty name in the list of inputs", "inputs")
        return tuple(filter(None, items))

    def _report_type(self, section: Section) -> None:
        found = self._type(section.name)
        if found in _NEVER_RAN:
            self._report(section, _NEVER_RAN[found], "type")
        elif found:
            text = f"unknown layer type {quote(found)}{suggest(found, self.types)}"
            self._report(section, text, "type")
        elif fault := section.broken.get("type"):
            self.problems.add(*fault)
        else:
            self._report(section, "required parameter 'type' missing")

    def _check_input(self, section: Section, source: str) -> None:
        name = section.name
        if source not in self.sections:
            others = [other for other in self.sections if other != name]
            text = f"input {quote(source)} is not defined{suggest(source, others)}"
        elif source == name:
            text = "is its own input"
        elif self.order[source] > self.order[name]:
            below = self.sections[source].where()
            text = f"input {source!r} is defined below, at {below}; "
            if path := self._path(source, name):
                text += f"these layers form a cycle: {' uses '.join((name, *path))}"
            else:
                text += "a layer may only use layers defined above it"
        elif (info := self._info(source)) and not info.has_output:
            text = f"input {source!r} is a cost layer, which has no output"
        else:
            return
        self._report(section, text, "inputs")

    def _path(self, start: str, end: str) -> list[str]:
        """Names from `start` to `end` along inputs, empty if there is no such path."""
        users: dict[str, str] = {}
        queue = [start]
        for name in queue:
            for source in self.inputs.get(name, ()):
                if source not in users:
                    users[source] = name
                    queue.append(source)
        path = [end] if end in users else []
        while path and path[-1] != start:
            path.append(users[path[-1]])
        return path[::-1]

    def _check_input_count(self, section: Section, info: TypeInfo) -> None:
        low, high, found = info.min_inputs, info.max_inputs, len(self.inputs[section.name])
        if "inputs" in section.broken or low <= found <= (found if high is None else high):
            return
        if "inputs" not in section.entries:
            self._report(section, "required parameter 'inputs' missing")
            return
        expected = f"at least {low}" if high is None else f"{low} to {high}"
        if low == high:
            expected = str(low)
        text = f"type {self._type(section.name)!r} takes {expected} inputs, found {found}"
        self._report(section, text, "inputs")

    def _report(self, section: Section, text: str, key: str = "") -> None:
        where = section.where(section.entries.get(key))
        self.problems.add(where, f"Layer {section.name!r}: {text}")

    def _complain(self, where: str, text: str) -> None:
        """Reports a mistake that `lenient` turns into a warning."""
        (self.problems.warn if self.lenient else self.problems.add)(where, text)
