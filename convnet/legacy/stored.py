"""The layers of a checkpoint of the original: dicts with fields, in an order that can be built.

v1 stored a list of layers, whose inputs are positions in it. v2 stored a dict by name, whose inputs
are names. Both kinds of dict also refer to each other, which is not used here.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from convnet.errors import CheckpointError

REQUIRED = object()

MAX_LAYERS = 10_000
MAX_INPUTS = 1000
"""Of one layer. A small file can hold a long list in many places."""

# Layers by name, and by position.
Names = Mapping[str | int, str]

_NAME = re.compile(r"(?! )(?!.*? [;])[^\x00-\x1f\x7f-\x9f,\[\]\u2028\u2029]{1,200}(?<! )")


@dataclass(frozen=True)
class StoredLayer:
    """One layer.

    Attributes:
        inputs: names of the layers that it reads.
        sources: for each input the matrix that it shares, "src[i]", or "" for one of its own;
            empty for layers without weights.
        where: the checkpoint file, for messages.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    sources: tuple[str, ...]
    fields: Mapping[str, Any]
    where: str

    def get(self, field: str, default: Any = REQUIRED) -> Any:
        """The value of a field, numpy's numbers as Python's.

        Raises:
            CheckpointError: it is missing and there is no default.
        """
        value = self.fields.get(field, default)
        if value is REQUIRED:
            self.fail(f"field '{field}' is missing")
        return value.item() if isinstance(value, np.generic) else value

    def fail(self, text: str) -> NoReturn:
        """Raises: CheckpointError about this layer."""
        raise CheckpointError(f"{self.where}: Layer '{self.name}': {text}")


def stored_layers(layers: Any, where: str) -> list[StoredLayer]:
    """The layers of `model_state["layers"]`, each after its inputs.

    Raises:
        CheckpointError: they are not what either version stored.
    """
    if isinstance(layers, dict):
        dicts = list(layers.values())
    elif isinstance(layers, list):
        dicts = layers
    else:
        raise CheckpointError(f"{where}: expected a list or dict of layers")
    if not 0 < len(dicts) <= MAX_LAYERS:
        raise CheckpointError(f"{where}: {len(dicts)} layers; expected 1 to {MAX_LAYERS}")
    names = [_name(fields, where) for fields in dicts]
    if len(set(names)) < len(names):
        raise CheckpointError(f"{where}: two layers have the same name")
    if isinstance(layers, dict) and list(layers) != names:
        raise CheckpointError(f"{where}: a layer is stored under another name than its own")
    by_reference: Names = {**dict(enumerate(names)), **{name: name for name in names}}
    found = [_layer(fields, by_reference, where) for fields in dicts]
    return _in_order(found, where)


def shown(value: Any) -> str:
    """A value from a file for a message; a nested one could be endless."""
    return repr(value)[:80] if isinstance(value, int | str) else f"a {type(value).__name__}"


def is_name(value: Any) -> bool:
    """Whether a layer file can hold it: in a header, and in a list of inputs."""
    return (
        isinstance(value, str) and bool(_NAME.fullmatch(value)) and value not in ("DEFAULT", '""')
    )


def _name(fields: Any, where: str) -> str:
    if not isinstance(fields, dict):
        raise CheckpointError(f"{where}: a layer must be a dict; found {type(fields).__name__}")
    name = fields.get("name")
    if not is_name(name):
        raise CheckpointError(f"{where}: a layer needs a name without commas; found {shown(name)}")
    return str(name)


def _layer(fields: dict[str, Any], names: Names, where: str) -> StoredLayer:
    layer = StoredLayer(fields["name"], "", (), (), fields, where)
    kind = layer.get("type")
    if not isinstance(kind, str) or not re.fullmatch(r"[\w.]{1,40}", kind):
        layer.fail("its type must be a word")
    inputs = layer.get("inputs", [])
    if not isinstance(inputs, list) or len(inputs) > MAX_INPUTS:
        layer.fail(f"inputs must be a list of at most {MAX_INPUTS}")
    sources = _sources(layer, names, len(inputs)) if "weights" in fields else ()
    return StoredLayer(
        layer.name,
        kind,
        tuple(_reference(layer, value, names) for value in inputs),
        sources,
        fields,
        where,
    )


def _reference(layer: StoredLayer, value: Any, names: Names) -> str:
    """The name of the layer that v1 calls by its position, v2 by its name."""
    if isinstance(value, int | str) and value in names:
        return names[value]
    layer.fail(f"refers to layer {shown(value)}, which does not exist")


def _sources(layer: StoredLayer, names: Names, inputs: int) -> tuple[str, ...]:
    owners = layer.get("weightSourceLayers", layer.get("weightSourceLayerIndices", [""] * inputs))
    matrices = layer.get("weightSourceMatrixIndices", [0] * inputs)
    if not isinstance(owners, list) or not isinstance(matrices, list):
        layer.fail("the sources of its weights must be lists")
    if not len(owners) == len(matrices) == inputs:
        layer.fail(f"expected {inputs} sources of its weights; found {len(owners)}")
    sources = []
    for owner, matrix in zip(owners, matrices, strict=True):
        if isinstance(owner, int | str) and owner in ("", -1):
            sources.append("")
        elif type(matrix) is int and 0 <= matrix < MAX_LAYERS:
            sources.append(f"{_reference(layer, owner, names)}[{matrix}]")
        else:
            layer.fail("the sources of its weights must be numbers of matrices")
    return tuple(sources)


def _in_order(layers: Sequence[StoredLayer], where: str) -> list[StoredLayer]:
    """The same, each after those it needs, else as in the layer file.

    That was the order of v1's list. v2's dict has none, but each layer has a number; those of
    the neuron layers that it made itself come last, so these stand after their layer instead.
    """
    numbers = {layer.name: layer.get("id", index) for index, layer in enumerate(layers)}

    def place(layer: StoredLayer) -> tuple[float, bool]:
        source = layer.fields.get("src_layer")
        made = source if isinstance(source, str) and source in numbers else ""
        number = numbers[made or layer.name]
        return (number if isinstance(number, int) else 0, bool(made))

    needed = {layer.name: _needs(layer) for layer in layers}
    users: dict[str, list[StoredLayer]] = {layer.name: [] for layer in layers}
    for layer in layers:
        for name in needed[layer.name]:
            users[name].append(layer)
    ready = [(place(layer), layer.name) for layer in layers if not needed[layer.name]]
    heapq.heapify(ready)
    by_name = {layer.name: layer for layer in layers}
    ordered: list[StoredLayer] = []
    while ready:
        _, name = heapq.heappop(ready)
        ordered.append(by_name[name])
        for user in users[name]:
            needed[user.name].discard(name)
            if not needed[user.name]:
                heapq.heappush(ready, (place(user), user.name))
    if len(ordered) < len(layers):
        raise CheckpointError(f"{where}: layers need each other in a circle")
    return ordered


def _needs(layer: StoredLayer) -> set[str]:
    """The layers whose output or weights it uses."""
    owners = {source.partition("[")[0] for source in layer.sources}
    return {*layer.inputs, *owners - {"", layer.name}}
