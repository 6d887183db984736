"""What a data set of faces consists of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convnet import report
from data_providers.pictures import find_pictures


def tree_info(root: Path) -> str:
    """How many people, pictures, and pictures of a person a folder PERSON/picture.* holds.

    Raises: DataError if there is no picture.
    """
    found = find_pictures(root)
    counts = np.bincount(found.labels)
    least, most = int(counts.argmin()), int(counts.argmax())
    rows = [
        ("people", f"{counts.size}"),
        ("pictures", f"{counts.sum()}"),
        ("of a person", f"{np.median(counts):g} (median)"),
        ("  fewest", f"{counts[least]} ({found.label_names[least]})"),
        ("  most", f"{counts[most]} ({found.label_names[most]})"),
    ]
    rows += [
        (f"  {n} or more", f"{(counts >= n).sum()} people, {counts[counts >= n].sum()} pictures")
        for n in (2, 5, 10, 20)
    ]
    return report.columns(rows, texts=2)
