"""Pictures of people, whatever they are stored in, and what is known of them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_providers.errors import DataError
from data_providers.pictures import find_pictures

UNKNOWN = -1
# Labels travel as float32, which counts so far without gaps.
MAX_LABEL = 2**24


@dataclass(frozen=True)
class FaceSet:
    """Encoded pictures of people.

    where:       names the set in errors
    names:       PERSON/NAME.jpg of each picture
    labels:      int32 (pictures,), who it is: an index into label_names
    label_names: the people
    content:     gives the bytes of the picture with a number; raises DataError
    """

    where: str
    names: Sequence[str]
    labels: NDArray[np.int32]
    label_names: tuple[str, ...]
    content: Callable[[int], bytes]

    def numbered_as(self, label_names: tuple[str, ...]) -> FaceSet:
        """The same pictures, with the people numbered as in another set, new ones after them."""
        numbers = {name: number for number, name in enumerate(label_names)}
        for name in self.label_names:
            numbers.setdefault(name, len(numbers))
        renumbered = np.array([numbers[name] for name in self.label_names], np.int32)
        return replace(self, labels=renumbered[self.labels], label_names=tuple(numbers))


def numbered_people(labels: ArrayLike) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Numbers from 0 without gaps, (pictures,), and names, for people who have only labels."""
    found, numbers = np.unique(np.asarray(labels), return_inverse=True)
    return numbers.astype(np.int32), tuple(f"{label:07}" for label in found)


def tree_faces(root: Path) -> FaceSet:
    """The pictures PERSON/picture.* below a folder.

    Raises: DataError if there is none.
    """
    found = find_pictures(root)
    files = found.files

    def content(index: int) -> bytes:
        try:
            return files[index].read_bytes()
        except OSError as error:
            raise DataError(f"{files[index]}: cannot read it: {error.strerror}") from error

    names = [file.relative_to(root).as_posix() for file in files]
    return FaceSet(str(root), names, found.labels, found.label_names, content)


def without_pictures(root: Path, people: Collection[str]) -> list[str]:
    """Folders below `root` that are none of the `people`, in the order of names."""
    folders = {entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] != "."}
    return sorted(folders - {*people})


def joined(sets: Sequence[FaceSet], prefixes: Sequence[str]) -> FaceSet:
    """Several sets as one; people of the same name are one person.

    Args: prefixes: put before the names of people of each set, which keeps them apart.
    """
    people: dict[str, int] = {}
    names: list[str] = []
    labels = []
    for faces, prefix in zip(sets, prefixes, strict=True):
        own = [people.setdefault(prefix + name, len(people)) for name in faces.label_names]
        labels.append(np.array(own, np.int32)[faces.labels])
        names += [prefix + name for name in faces.names]
    ends = np.cumsum([len(faces.names) for faces in sets])

    def content(number: int) -> bytes:
        which = int(np.searchsorted(ends, number, side="right"))
        return sets[which].content(number - int(ends[which]) + len(sets[which].names))

    where = ", ".join(faces.where for faces in sets)
    return FaceSet(where, names, np.concatenate(labels), tuple(people), content)


def read_attributes(file: Path, faces: FaceSet) -> dict[str, NDArray[np.float32]]:
    """What a table such as attributes.csv says of pictures.

    The first line names the columns: `picture`, then any labels. Each other line begins with
    PERSON/NAME.jpg, or with PERSON for all of his pictures that have no line of their own, and
    has a whole number from 0 for each label, or nothing where it is not known.

    Returns: for each label float32 (pictures,), UNKNOWN (-1) where it is not known; empty if there
        is no such file.
    Raises: DataError naming the line that is wrong, or if no line is about one of the pictures.
    """
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8", errors="replace") as lines:
        reader = csv.reader(lines)
        header = next(reader, [])
        if len(header) < 2 or header[0] != "picture" or len({*header}) < len(header):
            raise DataError(
                f"{file}: line 1: expected the columns picture and then labels, such as"
                f" picture,gender,age; found {','.join(header)}"
            )
        rows = {
            row[0]: [_attribute(text, f"{file}: line {reader.line_num}") for text in row[1:]]
            for row in reader
            if _has_length(row, len(header), f"{file}: line {reader.line_num}")
        }
    nothing = [UNKNOWN] * (len(header) - 1)
    people = [faces.label_names[label] for label in faces.labels]
    found = [
        rows.get(name, rows.get(person)) for name, person in zip(faces.names, people, strict=True)
    ]
    if not any(found):
        raise DataError(
            f"{file}: none of its {len(rows)} lines is about a picture of {faces.where}; expected"
            f" names such as {faces.names[0]} or {people[0]}"
        )
    values = np.array([row or nothing for row in found], np.float32)
    return dict(zip(header[1:], np.ascontiguousarray(values.T), strict=True))


def _has_length(row: list[str], length: int, where: str) -> bool:
    """Whether a line says anything.  Raises: DataError if it has another number of columns."""
    if row and len(row) != length:
        raise DataError(f"{where}: expected {length} columns as in line 1, found {len(row)}")
    return bool(row)


def _attribute(text: str, where: str) -> int:
    if not text.strip():
        return UNKNOWN
    if not text.strip().isdecimal() or int(text) > MAX_LABEL:
        raise DataError(f"{where}: expected whole numbers from 0, or nothing; found '{text}'")
    return int(text)
