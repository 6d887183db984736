"""What a data set of faces consists of."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convnet import report
from data_providers.face_packs import read_header
from data_providers.face_sources import open_faces


def describe(path: Path) -> str:
    """How many people, pictures, and pictures of a person a folder or a pack holds.

    Of a pack also what its header says; all its checksums are looked at.

    Raises: DataError if there is no picture, or a pack is damaged.
    """
    found = open_faces(path, thorough=True)
    counts = np.bincount(found.labels, minlength=len(found.label_names))
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
    if not path.is_dir() and (header := read_header(path)):
        size = "x".join(map(str, header.size)) if header.size else "differ"
        rows += [
            ("size", size),
            ("alignment", header.alignment or "not known"),
            ("made", ", ".join(f"{key}={value}" for key, value in header.made.items())),
            ("checksums", "right"),
        ]
    return report.columns(rows, texts=2)
