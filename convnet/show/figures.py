"""What all pictures share: the run that is looked at, and a figure that becomes a file."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from convnet.api import restore
from convnet.checkpoint import Checkpoint, load_checkpoint, write_atomically
from convnet.errors import ConvnetError
from convnet.net import Net

FORMATS = (".png", ".svg", ".pdf")
# Curves can be written as numbers as well.
CURVE_FORMATS = (*FORMATS, ".csv")


@dataclass(frozen=True)
class Run:
    """A checkpoint and its net, as it was loaded from `path` (a file or a run directory)."""

    path: Path
    checkpoint: Checkpoint
    net: Net


def open_run(path: Path) -> Run:
    """Loads a run to look at it; nothing is computed, so no kernels are compiled.

    Raises:
        CheckpointError: it cannot be read, or its weights do not fit its layers.
    """
    checkpoint = load_checkpoint(path)
    return Run(
        path, checkpoint, restore(checkpoint, batch_size=1, backend="reference", name=str(path))
    )


def default_out(run: Path, name: str) -> Path:
    """Where a picture goes if nobody says: beside the checkpoint.

    Args: name: of the file without .png; layer names in it may hold any characters.
    """
    directory = run if run.is_dir() else run.parent
    return directory / (re.sub(r"[^\w.-]+", "_", name) + ".png")


def picture_path(text: str) -> Path:
    """Raises: ValueError for the name of a file that is no picture."""
    return _path(text, FORMATS)


def curves_path(text: str) -> Path:
    """Raises: ValueError for the name of a file that is no picture, and no CSV."""
    return _path(text, CURVE_FORMATS)


def _path(text: str, formats: Sequence[str]) -> Path:
    path = Path(text)
    if path.suffix.lower() not in formats:
        raise ValueError(f"expected a name that ends in {', '.join(formats)}; found '{text}'")
    return path


@contextmanager
def picture(out: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure to draw into, in inches; it is written when the block ends.

    The same figure gives the same bytes, and names are never taken for formulas. A file .csv gets
    the points of its lines: columns figure, curve, x, y.

    Raises:
        ConvnetError: the file cannot be written.
    """
    with matplotlib.rc_context({"svg.hashsalt": "convnet", "text.parse_math": False}):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        content = BytesIO()
        if out.suffix.lower() == ".csv":
            content.write(_points(figure).encode())
        else:
            figure.savefig(content, format=out.suffix[1:].lower(), dpi=120)
    try:
        write_atomically(out, content.getvalue())
    except OSError as error:
        raise ConvnetError(f"{out}: cannot write the picture: {error.strerror}") from None


def _points(figure: Figure) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["figure", "curve", "x", "y"])
    for axes in figure.axes:
        for line in axes.lines:
            points: list[list[float]] = np.asarray(line.get_xydata()).tolist()
            writer.writerows([axes.get_ylabel(), line.get_label(), *point] for point in points)
    return text.getvalue()
