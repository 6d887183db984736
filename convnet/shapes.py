"""What data a net fits: shapes of the matrices, worked out from the layer definition.

A definition does not say how large its pictures are. The channels follow from the layers above
the data, the side is the first usual one that fits, and what is added to or compared with another
layer's output has its size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice, product

from convnet.config.layers import LayerSpec
from convnet.errors import ConfigError
from convnet.geometry import Shape
from convnet.graph import build_graph
from convnet.layer_types.window import WindowLayer

SIDES = (32, 24, 28, 224, 227, 64, 48, 96, 112, 128, 138, 192, 256, 16)
"""Sides of pictures, the most usual first: CIFAR-10, its crops, MNIST, ImageNet, faces, others."""

MAX_SIDE = 256
MAX_COMBINATIONS = 1000  # of different sides of several matrices

LABELS = {
    "cost.logreg": 0,
    "cost.hingeloss": 0,
    "cost.gsinlabel": 0,
    "cost.locrank": 3,
    "cost.margin": 0,
    "cost.triplet": 0,
    "cost.contrastive": 0,
    "cost.center": 0,
}
"""Costs that take data with one number per image, and as which of their inputs."""

SAME_SHAPE = (
    *("neuron", "prelu", "dropout", "dropout2", "eltsum", "eltmax"),
    *("batchnorm", "l2norm", "stopgrad"),
)
"""Types whose output has the shape of their inputs."""

UNKNOWN = 0  # channels of a picture where no layer tells


def infer_data_shapes(specs: Sequence[LayerSpec]) -> list[Shape]:
    """Shapes of the data, by dataIdx, that the layers fit; 1x1x1 for labels.

    Raises:
        ConfigError: nothing fits; the mistakes that remain with the most fitting usual side.
    """
    data = {spec.name: int(spec.values["dataIdx"]) for spec in specs if spec.type == "data"}
    ends = {spec.name: spec.values["end"] for spec in specs if spec.type == "data"}
    channels = {
        index: count
        for name, index in data.items()
        if (count := _channels(specs, name, data)) or (count == UNKNOWN and not ends[name])
    }
    fewest: ConfigError | None = None
    doubtful: list[Shape] | None = None  # fits, but a convolution has windows beyond the image
    for number, pictures in enumerate(_candidates(specs, list(channels.values()))):
        shapes = [Shape(1)] * (max(data.values(), default=0) + 1)
        for index, shape in zip(channels, pictures, strict=True):
            shapes[index] = shape
        for name, index in data.items():
            if index not in channels:
                shapes[index] = _rows(specs, name, shapes)
        try:
            graph = build_graph(specs, shapes)
        except ConfigError as error:
            # Where a picture is absurdly small, what is above the first layer is not looked at.
            if fewest is None or (number < len(SIDES) and _count(error) < _count(fewest)):
                fewest = error
            continue
        layers = [layer for layer in graph.values() if isinstance(layer, WindowLayer)]
        if all(window.all_see_pixels for layer in layers for window in layer.windows):
            return shapes
        doubtful = doubtful or shapes
    if doubtful:
        return doubtful
    assert fewest is not None
    raise fewest


def _count(error: ConfigError) -> int:
    return str(error).count("\n")


def _candidates(specs: Sequence[LayerSpec], channels: Sequence[int]) -> Iterator[Sequence[Shape]]:
    """Shapes of the pictures, the likeliest first: equal sides, and colour where unknown."""

    def squares(side: int, unknown: int = 3) -> list[Shape]:
        return [Shape(count or unknown, side, side) for count in channels]

    yield from map(squares, SIDES)
    if UNKNOWN in channels:
        yield from (squares(side, unknown=1) for side in SIDES)
        for size in {spec.values["outputs"] for spec in specs if spec.type == "fc"}:
            yield [Shape(count, 32, 32) if count else Shape(size) for count in channels]
    if len(channels) > 1:
        yield from islice(product(*zip(*map(squares, SIDES), strict=True)), MAX_COMBINATIONS)
    if channels:
        yield from map(squares, range(1, MAX_SIDE))


def _uses(specs: Sequence[LayerSpec], name: str) -> Iterator[tuple[LayerSpec, int]]:
    """The layers that use `name`, and as which of their inputs."""
    for spec in specs:
        for position, source in enumerate(spec.inputs):
            if source == name:
                yield spec, position


def _is_labels(specs: Sequence[LayerSpec], name: str) -> bool:
    """Whether a cost takes one number per image from `name`."""
    return any(LABELS.get(spec.type) == position for spec, position in _uses(specs, name))


def _channels(specs: Sequence[LayerSpec], name: str, data: Collection[str]) -> int | None:
    """Channels of a matrix of pictures, or of a layer of their shape; None: something else.

    Args:
        data: names of the data layers.
    """
    if _is_labels(specs, name):
        return None
    found = None
    for spec, position in _uses(specs, name):
        count = spec.values.get("channels")
        if count:
            groups = spec.values.get("in_nodes", 1)  # cccp has so many channels per group
            return int(count[position] if isinstance(count, tuple) else count * groups)
        if all(source == name or source in data for source in spec.inputs):
            found = UNKNOWN
            if spec.type in SAME_SHAPE:
                found = _channels(specs, spec.name, data) or UNKNOWN
            if found:
                return found
    return found


def _rows(specs: Sequence[LayerSpec], name: str, shapes: Sequence[Shape]) -> Shape:
    """The shape of what is no picture: labels, or as much as the layer it is set against has."""
    last = max((spec.values["end"] for spec in specs if spec.name == name), default=0)
    if last:
        return Shape(int(last))
    if _is_labels(specs, name):
        return Shape(1)
    for spec, _ in _uses(specs, name):
        others = [source for source in spec.inputs if source != name]
        if not others:
            continue
        needed = {others[0]}
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
