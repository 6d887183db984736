"""Curves of verification: the accuracy of runs in training, and ROC curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from convnet.show.cost import Value, cost_layers, draw_curves, labels
from convnet.show.figures import Run, picture


def draw_faces(
    runs: Sequence[Run],
    value: Value | None,
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]],
    out: Path,
) -> None:
    """Draws side by side what there is: the cost of runs, their verifications, and ROC curves.

    Args:
        value: of a cost layer, drawn of the runs that have it; None without runs.
        curves: false and true accept rates of each ROC curve, by its name.

    Raises:
        ConvnetError: the file cannot be written.
    """
    verified = [run for run in runs if run.checkpoint.state.verifications]
    count = (value is not None) + bool(verified) + bool(curves)
    with picture(out, 6 * count, 4.5) as figure:
        places = iter(figure.subplots(1, count, squeeze=False)[0])
        if value:
            having = [run for run in runs if value.cost in cost_layers(run)]
            draw_curves(next(places), having, value, smooth=False)
        if verified:
            draw_verifications(next(places), verified)
        if curves:
            draw_rocs(next(places), curves)


def draw_verifications(axes: Axes, runs: Sequence[Run]) -> None:
    """The accuracy of each verification over the epochs."""
    for label, run in zip(labels(runs), runs, strict=True):
        times, accuracies, _ = np.array(run.checkpoint.state.verifications).T
        epoch = max(1, len(run.checkpoint.options.get("train_range", [])))
        axes.plot(times / epoch, accuracies, marker=".", label=label.strip() or run.path.name)
    axes.set_title("verification after each test")
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend()


def draw_rocs(axes: Axes, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """True over false accepts, the latter on a logarithmic scale, where 0 has no place."""
    for label, (far, tar) in curves.items():
        axes.plot(far[far > 0], tar[far > 0], label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_title("ROC")
    axes.set_xlabel("pairs of two people accepted (FAR)")
    axes.set_ylabel("pairs of one person accepted (TAR)")
    axes.grid(alpha=0.3)
    axes.legend()
