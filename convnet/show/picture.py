"""One picture of a run: the error curve and the filters of the first layer."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convnet.api import read_graph
from convnet.checkpoint import Checkpoint, Outputs, load_checkpoint, write_atomically
from convnet.errors import CheckpointError, ConvnetError
from convnet.layer_types.base import Parameter
from convnet.layer_types.conv import ConvLayer
from convnet.layer_types.cost import CostLayer
from convnet.layer_types.data import DataLayer

FORMATS = (".png", ".svg", ".pdf")
MAX_FILTERS = 256


def draw_run(checkpoint_path: Path, out: Path) -> str:
    """Draws a run's curves and, if the net begins with convolutions, their filters.

    Args:
        checkpoint_path: a checkpoint file or run directory.
        out: the picture, .png, .svg or .pdf.

    Returns: the result of the last test in words.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ConvnetError: the net has no cost, or the picture cannot be written.
    """
    if out.suffix.lower() not in FORMATS:
        raise ConvnetError(f"{out}: a picture must end in one of {', '.join(FORMATS)}")
    checkpoint = load_checkpoint(checkpoint_path)
    graph = read_graph(
        checkpoint.definition,
        checkpoint.parameters,
        checkpoint.data_shapes,
        lenient=bool(checkpoint.options.get("lenient")),
    )
    first = next(
        (
            layer
            for layer in graph.values()
            if isinstance(layer, ConvLayer) and isinstance(layer.inputs[0], DataLayer)
        ),
        None,
    )
    # The first cost that reports an error beside what it minimises; else the first.
    costs = [x for x in graph.values() if isinstance(x, CostLayer) and not x.is_child]
    if not costs:
        raise ConvnetError(f"{checkpoint_path}: the net has no cost layer, so there is no curve")
    cost = max(costs, key=lambda cost: len(cost.value_names) > 1)
    index = 1 if len(cost.value_names) > 1 else 0
    with matplotlib.rc_context({"svg.hashsalt": "convnet"}):
        figure = Figure(figsize=(11, 4.5) if first else (6.5, 4.5), layout="constrained")
        axes = figure.subplots(1, 2 if first else 1, squeeze=False)[0]
        result = _draw_curves(axes[0], checkpoint, cost.name, index, cost.value_names[index])
        if first:
            _draw_filters(axes[1], _weights(checkpoint, first.weights[0], checkpoint_path), first)
        content = BytesIO()
        figure.savefig(content, format=out.suffix[1:].lower(), dpi=120)
    try:
        write_atomically(out, content.getvalue())
    except OSError as error:
        raise ConvnetError(f"{out}: cannot write the picture: {error.strerror}") from None
    return result


def _draw_curves(axes: Axes, checkpoint: Checkpoint, cost: str, index: int, name: str) -> str:
    state, options = checkpoint.state, checkpoint.options
    per_epoch = max(1, len(options.get("train_range", [])))
    train_times = range(1, len(state.train_outputs) + 1)
    times, values = _curve(train_times, state.train_outputs, cost, index)
    axes.plot(times / per_epoch, values, color="0.6", lw=1, label="training")
    times, values = _curve(state.test_times, state.test_outputs, cost, index)
    axes.plot(times / per_epoch, values, color="tab:red", marker=".", label="test")
    result = (
        f"{cost}: {name} {values[-1]:.4f} on the last test" if len(values) else "not tested yet"
    )
    axes.set_title(result, parse_math=False)
    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return result


def _curve(
    times: Sequence[int], outputs: Outputs, cost: str, index: int
) -> tuple[np.ndarray, np.ndarray]:
    """Times and means over the images of one value of a cost, where it was computed."""
    points = [
        (time, costs[cost][index] / cases)
        for time, (costs, cases) in zip(times, outputs, strict=True)
        if len(costs.get(cost, [])) > index
    ]
    found = np.array(points, np.float64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _weights(checkpoint: Checkpoint, parameter: Parameter, path: Path) -> np.ndarray:
    """Raises: CheckpointError if the checkpoint lacks the matrix, or has another shape."""
    weights = checkpoint.weights.get(parameter.name)
    if weights is None or weights.shape != parameter.shape:
        found = "none" if weights is None else weights.shape
        raise CheckpointError(
            f"{path}: '{parameter.name}' must have shape {parameter.shape}; found {found}"
        )
    return weights


def _draw_filters(axes: Axes, weights: np.ndarray, layer: ConvLayer) -> None:
    """Filters in a grid, scaled together; three channels as red, green, blue, else their mean."""
    g = layer.windows[0]
    filters = weights.T.reshape(g.filters, g.group_channels, g.filter_size, g.filter_size)
    pictures = filters[:MAX_FILTERS].transpose(0, 2, 3, 1)
    if pictures.shape[-1] != 3:
        pictures = pictures.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    low, high = pictures.min(), pictures.max()
    pictures = (pictures - low) / (high - low if high > low else 1.0)
    columns = int(np.ceil(np.sqrt(len(pictures))))
    rows = -(-len(pictures) // columns)
    cell = g.filter_size + 1
    sheet = np.ones((rows * cell - 1, columns * cell - 1, 3))
    for i, picture in enumerate(pictures):
        y, x = i // columns * cell, i % columns * cell
        sheet[y : y + g.filter_size, x : x + g.filter_size] = picture
    axes.imshow(sheet, interpolation="nearest")
    axes.set_title(f"filters of {layer.name}", parse_math=False)
    axes.axis("off")
