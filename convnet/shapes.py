"""What data a net fits: shapes of the matrices, worked out from the layer definition.

A definition does not say how large its pictures are. The channels follow from the layers above
the data, the side is the first usual one that fits, and what is added to or compared with another
layer's output has its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from convnet.config.layers import LayerSpec
from convnet.errors import ConfigError
from convnet.geometry import Shape
from convnet.graph import build_graph

SIDES = (32, 24, 28, 224, 227, 64, 48, 96, 128, 138, 192, 256, 16)
"""Sides of pictures, the most usual first: CIFAR-10, its crops, MNIST, ImageNet, others."""

ONE_NUMBER = ("cost.logreg", "cost.hingeloss", "cost.gsinlabel", "cost.locrank")
"""Costs that take data with one number per image."""

UNKNOWN = 3  # channels of a picture where no layer tells


def infer_data_shapes(specs: Sequence[LayerSpec]) -> list[Shape]:
    """Shapes of the data, by dataIdx, that the layers fit; 1x1x1 for labels.

    Raises:
        ConfigError: nothing fits; the mistakes that remain with the most fitting sides.
    """
    data = {spec.name: int(spec.values["dataIdx"]) for spec in specs if spec.type == "data"}
    channels = {index: _channels(specs, name) for name, index in data.items()}
    pictures = sorted(index for index, count in channels.items() if count)
    fewest: ConfigError | None = None
    for sides in _sides(len(pictures)):
        shapes = [Shape(1)] * (max(data.values(), default=0) + 1)
        for index, side in zip(pictures, sides, strict=True):
            shapes[index] = Shape(channels[index], side, side)
        for name, index in data.items():
            if index not in pictures:
                shapes[index] = _rows(specs, name, shapes)
        try:
            build_graph(specs, shapes)
        except ConfigError as error:
            if fewest is None or _count(error) < _count(fewest):
                fewest = error
            continue
        return shapes
    assert fewest is not None
    raise fewest


def _count(error: ConfigError) -> int:
    return str(error).count("\n")


def _sides(pictures: int) -> Iterator[tuple[int, ...]]:
    """Equal sides first."""
    yield from ((side,) * pictures for side in SIDES)
    if pictures > 1:
        yield from product(SIDES, repeat=pictures)


def _uses(specs: Sequence[LayerSpec], name: str) -> Iterator[tuple[LayerSpec, int]]:
    """The layers that use `name`, and as which of their inputs."""
    for spec in specs:
        for position, source in enumerate(spec.inputs):
            if source == name:
                yield spec, position


def _channels(specs: Sequence[LayerSpec], name: str) -> int:
    """Channels of a matrix of pictures; 0 if it holds something else."""
    for spec, position in _uses(specs, name):
        if spec.type.startswith("cost."):
            continue
        count = spec.values.get("channels")
        if count:
            groups = spec.values.get("in_nodes", 1)  # cccp has so many channels per group
            return int(count[position] if isinstance(count, tuple) else count * groups)
        if spec.type.startswith("rgb2") or not _others(spec, name):
            return UNKNOWN
    return 0


def _others(spec: LayerSpec, name: str) -> list[str]:
    return [source for source in spec.inputs if source != name]


def _rows(specs: Sequence[LayerSpec], name: str, shapes: Sequence[Shape]) -> Shape:
    """The shape of what is no picture: labels, or as much as the layer it is set against has."""
    last = max((spec.values["end"] for spec in specs if spec.name == name), default=0)
    if last:
        return Shape(int(last))
    for spec, _ in _uses(specs, name):
        if spec.type in ONE_NUMBER or not _others(spec, name):
            continue
        needed = {_others(spec, name)[0]}
        below = []
        for other in reversed(specs):
            if other.name in needed:
                below.append(other)
                needed |= set(other.inputs)
        try:
            graph = build_graph(below[::-1], shapes)
        except ConfigError:
            continue
        return list(graph.values())[-1].shape
    return Shape(1)
