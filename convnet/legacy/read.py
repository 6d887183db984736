"""A checkpoint file of the original, as one of ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from convnet.errors import CheckpointError
from convnet.legacy.forms import whole
from convnet.legacy.run_options import MODULES, our_options
from convnet.legacy.stored import StoredLayer, stored_layers
from convnet.legacy.texts import layer_files
from convnet.state import Checkpoint, Outputs, TrainingState
from data_providers.base import infer_shape
from data_providers.errors import DataError
from data_providers.pickles import parse_pickle, unpack

MAX_MATRICES = 100
"""Of the data; providers have three."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint of cuda-convnet (v1) or cuda-convnet2 (v2).

    Raises:
        CheckpointError: it is damaged, hostile, or of a net that our layer files cannot describe.
    """
    try:
        return _Reader(path).checkpoint()
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        reason = " ".join(repr(error)[:200].split())
        raise CheckpointError(f"{path}: damaged checkpoint ({reason}); name another one") from None


class _Reader:
    def __init__(self, path: Path) -> None:
        self.where = str(path)
        try:
            content = unpack(path.read_bytes(), self.where)
            stored = parse_pickle(content, self.where, records=MODULES)
        except DataError as error:
            raise CheckpointError(str(error)) from None
        # What is held in many places takes little room in a pickle, so all that is copied is
        # counted, and may not be more than the file holds.
        self.left = len(content)
        model = stored.get("model_state") if isinstance(stored, dict) else None
        if not isinstance(model, dict) or "layers" not in model:
            self.fail("a pickle, but not a checkpoint: it has no model_state with layers")
        self.model: dict[str, Any] = model
        self.options = our_options(stored.get("op"))
        self.layers = stored_layers(model["layers"], self.where)

    def fail(self, text: str) -> NoReturn:
        raise CheckpointError(f"{self.where}: {text}")

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            self.fail("holds the same values in too many places")

    def checkpoint(self) -> Checkpoint:
        definition, parameters = layer_files(self.layers, self.where)
        return Checkpoint(
            weights=self._weights(),
            definition=definition,
            parameters=parameters,
            data_shapes=self._data_shapes(),
            label_names=[],
            options=self.options,
            state=self._state(),
        )

    # --- weights ----------------------------------------------------------------------------

    def _weights(self) -> dict[str, np.ndarray]:
        """Own matrices and increments; the shapes are checked when the net is built."""
        weights: dict[str, np.ndarray] = {}
        for layer in self.layers:
            if "weights" not in layer.fields:
                continue
            stored = self._list(layer, "weights")
            increments = self._list(layer, "weightsInc")
            matrices = {
                f"weights.{i}": (stored[i], increments[i])
                for i, source in enumerate(layer.sources)
                if not source
            }
            matrices["biases"] = layer.get("biases"), layer.get("biasesInc", None)
            for label, (values, increment) in matrices.items():
                matrix = self._matrix(layer, label, values)
                weights[f"{layer.name}.{label}"] = matrix
                weights[f"{layer.name}.{label}.inc"] = (
                    np.zeros_like(matrix)
                    if increment is None
                    else self._matrix(layer, f"{label}.inc", increment)
                )
        return weights

    def _list(self, layer: StoredLayer, field: str) -> list[Any]:
        """Matrices for each input; v1 stored the only one of a layer without a list at first."""
        values = layer.get(field, None)
        matrices = values if isinstance(values, list) else [values] * len(layer.inputs)
        if len(matrices) != len(layer.inputs):
            layer.fail(f"field '{field}' must have {len(layer.inputs)} matrices, one per input")
        return matrices

    def _matrix(self, layer: StoredLayer, label: str, values: Any) -> np.ndarray:
        """In the C order; the original stored fc weights in Fortran's."""
        if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.ndim != 2:
            layer.fail(f"'{label}' must be a matrix of floating-point numbers")
        self.spend(values.nbytes)
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(values, np.float32)

    # --- data -------------------------------------------------------------------------------

    def _data_shapes(self) -> list[tuple[int, int, int]]:
        """Of each matrix; images are those that the layers above take them for."""
        shapes: dict[int, tuple[int, int, int]] = {}
        channels = self._channels()
        for layer in self.layers:
            if layer.type != "data":
                continue
            index, rows = self._whole(layer, "dataIdx"), self._whole(layer, "outputs")
            rows = max(rows, self._whole(layer, "end", 0))
            if not (0 <= index < MAX_MATRICES and rows > 0):
                layer.fail(f"matrix {index} with {rows} rows")
            if rows > np.prod(shapes.get(index, 0)):
                shapes[index] = _image_shape(rows, channels.get(layer.name, 0))
        return [shapes.get(index, (1, 1, 1)) for index in range(max(shapes, default=-1) + 1)]

    def _channels(self) -> dict[str, int]:
        """What the first user of each layer takes it for."""
        found: dict[str, int] = {}
        for layer in self.layers:
            stored = layer.get("channels", None)
            for i, name in enumerate(layer.inputs):
                count = stored[i] if isinstance(stored, list) else stored
                if isinstance(count, int) and name not in found:
                    found[name] = count
        return found

    def _whole(self, layer: StoredLayer, field: str, *default: int) -> int:
        try:
            return whole(layer.get(field, *default))
        except ValueError as error:
            layer.fail(f"field '{field}' {error}")

    # --- state ------------------------------------------------------------------------------

    def _state(self) -> TrainingState:
        train, test = (self._outputs(name) for name in ("train_outputs", "test_outputs"))
        return TrainingState(
            epoch=self._count("epoch"),
            batch=self._count("batchnum"),
            train_outputs=train,
            test_outputs=test,
            test_times=times_of_tests(len(train), len(test), self.options.get("test_freq", 0)),
        )

    def _count(self, name: str) -> int:
        value = self.model.get(name)
        if type(value) is not int or not 0 <= value < 2**31:
            self.fail(f"{name} must be a whole number")
        return value

    def _outputs(self, name: str) -> Outputs:
        """Costs as sums over the images: v2 stored sums, v1 means."""
        stored = self.model.get(name, [])
        means = isinstance(self.model["layers"], list)
        costs = {layer.name: layer.type for layer in self.layers if layer.type.startswith("cost.")}
        outputs: Outputs = []
        try:
            for values_by_cost, cases, *_ in stored:
                scale = whole(cases) if means else 1
                self.spend(1 + len(values_by_cost))
                outputs.append(
                    (
                        {
                            cost: self._values(costs[cost], values, scale)
                            for cost, values in values_by_cost.items()
                            if cost in costs
                        },
                        max(1, whole(cases)),
                    )
                )
        except (ValueError, TypeError, ArithmeticError, AttributeError):
            self.fail(f"{name} must be a list of (values by cost, number of images)")
        return outputs

    def _values(self, kind: str, stored: Sequence[Any], scale: int) -> list[float]:
        self.spend(len(stored))
        values = [float(value) * scale for value in stored]
        # v1 knows no top-k error; for k = 1 it is the error.
        return [*values, values[1]] if kind == "cost.logreg" and len(values) == 2 else values


def _image_shape(rows: int, channels: int) -> tuple[int, int, int]:
    if channels > 0:
        side = math.isqrt(rows // channels)
        if channels * side**2 == rows:
            return channels, side, side
    return infer_shape(rows)


def times_of_tests(trained: int, tests: int, every: int) -> list[int]:
    """After how many training batches each test was made.

    Nobody stored it, but the checkpoint followed the last test, and one was made every so many
    batches. If there were more than that allows, because this number was changed, they are taken
    to be equally far apart.
    """
    if every < 1 or (tests - 1) * every >= trained:
        return [trained * (k + 1) // tests for k in range(tests)]
    return [trained - every * (tests - 1 - k) for k in range(tests)]
