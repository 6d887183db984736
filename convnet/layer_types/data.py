"""The layer that brings one of the data provider's matrices into the net."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convnet.config.keys import Int, Key
from convnet.config.layers import LayerSpec
from convnet.errors import ShapeError
from convnet.geometry import Shape
from convnet.layer_types.base import Layer, Mode
from convnet.ops.base import Ops
from convnet.ops.spec.images import ByteImages, Source
from convnet.plan import Buffer

Matrices = Sequence[Source]


class DataLayer(Layer):
    """Puts out matrix `dataIdx` of each batch: 0 is usually the images, 1 the labels."""

    type_name = "data"
    title = "data layer"
    keys = (
        Key("dataIdx", Int(min=0), "which matrix of the data provider"),
        Key("start", Int(min=0), "first row of the matrix", default=0),
        Key("end", Int(min=0), "row after the last; 0 means all", default=0),
    )
    min_inputs = 0
    max_inputs = 0

    def __init__(self, spec: LayerSpec, data_shapes: Sequence[Shape]) -> None:
        super().__init__(spec, ())
        self.index: int = spec.values["dataIdx"]
        if self.index >= len(data_shapes):
            raise ShapeError(
                f"dataIdx={self.index}, but the data have {len(data_shapes)} matrices "
                f"(0 to {len(data_shapes) - 1})"
            )
        whole = data_shapes[self.index]
        start, end = spec.values["start"], spec.values["end"] or whole.size
        if not start < end <= whole.size:
            raise ShapeError(
                f"start={start}, end={end} must select rows of a matrix with {whole.size} rows"
            )
        self.matrix_rows = whole.size
        self.rows = slice(start, end)
        self.shape = whole if end - start == whole.size else Shape(end - start)

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        """Nothing: the net uploads the data before each step."""

    def read(self, matrices: Matrices) -> np.ndarray:
        """The rows of a batch that this layer puts out."""
        return np.asarray(matrices[self.index])[self.rows]

    def source(self, matrices: Matrices) -> Source:
        """The same to be uploaded: images that are bytes become numbers where the net runs."""
        matrix = matrices[self.index]
        whole = isinstance(matrix, ByteImages) and self.shape.size == self.matrix_rows
        return matrix if whole else self.read(matrices)
