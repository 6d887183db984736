"""The table of what was found in each picture: landmarks.csv.

A line for each picture, with the columns

    picture    PERSON/NAME.jpg, from the folder of the pictures on
    bytes      size of the file, by which a changed picture is noticed
    result     see Result
    faces      how many were found
    landmarks  x and y of 5 or 68 points with spaces between, in pixels
    note       why a picture is unreadable

Tables from elsewhere need only `picture` and `landmarks`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_providers.errors import DataError

Floats = NDArray[np.floating[Any]]

FILE = "landmarks.csv"


class Result(StrEnum):
    """What became of a picture."""

    ALIGNED = "aligned"
    NO_FACE = "no face"
    SEVERAL_FACES = "several faces"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Row:
    """A line of the table; `landmarks` is empty or "x0 y0 x1 y1 ...".

    The last column is always written: a line that was cut off while it was written lacks it.
    """

    picture: str
    bytes: int
    result: str
    faces: int = 0
    landmarks: str = ""
    note: str = "-"

    def line(self) -> str:
        return _line(vars(self).values())


COLUMNS = tuple(Row.__dataclass_fields__)


def as_text(landmarks: Floats) -> str:
    """(points, 2) as in the table."""
    return " ".join(f"{number:.2f}" for number in landmarks.ravel())


def table(rows: Iterable[Row]) -> bytes:
    """The whole file."""
    text = _line(COLUMNS) + "".join(row.line() for row in rows)
    return text.encode(errors="surrogateescape")  # names of files can be any bytes


def read_rows(path: Path) -> list[Row]:
    """The whole lines of a table that `table` wrote; none if there is no file.

    Raises: DataError if it is another file, or cannot be read.
    """
    if not path.exists():
        return []
    rows = []
    for number, values in _read(path, COLUMNS):
        if None in values.values():
            continue  # cut off
        picture, size, result, faces, landmarks, note = map(str, values.values())
        try:
            rows.append(Row(picture, int(size), result, int(faces), landmarks, note))
        except ValueError as error:
            raise DataError(f"{path}:{number}: {error}") from error
    return rows


def read_landmarks(path: Path) -> dict[str, Floats]:
    """Landmarks (5 or 68, 2) by picture, of a table from anywhere.

    Raises: DataError naming the line that is wrong.
    """
    found = {}
    for number, values in _read(path, ("picture", "landmarks")):
        text = values["landmarks"]
        if not text:
            continue
        try:
            points = np.array([float(word) for word in text.split()]).reshape(-1, 2)
        except ValueError as error:
            raise DataError(f"{path}:{number}: landmarks: {error}") from error
        if len(points) not in (5, 68) or not np.isfinite(points).all():
            raise DataError(
                f"{path}:{number}: expected 5 or 68 landmarks as x y x y ..., found {len(points)}"
                f" in '{text[:60]}'"
            )
        found[str(values["picture"])] = points
    return found


def _read(path: Path, columns: Iterable[str]) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Number and columns of each line; those that a line is too short for are None."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        lines = csv.DictReader(io.StringIO(text, newline=""))
        missing = [name for name in columns if name not in (lines.fieldnames or ())]
        if missing:
            raise DataError(
                f"{path}: expected a table (CSV) with the columns {', '.join(columns)}; found no "
                f"{', '.join(missing)}"
            )
        for line in lines:
            yield lines.line_num, {name: line[name] for name in columns}
    except OSError as error:
        raise DataError(f"{path}: cannot read it: {error.strerror}") from error
    except csv.Error as error:
        raise DataError(f"{path}: not a table (CSV): {error}") from error


def _line(values: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
