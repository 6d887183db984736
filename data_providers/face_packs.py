"""Packs of faces: many pictures in one file.

NAME.bin   the pictures as they were, JPEG or another format, one after the other
NAME.idx   a line for each, with tabs between: its path, its label, where it starts, where it ends
           (the byte after its last)
NAME.json  what the pack is, with the checksums of both; a pack without it is read too
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_providers.errors import DataError
from data_providers.face_sets import FaceSet
from data_providers.jpegs import encode_square
from data_providers.picture_sets import Slice
from data_providers.pictures import read_picture

VERSION = 1
DAMAGED = "the pack is damaged, make it again"


@dataclass(frozen=True)
class Header:
    """The content of NAME.json.

    pictures, classes: their numbers
    class_names:       of the people, in the order of their labels
    size:              [height, width] of all pictures, or None if they differ
    colours:           the order of the colours of a pixel once it is decoded
    alignment:         how the faces were brought to their places, for people
    sha256:            of the files, by suffix: bin, idx
    made:              the arguments with which it was made
    """

    pictures: int
    classes: int
    class_names: list[str]
    size: list[int] | None
    colours: str
    alignment: str
    sha256: dict[str, str]
    made: dict[str, Any]
    version: int = VERSION


def pack_files(path: Path) -> dict[str, Path]:
    """The files of a pack by suffix; `path` is NAME, or one of them."""
    stem = path.with_suffix("") if path.suffix in (".bin", ".idx", ".json") else path
    return {suffix: stem.with_name(f"{stem.name}.{suffix}") for suffix in ("bin", "idx", "json")}


def read_header(path: Path) -> Header | None:
    """What NAME.json says, if there is one.

    Raises: DataError if it cannot be read, or says anything impossible.
    """
    file = pack_files(path)["json"]
    try:
        header = Header(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{file}: cannot read it: {error.strerror}") from error
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise DataError(f"{file}: {DAMAGED}: {error}") from error
    if header.version != VERSION:
        raise DataError(f"{file}: expected format version {VERSION}, found {header.version}")
    names = header.class_names
    kinds = {
        "class_names": list,
        "size": list | None,
        "alignment": str,
        "sha256": dict,
        "made": dict,
    }
    wrong = [key for key, kind in kinds.items() if not isinstance(getattr(header, key), kind)]
    if wrong or not all(isinstance(name, str) for name in names):
        raise DataError(f"{file}: {DAMAGED}: {(wrong or ['class_names'])[0]} is of another kind")
    if not len({*names}) == len(names) == header.classes:
        raise DataError(f"{file}: {DAMAGED}: expected {header.classes} different class_names")
    return header


def pack_faces(path: Path, *, thorough: bool = False) -> FaceSet:
    """The pictures of a pack.

    Without NAME.json the people are called by their labels.

    Args:
        path: NAME, or one of its files.
        thorough: check the pictures' checksum too, which reads them all.
    Raises: DataError if a file cannot be read, or they do not fit each other.
    """
    files, header = pack_files(path), read_header(path)
    index = _read(files["idx"])
    if header:
        _check_sum(files["idx"], hashlib.sha256(index), header)
    names, labels, ends = _parse_index(files["idx"], index)
    try:
        size = files["bin"].stat().st_size
    except OSError as error:
        raise DataError(f"{files['bin']}: cannot read it: {error.strerror}") from error
    if size != ends[-1]:
        raise DataError(
            f"{files['bin']}: {DAMAGED}: expected {ends[-1]} bytes as in {files['idx'].name}, found"
            f" {size}"
        )
    classes = tuple(header.class_names if header else map(str, range(int(labels.max()) + 1)))
    if labels.max() >= len(classes):
        line = int(labels.argmax()) + 1
        raise DataError(
            f"{files['idx']}: line {line}: label {labels.max()} is outside 0..{len(classes) - 1},"
            f" the classes of {files['json'].name}"
        )
    if header and thorough:
        with files["bin"].open("rb") as file:
            _check_sum(files["bin"], hashlib.file_digest(file, "sha256"), header)
    starts = np.concatenate([[0], ends[:-1]])

    def content(number: int) -> bytes:
        start, end = int(starts[number]), int(ends[number])
        return Slice(files["bin"], names[number], start, end - start).read()

    return FaceSet(str(files["bin"]), names, labels, classes, content)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read it: {error.strerror}") from error


def _check_sum(path: Path, found: Any, header: Header) -> None:
    if found.hexdigest() != header.sha256.get(path.suffix[1:]):
        raise DataError(
            f"{path}: {DAMAGED}: its checksum is not the one in {path.with_suffix('.json').name}"
        )


def _parse_index(
    path: Path, content: bytes
) -> tuple[list[str], NDArray[np.int32], NDArray[np.int64]]:
    """The paths, the labels and where the pictures end.

    Raises: DataError naming the line that is wrong.
    """
    names, labels, ends = [], [], [0]
    lines = content.decode("utf-8", "replace").removesuffix("\n").split("\n")
    for number, line in enumerate(lines if content else [], start=1):
        name, *numbers = line.rstrip("\r").rsplit("\t", 3)
        # int() takes more than digits, and 18 of them fit into 64 bits.
        if len(numbers) != 3 or not all(n.isdecimal() and len(n) < 19 for n in numbers):
            raise DataError(
                f"{path}: line {number}: expected a path, a label, a start and an end with tabs"
                f" between, found '{line[:80]}'"
            )
        label, start, end = map(int, numbers)
        if start != ends[-1] or end <= start or label >= 2**31:
            raise DataError(
                f"{path}: line {number}: expected a label, the start {ends[-1]}, where the picture"
                f" before ends, and a later end; found {label}, {start}, {end}"
            )
        names.append(name)
        labels.append(label)
        ends.append(end)
    if not names:
        raise DataError(f"{path}: expected a line for each picture, found none")
    return names, np.array(labels, np.int32), np.array(ends[1:], np.int64)


def write_pack(
    path: Path,
    faces: FaceSet,
    *,
    size: int = 0,
    alignment: str = "",
    made: Mapping[str, Any],
) -> Header:
    """Writes NAME.bin, NAME.idx and NAME.json; they appear when all is complete.

    Args:
        path: NAME.
        size: side of the squares to which pictures are scaled and cut; 0 = all bytes stay.
    Raises: DataError if one of the files exists, or a picture cannot be read or has a name that
        cannot be listed; OSError where they cannot be written.
    """
    files = pack_files(path)
    for file in files.values():
        if file.exists():
            raise DataError(f"{file}: exists already; remove it, or name another pack")
    shapes, end = set(), 0
    digests = {suffix: hashlib.sha256() for suffix in ("bin", "idx")}
    with _unfinished(files) as new, new["bin"].open("wb") as pictures, new["idx"].open("wb") as idx:
        for number, (name, label) in enumerate(zip(faces.names, faces.labels, strict=True)):
            if {*name} & {*"\t\n\r"}:
                raise DataError(f"{faces.where}: {name!r}: expected a name without tabs and lines")
            content, shape = _packed(faces.content(number), f"{faces.where}: {name}", size)
            start, end = end, end + len(content)
            shapes.add(shape)
            line = f"{name}\t{label}\t{start}\t{end}\n".encode("utf-8", "replace")
            for suffix, output, part in (("bin", pictures, content), ("idx", idx, line)):
                digests[suffix].update(part)
                output.write(part)
        header = Header(
            pictures=len(faces.names),
            classes=len(faces.label_names),
            class_names=list(faces.label_names),
            size=list(shapes.pop()) if len(shapes) == 1 else None,
            colours="RGB",
            alignment=alignment,
            sha256={suffix: digest.hexdigest() for suffix, digest in digests.items()},
            made=dict(made),
        )
        new["json"].write_text(json.dumps(asdict(header), indent=1) + "\n", encoding="utf-8")
    return header


def _packed(content: bytes, name: str, size: int) -> tuple[bytes, tuple[int, int]]:
    """A picture as it is packed, and its height and width.  Raises: DataError if it is damaged."""
    if size:
        return encode_square(content, name, size)[0], (size, size)
    width, height = read_picture(io.BytesIO(content), name).size
    return content, (height, width)


@contextlib.contextmanager
def _unfinished(files: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Names beside those of files, which what is written there gets if there is no error."""
    new = {s: file.with_name(f".{file.name}.{os.getpid()}") for s, file in files.items()}
    files["bin"].parent.mkdir(parents=True, exist_ok=True)
    try:
        yield new
        for suffix, file in new.items():
            os.replace(file, files[suffix])
    finally:
        for file in new.values():
            file.unlink(missing_ok=True)
