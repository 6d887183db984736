"""The two layer files that a checkpoint of the original implies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from convnet.config.reader import MAX_FILE_BYTES, Source
from convnet.errors import CheckpointError
from convnet.legacy.fields import ANY_LAYER, FIELDS, Field
from convnet.legacy.forms import WHOLE, each, listed, neuron_text, per_input, whole
from convnet.legacy.stored import MAX_INPUTS, StoredLayer


def layer_files(layers: Sequence[StoredLayer], where: str) -> tuple[Source, Source]:
    """Layer definition and layer parameters.

    Raises:
        CheckpointError: naming the layer and field that is missing, or not what it must be.
    """
    definition, parameters = "", ""
    devices = _devices(layers)
    for layer in layers:
        fields = _fields(layer)
        keys = {"type": layer.type}
        keys |= {"inputs": ", ".join(layer.inputs)} if layer.inputs else {}
        keys |= {"gpu": devices[layer.name]} if layer.inputs and devices else {}
        keys |= _texts(layer, (f for f in fields if not f.parameters))
        keys |= _connections(layer)
        keys |= {"weightSource": ",".join(layer.sources)} if any(layer.sources) else {}
        keys |= _neuron(layer)
        definition += _section(layer.name, keys)
        settings = _texts(layer, (f for f in fields if f.parameters))
        if settings or any(field.parameters for field in FIELDS[layer.type]):
            parameters += _section(layer.name, settings)
        if len(definition) + len(parameters) > MAX_FILE_BYTES:
            raise CheckpointError(f"{where}: its layers do not fit in a layer file")
    return Source(f"layers of {where}", definition), Source(f"parameters of {where}", parameters)


def _devices(layers: Sequence[StoredLayer]) -> dict[str, str]:
    """The devices of each layer, if any has several: only then do they change what is computed."""
    stored = {layer.name: layer.get("gpu", [0]) for layer in layers}
    if all(isinstance(gpus, list) and len(gpus) == 1 for gpus in stored.values()):
        return {}
    devices = {}
    for layer in layers:
        gpus = stored[layer.name]
        valid = isinstance(gpus, list) and 0 < len(gpus) <= MAX_INPUTS
        if not valid or not all(isinstance(gpu, int) for gpu in gpus):
            layer.fail("field 'gpu' must be a list of devices")
        devices[layer.name] = ",".join(map(str, gpus))
    return devices


def _fields(layer: StoredLayer) -> list[Field]:
    if layer.type not in FIELDS:
        layer.fail(f"type '{layer.type}' is not known")
    return [*FIELDS[layer.type], *(f for f in ANY_LAYER if f.key in layer.fields)]


def _texts(layer: StoredLayer, fields: Iterable[Field]) -> dict[str, str]:
    texts = {field.key: field.text(layer) for field in fields}
    return {key: text for key, text in texts.items() if text is not None}


def _neuron(layer: StoredLayer) -> dict[str, str]:
    """The key `neuron` of early versions. Later ones have neuron layers, and only its text here."""
    neuron = layer.fields.get("neuron")
    if layer.type == "neuron" or not isinstance(neuron, dict):
        return {}
    try:
        return {"neuron": neuron_text(neuron)}
    except ValueError as error:
        layer.fail(f"field 'neuron' {error}")


def _connections(layer: StoredLayer) -> dict[str, str]:
    """The keys of random connections of groups to channels, which v1 had.

    It stored a list of channels for each input, empty for those without; first only one list.
    """
    try:
        sparse = [whole(flag) for flag in per_input(layer, layer.get("randSparse", False))]
        if not any(sparse):
            return {}
        stored = layer.get("filterConns")
        lists = stored if isinstance(stored, list) and isinstance(stored[0], list) else [stored]
        channels = [c for flag, seen in zip(sparse, lists, strict=True) if flag for c in seen]
        return {
            "randSparse": listed(["true" if flag else "false" for flag in sparse]),
            "filterChannels": each(WHOLE).text(layer, layer.get("filterChannels")),
            "filterConns": ",".join(str(whole(channel)) for channel in channels),
        }
    except (ValueError, TypeError, IndexError):
        layer.fail("field 'filterConns' must be a list of channels for each input")


def _section(name: str, keys: Mapping[str, str]) -> str:
    lines = [f"{key} = {text.replace('%', '%%')}" for key, text in keys.items()]
    return "\n".join([f"[{name}]", *lines, "", ""])
