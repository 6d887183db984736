"""What a data set of faces consists of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from convnet import report
from convnet.faces.align import SETTINGS, Settings
from convnet.faces.landmarks import FILE, Result, read_rows
from convnet.faces.people import find_people
from data_providers.errors import DataError
from data_providers.pictures import FORMATS

#: The most common kinds are told.
KINDS = 3

Row = tuple[str, str]


def tree_info(root: Path) -> str:
    """What a folder PERSON/picture.* holds: people, pictures, their sizes and formats, and how they
    were aligned.

    Raises: DataError if there is no picture.
    """
    people = find_people(root)
    nobody = [name for name, files in people.items() if not files]
    names = [name for name, files in people.items() if files]
    counts = np.array([len(people[name]) for name in names])
    least, most = int(counts.argmin()), int(counts.argmax())
    rows = [
        ("people", f"{counts.size:,}"),
        ("pictures", f"{counts.sum():,}"),
        ("of a person", f"{np.median(counts):g} (median)"),
        ("  fewest", f"{counts[least]} ({names[least]})"),
        ("  most", f"{counts[most]} ({names[most]})"),
    ]
    rows += [
        (
            f"  {n} or more",
            f"{(counts >= n).sum():,} people, {counts[counts >= n].sum():,} pictures",
        )
        for n in (2, 5, 10, 20)
    ]
    if nobody:
        rows.append(("  none", _few(nobody)))
    files = [file for name in names for file in people[name]]
    rows += [*_kinds(files), *_alignment(root)]
    return report.columns(rows, texts=2)


def _kinds(files: Sequence[Path]) -> Iterator[Row]:
    """Sizes and formats, from the heads of the files."""
    sizes: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    broken = []
    for file in files:
        try:
            with Image.open(file, formats=FORMATS) as picture:
                sizes["x".join(map(str, picture.size))] += 1
                formats[f"{picture.format} {picture.mode}"] += 1
        except Exception:  # decoders raise nearly anything for a damaged file
            broken.append(f"{file.parent.name}/{file.name}")
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
    told = (f"{results[result]:,} {result}" for result in Result if results[result])
    yield "photographs", ", ".join(told)


def _few(names: Sequence[str]) -> str:
    """How many, and the first of them."""
    more = ", ..." if len(names) > 5 else ""
    return f"{len(names):,} ({', '.join(names[:5])}{more})"
