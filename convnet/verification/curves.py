"""ROC curves as files: one row for each threshold."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from convnet.errors import ConvnetError
from convnet.verification.scores import Floats, Roc

COLUMNS = ("threshold", "far", "tar")


def roc_text(curve: Roc) -> str:
    """The curve as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(zip(curve.thresholds, curve.far, curve.tar, strict=True))
    return out.getvalue()


def read_roc(path: Path) -> tuple[Floats, Floats]:
    """far and tar of a file of roc_text.

    Raises:
        ConvnetError: it is none.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        if not rows or tuple(rows[0]) != COLUMNS:
            raise ValueError
        _, far, tar = np.array(rows[1:], np.float64).reshape(-1, len(COLUMNS)).T
    except (OSError, ValueError):
        raise ConvnetError(
            f"{path}: expected a ROC curve as `faces verify --out` writes it, with the columns "
            f"{', '.join(COLUMNS)}"
        ) from None
    return far, tar
