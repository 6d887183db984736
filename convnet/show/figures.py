"""What all pictures share: the run that is looked at, and a figure that becomes a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from convnet.api import restore
from convnet.checkpoint import Checkpoint, load_checkpoint, write_atomically
from convnet.errors import ConvnetError
from convnet.net import Net

FORMATS = (".png", ".svg", ".pdf")


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
    path = Path(text)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"expected a name that ends in {', '.join(FORMATS)}; found '{text}'")
    return path


@contextmanager
def picture(out: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure to draw into, in inches; it is written when the block ends.

    The same figure gives the same bytes, and names are never taken for formulas.

    Raises:
        ConvnetError: the file cannot be written.
    """
    with matplotlib.rc_context({"svg.hashsalt": "convnet", "text.parse_math": False}):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        content = BytesIO()
        figure.savefig(content, format=out.suffix[1:].lower(), dpi=120)
    try:
        write_atomically(out, content.getvalue())
    except OSError as error:
        raise ConvnetError(f"{out}: cannot write the picture: {error.strerror}") from None
