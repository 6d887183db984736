"""How large the weights of a run are, and how fast they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from convnet.errors import ConvnetError
from convnet.show.figures import picture

BINS = 50
COLUMNS = 4


@dataclass(frozen=True)
class MatrixStats:
    """Of one matrix.

    Attributes:
        name: "conv1.weights.0", "conv1.biases".
        shape: rows and columns.
        mean, largest: of the absolute values.
        norm: the root of the sum of squares.
        step: mean absolute increment, that is, the last change.
        ratio: step / mean; 0 for a matrix of zeros.
    """

    name: str
    shape: tuple[int, ...]
    mean: float
    largest: float
    norm: float
    step: float
    ratio: float


def weight_stats(state: Mapping[str, np.ndarray]) -> list[MatrixStats]:
    """Of each matrix of a net's state, see Net.state; sums are made in float64.

    Raises:
        ConvnetError: there are no matrices.
    """
    if not state:
        raise ConvnetError("the net has no weights, so there is nothing to tell of them")
    found = []
    for name, increments in state.items():
        name, _, kind = name.rpartition(".")
        if kind != "inc":
            continue
        values = np.abs(state[name], dtype=np.float64)
        mean = float(values.mean())
        step = float(np.abs(increments, dtype=np.float64).mean())
        found.append(
            MatrixStats(
                name,
                values.shape,
                mean,
                float(values.max()),
                float(np.sqrt(np.square(values).sum())),
                step,
                step / mean if mean else 0.0,
            )
        )
    return found


def stats_table(stats: Sequence[MatrixStats]) -> str:
    """A row per matrix."""
    width = max([len("matrix"), *(len(s.name) for s in stats)])
    shapes = ["x".join(map(str, s.shape)) for s in stats]
    heads = ("mean |W|", "max |W|", "norm", "mean |inc|", "ratio")
    lines = [f"{'matrix':{width}} {'shape':>12}" + "".join(f" {head:>12}" for head in heads)]
    for s, shape in zip(stats, shapes, strict=True):
        numbers = (s.mean, s.largest, s.norm, s.step, s.ratio)
        lines.append(f"{s.name:{width}} {shape:>12}" + "".join(f" {n:12.4e}" for n in numbers))
    return "\n".join(lines)


def draw_histograms(state: Mapping[str, np.ndarray], out: Path) -> None:
    """Draws how the values of each matrix are distributed.

    Args:
        state: all matrices and increments, see Net.state.

    Raises:
        ConvnetError: the picture cannot be written.
    """
    matrices = {stats.name: state[stats.name] for stats in weight_stats(state)}
    rows = ceil(len(matrices) / COLUMNS)
    with picture(out, 3 * COLUMNS, 2.2 * rows) as figure:
        grid = figure.subplots(rows, COLUMNS, squeeze=False).flat
        for axes, (name, values) in zip(grid, matrices.items(), strict=False):
            axes.hist(values.ravel(), bins=BINS, color="tab:blue")
            axes.set_title(name, fontsize="medium")
            axes.locator_params(axis="x", nbins=5)
            axes.tick_params(labelsize="small")
        for axes in list(figure.axes)[len(matrices) :]:
            axes.axis("off")
