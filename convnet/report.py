"""What a user sees: the lines that cuda-convnet printed, a progress bar, a log file.

On a terminal the same lines come with a live progress bar under them. The log is one JSON object
per line, for other programs to read.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from convnet.errors import ConvnetError
from convnet.geometry import Shape
from convnet.graph import Graph
from convnet.layer_types.base import Layer
from convnet.layer_types.cost import CostLayer
from convnet.options import FIELDS, Options, option_name, parse_range
from data_providers.base import number_ranges

RULE = "=" * 25
CONSOLE = Console()


def text(line: str = "") -> None:
    """Prints one line whole, however narrow the terminal, and at once even into a pipe."""
    CONSOLE.out(line, highlight=False)


def cost_text(
    costs: Mapping[str, Sequence[float]],
    cases: int,
    graph: Graph,
    label_names: Sequence[str] = (),
) -> str:
    """`logprob:  2.302585, 0.900000` from sums over `cases` images, each cost in its own form."""
    parts = []
    for name, values in costs.items():
        layer = graph[name]
        assert isinstance(layer, CostLayer)
        parts.append(f"{name}:  {layer.format(values, cases, label_names)}")
    return ", ".join(parts)


def layer_line(layer: Layer) -> str:
    """The line that is printed when a layer is ready."""
    line = f"Initialized {layer.title} '{layer.name}'"
    if isinstance(layer, CostLayer):
        return line
    return f"{line}, producing {_output_text(layer.shape)}"


def _output_text(shape: Shape) -> str:
    if shape.height == shape.width == 1:
        return f"{shape.channels} outputs"
    return f"{shape.width}x{shape.height} {shape.channels}-channel output"


def layer_table(graph: Graph) -> str:
    """A row per layer: name, type, inputs, output shape, parameters, multiply-adds, bytes."""
    header = ("layer", "type", "inputs", "output", "parameters", "mult-adds", "bytes")
    rows: list[tuple[str, ...]] = [header]
    totals = [0, 0, 0]  # plain integers: a large net overflows those of numpy
    for layer in graph.values():
        parameters = sum(
            rows * columns for rows, columns in (p.shape for p in layer.own_parameters)
        )
        numbers = [parameters, layer.multiply_adds, 4 * layer.shape.size]
        totals = [total + n for total, n in zip(totals, numbers, strict=True)]
        output = "-" if isinstance(layer, CostLayer) else str(layer.shape)
        inputs = ",".join(i.name for i in layer.inputs)
        rows.append((layer.name, layer.type_name, inputs, output, *(f"{n:,}" for n in numbers)))
    rows.append(("total", "", "", "", *(f"{n:,}" for n in totals)))
    note = "(mult-adds of the forward pass and bytes of the output: per image, float32)"
    return f"{columns(rows, texts=4)}\n{note}"


def columns(rows: Sequence[Sequence[str]], texts: int) -> str:
    """Lines whose cells stand below each other: those of the first `texts` columns to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def option_table(options: Options) -> str:
    """All options with their values, by description, as cuda-convnet listed them."""
    lines = []
    for name, f in sorted(FIELDS.items(), key=lambda item: item[1].metadata["help"]):
        value = getattr(options, name)
        default = f.default_factory() if callable(f.default_factory) else f.default
        if isinstance(value, bool):
            shown = str(int(value))
        elif f.metadata["parse"] is parse_range:
            shown = number_ranges(value)
        elif isinstance(value, list):
            shown = ",".join(map(str, value))
        else:
            shown = str(value)
        mark = " [DEFAULT]" if value == default else ""
        lines.append(f"{option_name(name):<17} {f.metadata['help']}: {shown}{mark}")
    return "\n".join(lines)


def weight_statistics(state: Mapping[str, np.ndarray], graph: Graph) -> Iterable[str]:
    """Per matrix: mean |W|, mean |increment| and, for weights, their ratio."""
    for layer in graph.values():
        for parameter in layer.own_parameters:
            size = float(np.abs(state[parameter.name]).mean(dtype=np.float64))
            step = float(np.abs(state[f"{parameter.name}.inc"]).mean(dtype=np.float64))
            _, _, index = parameter.name.rpartition(".weights.")
            if parameter.name.endswith(".biases"):
                yield f"Layer '{layer.name}' biases: {size:e} [{step:e}]"
            else:
                ratio = step / size if size else 0.0
                yield f"Layer '{layer.name}' weights[{index}]: {size:e} [{step:e}] [{ratio:e}]"


def print_test(
    costs: str,
    *,
    averages: str = "",
    verification: str = "",
    weights: Iterable[str] = (),
    saved: str = "",
    seconds: float | None = None,
) -> None:
    """Prints the result of a test, in the form of cuda-convnet2.

    Args:
        seconds: for the batch that was trained before, this test and saving.
    """
    text()
    text(f"{'=' * 22}Test output{'=' * 22}")
    text(costs)
    if averages:
        text()
        text(f"{'-' * 22}Averages{'-' * 25}")
        text(averages)
    if verification:
        text()
        text(f"Verification: {verification}")
    text("-" * 55)
    for line in weights:
        text(line)
    if saved:
        text("-" * 55)
        text(f"Saved checkpoint to {saved}")
    text("=" * 55 + ("" if seconds is None else f" ({seconds:.3f} sec)"))


class Log:
    """A file of JSON lines beside the checkpoints.

    Every line has "event" and "time" (seconds since 1970).
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, event: str, **values: Any) -> None:
        """Appends a line.

        Raises:
            ConvnetError: the file cannot be written.
        """
        line = json.dumps({"event": event, "time": round(time.time(), 3), **values})
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise ConvnetError(f"{self._path}: cannot write the log: {error.strerror}") from None


class ProgressBar:
    """Batches done and time to go, shown on a terminal only; `text` goes above it."""

    def __init__(self, total: int, done: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("batches, to go"),
            TimeRemainingColumn(),
            console=CONSOLE,
            disable=not sys.stdout.isatty(),  # whatever the environment says of colours
        )
        self._task = self._progress.add_task("training", total=total, completed=done)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def advance(self) -> None:
        self._progress.advance(self._task)
