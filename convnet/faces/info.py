"""What a data set of faces consists of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convnet import report
from convnet.faces.align import SETTINGS, Settings
from convnet.faces.landmarks import FILE, Result, read_rows
from data_providers.errors import DataError
from data_providers.face_packs import read_header
from data_providers.face_sets import FaceSet, tree_faces, without_pictures
from data_providers.face_sources import open_faces
from data_providers.pictures import FORMATS

#: So many kinds are told, the most common ones.
KINDS = 3

Row = tuple[str, str]


def describe(path: Path) -> str:
    """How many people, pictures, and pictures of a person a folder or a pack holds.

    Of a pack also what its header says; all its checksums are looked at. Of a folder also what kind
    of pictures these are, and how their faces were aligned.

    Raises: DataError if there is no picture, or a pack is damaged.
    """
    found = tree_faces(path) if path.is_dir() else open_faces(path, thorough=True)
    counts = np.bincount(found.labels, minlength=len(found.label_names))
    least, most = int(counts.argmin()), int(counts.argmax())
    rows = [
        ("people", f"{counts.size:,}"),
        ("pictures", f"{counts.sum():,}"),
        ("of a person", f"{np.median(counts):g} (median)"),
        ("  fewest", f"{counts[least]} ({found.label_names[least]})"),
        ("  most", f"{counts[most]} ({found.label_names[most]})"),
    ]
    rows += [
        (
            f"  {n} or more",
            f"{(counts >= n).sum():,} people, {counts[counts >= n].sum():,} pictures",
        )
        for n in (2, 5, 10, 20)
    ]
    if path.is_dir():
        if nobody := without_pictures(path, found.label_names):
            rows.append(("  none", _few(nobody)))
        rows += [*_kinds(found), *_alignment(path)]
    elif header := read_header(path):
        size = "x".join(map(str, header.size)) if header.size else "differ"
        rows += [
            ("size", size),
            ("alignment", header.alignment or "not known"),
            ("made", ", ".join(f"{key}={value}" for key, value in header.made.items())),
            ("checksums", "right"),
        ]
    return report.columns(rows, texts=2)


def _kinds(found: FaceSet) -> Iterator[Row]:
    """Sizes and formats, which the heads of the files tell."""
    sizes: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    broken = []
    for number, name in enumerate(found.names):
        try:
            with Image.open(BytesIO(found.content(number)), formats=FORMATS) as picture:
                sizes["x".join(map(str, picture.size))] += 1
                formats[f"{picture.format} {picture.mode}"] += 1
        except Exception:  # decoders raise nearly anything for a damaged file
            broken.append(name)
    for name, kinds in (("sizes", sizes), ("formats", formats)):
        told = [f"{kind} ({count:,})" for kind, count in kinds.most_common(KINDS)]
        if len(kinds) > KINDS:
            told.append(f"and {len(kinds) - KINDS:,} others")
        yield name, ", ".join(told)
    if broken:
        yield "unreadable", _few(broken)


def _alignment(root: Path) -> Iterator[Row]:
    """How the faces were aligned, and what became of the photographs."""
    path = root / SETTINGS
    if not path.exists():
        return
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
        settings = Settings(**values)
        size = "x".join(map(str, settings.size))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: not what faces align writes: {error}") from error
    yield "aligned", f"{settings.crop}, {size}, landmarks: {settings.landmarks}"
    results = Counter(row.result for row in read_rows(root / FILE))
    told = [f"{results[result]:,} {result}" for result in Result if results[result]]
    if told:
        yield "photographs", ", ".join(told)


def _few(names: Sequence[str]) -> str:
    """How many, and the first of them."""
    more = ", ..." if len(names) > 5 else ""
    return f"{len(names):,} ({', '.join(names[:5])}{more})"
