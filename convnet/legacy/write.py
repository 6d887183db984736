"""A checkpoint of ours as cuda-convnet2 (v2) stored it, for tools that read those.

Only what such tools and v2 itself read is written. What v2 found out about memory that may be
overwritten is left at what is always right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from convnet.errors import CheckpointError
from convnet.graph import Graph
from convnet.layer_types.base import Layer
from convnet.layer_types.conv import ConvLayer, LocalLayer
from convnet.layer_types.data import DataLayer
from convnet.layer_types.weights import WeightLayer
from convnet.legacy.fields import ANY_LAYER, FIELDS, FORKS, Field
from convnet.legacy.run_options import options_parser
from convnet.state import Checkpoint
from data_providers.pickle_writer import write_pickle

# Python source that v2 evaluates: what it prints of a cost's sums.
OUTPUT_FILTER = "lambda sums, images: [value / images for value in sums]"


def v2_pickle(checkpoint: Checkpoint, graph: Graph) -> bytes:
    """The content of a checkpoint file of v2.

    Args:
        graph: of the checkpoint; its matrices are in checkpoint.weights.

    Raises:
        CheckpointError: the net has layers or image sizes that v2 does not know.
    """
    state = checkpoint.state
    matrices = _Matrices(checkpoint.weights)
    layers: dict[str, dict[str, Any]] = {}
    for layer in graph.values():
        layers[layer.name] = _stored(layer, layers, matrices)
    model = {
        "layers": layers,
        "epoch": state.epoch,
        "batchnum": state.batch,
        "train_outputs": state.train_outputs,
        "test_outputs": state.test_outputs,
    }
    side = checkpoint.data_shapes[0][1]
    return write_pickle({"model_state": model, "op": options_parser(checkpoint.options, side)})


class _Matrices:
    """Matrices by name, each one array for all layers that share it; fc's in Fortran's order."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        self.made: dict[str, np.ndarray] = {}

    def get(self, name: str, layer: Layer) -> np.ndarray:
        if name not in self.made:
            fortran = not isinstance(layer, ConvLayer | LocalLayer)
            values = self.weights[name]
            self.made[name] = np.asfortranarray(values) if fortran else values
        return self.made[name]


def _stored(
    layer: Layer, below: Mapping[str, dict[str, Any]], matrices: _Matrices
) -> dict[str, Any]:
    """The dict of one layer; `below` are those of the layers before it."""
    if layer.type_name not in FIELDS.keys() - FORKS:
        _fail(layer, f"cuda-convnet2 has no layers of type '{layer.type_name}'")
    stored: dict[str, Any] = {
        "name": layer.name,
        "type": layer.type_name,
        "id": len(below),
        "outputs": layer.shape.size,
        "gpu": [-1],
        "numReplicas": 1,
        "actsTarget": -1,
        "actsGradTarget": -1,
        "usesActs": True,
        "usesInputs": True,
        "forceOwnActs": True,
        "gradConsumer": False,
        "requiresParams": any(field.parameters for field in FIELDS[layer.type_name]),
    }
    if layer.inputs:
        devices = _devices(layer, below)
        for other in layer.inputs:
            if isinstance(other, DataLayer):
                below[other.name]["numReplicas"] = len(devices)
        stored |= {
            "gpu": devices,
            "gpus": ", ".join(map(str, devices)),
            "numReplicas": len(devices),
            "inputs": [other.name for other in layer.inputs],
            "inputLayers": [below[other.name] for other in layer.inputs],
            "numInputs": [other.shape.size for other in layer.inputs],
            "neuron": "",
        }
    if layer.values.get("missing"):
        _fail(layer, "missing=1: cuda-convnet2's images all have labels")
    for field in FIELDS[layer.type_name]:
        stored |= _field(layer, field)
    for field in ANY_LAYER:
        stored |= _field(layer, field) if field.key in layer.values else {}
    if "channels" in layer.values and not isinstance(layer, ConvLayer | LocalLayer):
        stored |= _image_sizes(layer, layer.values["channels"])
    if isinstance(layer, WeightLayer):
        stored |= _weights(layer, matrices) | {"wballNormed": stored["wball"]}
    for kind, derived in _DERIVED.items():
        if layer.type_name.startswith(kind):
            stored |= derived(layer)
    return stored


def _devices(layer: Layer, below: Mapping[str, dict[str, Any]]) -> list[int]:
    """Those of the layer, else of its first input; data layers have none of their own."""
    if layer.values.get("gpu"):
        return list(layer.values["gpu"])
    sources = [other.name for other in layer.inputs if not isinstance(other, DataLayer)]
    return list(below[sources[0]]["gpu"]) if sources else [0]


def _field(layer: Layer, field: Field) -> dict[str, Any]:
    value = layer.values.get(field.key)
    if value in (None, ()):
        value = field.default
        if callable(value):
            return {}  # what v2 worked out itself, see _DERIVED
    return {field.names[0]: field.form.stored(layer, value)}


def _fail(layer: Layer, text: str) -> NoReturn:
    raise CheckpointError(f"Layer '{layer.name}': {text}")


def _image_sizes(layer: Layer, channels: int) -> dict[str, Any]:
    images = layer.images_shape(channels)
    _check_square(layer, images.height, images.width)
    return {"imgSize": images.width, "imgPixels": images.width**2}


def _check_square(layer: Layer, height: int, width: int) -> None:
    if height != width:
        _fail(layer, f"images of {height}x{width} pixels; cuda-convnet2 knows square ones only")


def _weights(layer: WeightLayer, matrices: _Matrices) -> dict[str, Any]:
    if not layer.biases:
        _fail(layer, "biases=0: cuda-convnet2's layers have biases")
    owners, indices = [], []
    for i, parameter in enumerate(layer.weights):
        number = int(parameter.name.rpartition(".")[2])
        own = (parameter.layer, number) == (layer.name, i)
        owners.append("" if own else parameter.layer)
        indices.append(-1 if own else number)
    return {
        "weights": [matrices.get(p.name, layer) for p in layer.weights],
        "weightsInc": [matrices.get(f"{p.name}.inc", layer) for p in layer.weights],
        "biases": matrices.get(layer.biases.name, layer),
        "biasesInc": matrices.get(f"{layer.biases.name}.inc", layer),
        "weightSource": [f"{o}[{i}]" if o else "" for o, i in zip(owners, indices, strict=True)],
        "weightSourceLayers": owners,
        "weightSourceMatrixIndices": indices,
        "weightsPerFilter": [p.fan_in for p in layer.weights],
        "initWFunc": "",
        "initBFunc": "",
        "superEps": 0.0,
        "superMom": 0.0,
        "gradConsumer": True,
    }


def _window(layer: Layer) -> dict[str, Any]:
    assert isinstance(layer, ConvLayer | LocalLayer)
    windows = layer.windows
    if any(layer.values.get("randSparse") or ()):
        _fail(layer, "randSparse: cuda-convnet2 has no random connections")
    for g in windows:
        _check_square(layer, g.height, g.width)
        if not g.is_square or g.rows.outputs != g.columns.outputs:
            _fail(layer, "cuda-convnet2's filters are square, with equal padding on all sides")
    return {
        "imgSize": [g.width for g in windows],
        "imgPixels": [g.width**2 for g in windows],
        "filterPixels": [g.filter_pixels for g in windows],
        "filterChannels": [g.group_channels for g in windows],
        "modulesX": windows[0].out_width,
        "modules": windows[0].out_pixels,
        "sumWidth": windows[0].out_width,
    }


def _data(layer: Layer) -> dict[str, Any]:
    assert isinstance(layer, DataLayer)
    return {"start": layer.rows.start, "end": layer.rows.stop}


def _neuron(layer: Layer) -> dict[str, Any]:
    from_output = layer.values["neuron"].from_output
    return {
        "usesActs": from_output,
        "usesInputs": not from_output,
        "src_layer": layer.inputs[0].name,
    }


def _blur(layer: Layer) -> dict[str, Any]:
    size, deviation = layer.values["filterSize"], layer.values["stdev"]
    weights = [math.exp(-((i - size // 2) ** 2) / (2 * deviation**2)) for i in range(size)]
    return {"filter": np.array([weights], np.float32) / np.float32(sum(weights))}


def _concat(layer: Layer) -> dict[str, Any]:
    sizes = [other.shape.size for other in layer.inputs]
    return {"copyOffsets": [sum(sizes[:i]) for i in range(len(sizes))]}


def _outputs_x(layer: Layer) -> dict[str, Any]:
    return {"outputsX": layer.shape.width}


def _pool(layer: Layer) -> dict[str, Any]:
    size = layer.values["sizeX"]
    if layer.values["pool"] == "l2":
        _fail(layer, "pool=l2: cuda-convnet2 has no such pooling")
    if layer.values["sizeY"] not in (None, size) or layer.shape.height != layer.shape.width:
        _fail(layer, "cuda-convnet2's pooling windows are square, with equal rows and columns")
    whole = {} if size else {"sizeX": layer.images_shape(layer.values["channels"]).width}
    return _outputs_x(layer) | whole


def _crop(layer: Layer) -> dict[str, Any]:
    start = layer.values.get("startY")
    return {"startY": layer.values["startX"] if start is None else start}


def _target(layer: Layer) -> dict[str, Any]:
    return {"tgtSize": layer.shape.width, "tgtPixels": layer.shape.width**2}


# What v2 worked out itself, by the beginning of the type.
_DERIVED: dict[str, Callable[[Layer], dict[str, Any]]] = {
    "data": _data,
    "conv": _window,
    "local": _window,
    "neuron": _neuron,
    "pool": _pool,
    "nailbed": _outputs_x,
    "resize": _target,
    "rscale": _target,
    "blur": _blur,
    "concat": _concat,
    "crop": _crop,
    "cost.": lambda layer: {"outputFilter": OUTPUT_FILTER, "aggregated": False},
}
