"""Faces written as a tree PERSON/picture.*"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from data_providers.errors import DataError
from data_providers.face_sets import FaceSet
from data_providers.formats import new_folder
from data_providers.pictures import SUFFIXES


def write_tree(out: Path, faces: FaceSet, tables: Mapping[str, str] | None = None) -> None:
    """Writes pictures as PERSON/NAME.jpg into a new folder, which appears when all is complete.

    NAME is the last part of a picture's name; a second of that name gets its number before it. One
    without the suffix of a picture gets .jpg.

    Args: tables: further files for the folder, and their text.
    Raises: DataError if `out` holds anything, a person's name cannot be that of a folder, or
        reading fails; OSError where they cannot be written.
    """
    out = out.resolve()  # "." has no name, and a link cannot be replaced by a folder
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is not an empty folder; name another one")
    for person in faces.label_names:
        if not _is_plain(person):
            raise DataError(f"{faces.where}: person {person!r}: expected the name of a folder")
    with new_folder(out) as unfinished:
        for person in faces.label_names:
            (unfinished / person).mkdir()
        for number, (name, label) in enumerate(zip(faces.names, faces.labels, strict=True)):
            file = unfinished / faces.label_names[label] / _file_name(name, number)
            if file.exists():
                file = file.with_name(f"{number:07}-{file.name}")
            file.write_bytes(faces.content(number))
        for table, text in (tables or {}).items():
            (unfinished / table).write_text(text, encoding="utf-8")


def _is_plain(name: str) -> bool:
    """Whether a name is that of a file in its folder, on every system, and not hidden."""
    return bool(name.strip()) and not name.startswith(".") and not {*name} & {*"/\\:\0\n\r\t"}


def _file_name(name: str, number: int) -> str:
    last = PurePosixPath(name.replace("\\", "/")).name
    plain = last if _is_plain(last) else f"{number:07}"
    return plain if PurePosixPath(plain).suffix.lower() in SUFFIXES else f"{plain}.jpg"
