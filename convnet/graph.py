"""From the sections of the layer files to connected layers with shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from convnet.config.layers import LayerSpec
from convnet.errors import Problems, ShapeError
from convnet.geometry import Shape
from convnet.layer_types.base import Layer
from convnet.layer_types.cost import CostLayer
from convnet.layer_types.data import DataLayer
from convnet.layer_types.elementwise import DetachedDropout, NeuronLayer
from convnet.layer_types.registry import LAYER_TYPES
from convnet.layer_types.weights import WeightLayer
from convnet.replicas import check_periods, set_replicas

Graph = dict[str, Layer]


def build_graph(
    specs: Sequence[LayerSpec], data_shapes: Sequence[Shape], problems: Problems | None = None
) -> Graph:
    """The layers by name, inputs before their users.

    A `neuron=` becomes a layer of its own, named <layer>_neuron, between the layer and its
    users; below it a `dropout=` of the parameter file becomes one named <layer>_dropout.

    Args:
        specs: the sections, in file order.
        data_shapes: shape of each matrix of the data, by dataIdx.
        problems: receives what layers warn of, if given.

    Raises:
        ConfigError: shapes that do not fit, one line per layer.
    """
    problems = Problems() if problems is None else problems
    graph: Graph = {}
    outputs: dict[str, Layer] = {}  # what the users of a name are connected to
    taken = {spec.name for spec in specs}
    for spec in specs:
        if any(name not in outputs for name in spec.inputs):
            continue  # its input is in error itself
        try:
            layer = _make(spec, [outputs[name] for name in spec.inputs], graph, data_shapes)
        except ShapeError as error:
            problems.add(spec.where, f"Layer '{spec.name}': {error}")
            continue
        graph[spec.name] = layer
        for warning in layer.warnings:
            problems.warn(spec.where, f"Layer '{spec.name}': {warning}")
        last = layer
        if layer.keep_rate < 1:
            values: dict[str, Any] = {"keep": layer.keep_rate, "enable": True}
            name = _free_name(f"{spec.name}_dropout", taken)
            last = graph[name] = _detached(DetachedDropout, spec, name, last, values)
        neuron = spec.values.get("neuron")
        if neuron is not None and not isinstance(layer, NeuronLayer):
            name = _free_name(f"{spec.name}_neuron", taken)
            last = graph[name] = _detached(NeuronLayer, spec, name, last, {"neuron": neuron})
        outputs[spec.name] = last
    if not problems:
        set_replicas(graph, problems)
        check_periods(graph, problems)
    problems.raise_if_any()
    return graph


def _make(
    spec: LayerSpec, inputs: Sequence[Layer], earlier: Graph, data_shapes: Sequence[Shape]
) -> Layer:
    layer_type = LAYER_TYPES[spec.type]
    if issubclass(layer_type, DataLayer):
        return layer_type(spec, data_shapes)
    if issubclass(layer_type, (WeightLayer, CostLayer)):
        return layer_type(spec, inputs, earlier)
    return layer_type(spec, inputs)


def _detached(
    layer_type: type[Layer], spec: LayerSpec, name: str, below: Layer, values: dict[str, Any]
) -> Layer:
    """A layer that the section of another, right below it, asks for."""
    own = replace(spec, name=name, type=layer_type.type_name, inputs=(below.name,), values=values)
    return layer_type(own, [below])


def _free_name(name: str, taken: set[str]) -> str:
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}.{number}"
    taken.add(candidate)
    return candidate


def consumers(graph: Graph, layer: Layer) -> list[Layer]:
    """The layers that use the output of `layer`."""
    return [other for other in graph.values() if layer in other.inputs]


def freeze(graph: Graph, name: str) -> None:
    """Lets a layer, and all layers that it depends on, learn no more.

    Raises:
        KeyError: there is no such layer.
    """
    frozen = {graph[name].name}
    for layer in reversed(graph.values()):
        if layer.name in frozen:
            layer.freeze()
            frozen.update(source.name for source in layer.inputs)


def feature_layer(graph: Graph, name: str) -> Layer:
    """The layer whose output is meant when a user asks for the features of `name`.

    As in cuda-convnet, where the neuron of a layer overwrites the layer's own output if it can,
    the name of the layer then stands for the values after the neuron. Its dropout always counts.

    Raises:
        KeyError: there is no such layer.
    """
    layer = top = graph[name]
    users = consumers(graph, layer)
    if len(users) == 1 and isinstance(users[0], DetachedDropout):
        top = users[0]
        users = consumers(graph, top)
    if len(users) == 1 and isinstance(users[0], NeuronLayer):
        neuron = users[0]
        if neuron.neuron.from_output and not layer.has_own_features:
            return neuron
    return top
