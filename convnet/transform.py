"""Nets made from other nets: convolutions turned into local layers, shared weights parted.

What cuda-convnet's options --conv-to-local and --unshare-weights do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from convnet.config.reader import Section, Source, read_sections, write_sections
from convnet.config.schedules import split_list
from convnet.errors import OptionError, Problems
from convnet.graph import Graph
from convnet.layer_types.conv import ConvLayer
from convnet.layer_types.weights import WeightLayer
from convnet.layer_types.window import WindowLayer

State = dict[str, np.ndarray]
_MATRIX = re.compile(r"(.+?)(?:\[(\d+)\])?")


def transform(
    definition: Source,
    graph: Graph,
    state: State,
    *,
    conv_to_local: Sequence[str] = (),
    unshare: Sequence[str] = (),
) -> tuple[Source, State]:
    """The definition and the weights of the transformed net.

    Args:
        graph, state: of the net that `definition` describes.
        conv_to_local: convolutional layers that become local ones, with a copy of the filters
            for each output pixel; layers that share their filters become local too.
        unshare: layers, or "layer[i]", whose shared matrices become copies of their own.

    Raises:
        OptionError: no such layer, or one that cannot be transformed.
    """
    sections = read_sections(definition, Problems())
    state = dict(state)
    parted = _shared_matrices(graph, unshare)
    # First the copies: a matrix that is no longer shared is not converted with its source.
    for layer, index in parted:
        _unshare(layer, index, sections[layer.name], state)
    for convolution in _convolutions(graph, conv_to_local, parted):
        _make_local(convolution, sections[convolution.name], state)
    return Source(definition.name, write_sections(sections)), state


def _unshare(layer: WeightLayer, index: int, section: Section, state: State) -> None:
    _begin(state, f"{layer.name}.weights.{index}", state[layer.weights[index].name].copy())
    entry = section.entries["weightsource"]
    items = split_list(entry.value)
    items[index] = ""
    section.put("weightSource", ",".join(items), entry.line)
    if isinstance(layer, WindowLayer) and any(layer.connections):
        # The channels that the filters see came with them.
        seen = [str(channel) for own in layer.connections for channel in own or ()]
        section.put("filterConns", ",".join(seen), entry.line)


def _make_local(layer: ConvLayer, section: Section, state: State) -> None:
    section.put("type", "local", section.line)
    section.entries.pop("sharedbiases", None)
    for i, window in enumerate(layer.windows):
        name = f"{layer.name}.weights.{i}"
        if name in state:
            _begin(state, name, np.tile(state[name], (window.out_pixels, 1)))
    biases = layer.biases
    if biases and biases.shape[0] == layer.shape.channels:  # shared by the pixels
        pixels = layer.shape.height * layer.shape.width
        _begin(state, biases.name, np.repeat(state[biases.name], pixels, axis=0))


def _begin(state: State, name: str, values: np.ndarray) -> None:
    """A matrix that has not learned yet: without increments, or gradients that are being summed."""
    state[name] = values
    state[f"{name}.inc"] = np.zeros_like(values)
    state.pop(f"{name}.grad", None)


def _shared_matrices(graph: Graph, names: Sequence[str]) -> list[tuple[WeightLayer, int]]:
    """Layer and index of the matrices that `names` means."""
    found: list[tuple[WeightLayer, int]] = []
    for text in names:
        match = _MATRIX.fullmatch(text.strip())
        layer = graph.get(match[1]) if match else None
        if not isinstance(layer, WeightLayer):
            raise OptionError(f"--unshare-weights: no layer with weights '{text}'")
        shared = [i for i, p in enumerate(layer.weights) if p.name != f"{layer.name}.weights.{i}"]
        if match and match[2]:
            shared = [i for i in shared if i == int(match[2])]
        if not shared:
            raise OptionError(f"--unshare-weights: '{text}' shares no weights with others")
        found += [(layer, i) for i in shared]
    return found


def _convolutions(
    graph: Graph, names: Sequence[str], parted: Sequence[tuple[WeightLayer, int]]
) -> list[ConvLayer]:
    """The layers of those names, and all that share filters with one of them.

    Args:
        parted: layer and index of the matrices that are no longer shared.
    """
    wanted: list[ConvLayer] = []
    for name in names:
        layer = graph.get(name)
        if not isinstance(layer, ConvLayer):
            raise OptionError(f"--conv-to-local: no convolutional layer '{name}'")
        wanted.append(layer)

    def filters(layer: ConvLayer) -> set[str]:
        return {p.name for i, p in enumerate(layer.weights) if (layer, i) not in parted}

    for layer in wanted:  # grows while it is walked
        for other in graph.values():
            if (
                isinstance(other, ConvLayer)
                and other not in wanted
                and (filters(other) & filters(layer))
            ):
                wanted.append(other)
    return wanted
