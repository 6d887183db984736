"""The curves of a cost over the training: of one run, or of several to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from convnet.checkpoint import Outputs
from convnet.errors import OptionError
from convnet.layer_types.cost import CostLayer
from convnet.show.figures import Run, picture


@dataclass(frozen=True)
class Value:
    """One value of a cost layer, and its name: value 1 of a cost.logreg is the error.

    Attributes:
        counted: see CostLayer.
    """

    cost: str
    index: int
    name: str
    counted: int | None = None


def draw_cost(runs: Sequence[Run], value: Value, smooth: bool, out: Path) -> list[str]:
    """Draws the training and the test curve of each run.

    Args:
        smooth: test values are means over the last tests, as many as make up the test range.

    Returns: the last test results in words, one for each run.

    Raises:
        ConvnetError: the picture cannot be written.
    """
    with picture(out, 6.5, 4.5) as figure:
        return draw_curves(figure.subplots(), runs, value, smooth)


def find_value(run: Run, cost: str = "", index: int = 0) -> Value:
    """The value to draw; without a name, of the first cost.

    Raises:
        OptionError: the net has other costs, or the cost has fewer values.
    """
    costs = cost_layers(run)
    layer = costs.get(cost) if cost else next(iter(costs.values()))
    if layer is None:
        raise OptionError(
            f"--show-cost: {run.path} has no cost '{cost}'; it has {', '.join(costs)}"
        )
    if index >= len(layer.value_names):
        known = ", ".join(f"{name} ({i})" for i, name in enumerate(layer.value_names))
        raise OptionError(f"--cost-idx: cost '{layer.name}' has no value {index}; it has {known}")
    return Value(layer.name, index, layer.value_names[index], layer.counted)


def cost_layers(run: Run) -> dict[str, CostLayer]:
    """Those that are reported, by name."""
    return {cost.name: cost for cost in run.net.costs if not cost.is_child}


def draw_curves(axes: Axes, runs: Sequence[Run], value: Value, smooth: bool) -> list[str]:
    """Draws one value of the runs' costs over the epochs; returns the results, one for each."""
    results = []
    for number, (label, run) in enumerate(zip(labels(runs), runs, strict=True)):
        state, options = run.checkpoint.state, run.checkpoint.options
        epoch = max(1, len(options.get("train_range", [])))
        tests = len(options.get("test_range", [])) if smooth and options.get("test_one") else 1
        colours = (f"C{number}", f"C{number}") if len(runs) > 1 else ("0.6", "tab:red")
        times, values = curve(range(1, len(state.train_outputs) + 1), state.train_outputs, value)
        axes.plot(times / epoch, values, color=colours[0], lw=1, label=f"{label}training")
        times, values = curve(state.test_times, state.test_outputs, value, tests)
        axes.plot(times / epoch, values, color=colours[1], marker=".", label=f"{label}test")
        averaged = min(tests, len(values))
        last = f"last {averaged} tests" if averaged > 1 else "last test"
        results.append(
            f"{label}{value.cost}: {value.name} {values[-1]:.4f} on the {last}"
            if len(values)
            else f"{label}not tested yet"
        )
    axes.set_title(results[0] if len(runs) == 1 else value.cost)
    axes.set_xlabel("epoch")
    axes.set_ylabel(value.name)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return results


def curve(
    times: Sequence[int], outputs: Outputs, value: Value, window: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """One value of a cost, where it was computed, as a running mean over images.

    Args:
        times: of each output.
        window: the mean is over the images of so many outputs up to each.

    Returns: times and means, both float64.
    """
    cost, index, counted = value.cost, value.index, value.counted
    points = [
        (time, costs[cost][index], cases if counted is None else costs[cost][counted])
        for time, (costs, cases) in zip(times, outputs, strict=True)
        if len(costs.get(cost, [])) > index
    ]
    found = np.array(points, np.float64).reshape(-1, 3)
    sums = [found[max(0, i - window) : i, 1:].sum(axis=0) for i in range(1, len(found) + 1)]
    values, cases = np.array(sums).reshape(-1, 2).T
    return found[:, 0], values / np.maximum(cases, 1)


def labels(runs: Sequence[Run]) -> list[str]:
    """Beginnings for the names of the curves: what tells one run from another."""
    if len(runs) == 1:
        return [""]
    names = [run.path.name for run in runs]
    unique = len(set(names)) == len(names)
    return [f"{name if unique else run.path} " for name, run in zip(names, runs, strict=True)]
