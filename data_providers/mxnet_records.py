"""Faces in the files of MXNet: NAME.rec with NAME.idx, as ArcFace's data sets come.

NAME.idx   a line for each record: its key, a tab, the byte of NAME.rec where it begins
NAME.rec   a record is one or more parts, each padded to a multiple of 4 bytes: uint32 MAGIC;
           uint32, the length in the lower 29 bits and above them 0 for a whole record, or 1, 2, 3
           for the first, a middle and the last part of one that held MAGIC where it is parted;
           the content
content    uint32 n, float32 label, uint64 and uint64; if n > 0 then n float32 labels, of which the
           first counts; then the picture, which records that only tell of others lack
property   beside them, if there: classes,height,width
All numbers are little-endian. Source: the formats of dmlc-core's RecordIO and of mxnet.recordio.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from data_providers.errors import DataError
from data_providers.face_sets import MAX_LABEL, FaceSet, numbered_people

MAGIC = 0xCED7230A
LENGTH_BITS = 29
WHOLE, LAST = 0, 3
HEADER = struct.Struct("<IfQQ")


def record_faces(path: Path) -> FaceSet:
    """The pictures of NAME.rec; people are called by their labels.

    Raises: DataError if a file cannot be read, is damaged, or a label is beyond the classes of
        the file `property`.
    """
    index = path.with_suffix(".idx")
    offsets, keys, labels = [], [], []
    try:
        with path.open("rb") as file:
            for key, offset in _parse_index(index):
                label = _label(file, offset, f"{path}: record {key} at byte {offset}")
                if label is not None:
                    offsets.append(offset)
                    keys.append(key)
                    labels.append(label)
    except OSError as error:
        raise DataError(f"{error.filename}: cannot read it: {error.strerror}") from error
    if not labels:
        raise DataError(f"{path}: expected records with pictures, found none")
    classes = _classes(path.with_name("property"))
    worst = int(np.argmax(labels))
    if classes is not None and labels[worst] >= classes:
        raise DataError(
            f"{path}: record {keys[worst]} at byte {offsets[worst]}: label {labels[worst]} is"
            f" outside 0..{classes - 1}, the classes of the file property"
        )

    def content(number: int) -> bytes:
        where = f"{path}: record {keys[number]} at byte {offsets[number]}"
        try:
            with path.open("rb") as file:
                record = _record(file, offsets[number], where)
        except OSError as error:
            raise DataError(f"{path}: cannot read it: {error.strerror}") from error
        count, *_ = HEADER.unpack_from(record)
        return record[HEADER.size + 4 * count :]

    numbers, people = numbered_people(labels)
    names = [f"{people[n]}/{key:08}.jpg" for n, key in zip(numbers, keys, strict=True)]
    return FaceSet(str(path), names, numbers, people, content)


def _parse_index(path: Path) -> Iterator[tuple[int, int]]:
    """The keys and where their records begin.  Raises: DataError naming the wrong line; OSError."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            words = line.split()
            if len(words) != 2 or not all(word.isdecimal() and len(word) < 19 for word in words):
                raise DataError(
                    f"{path}: line {number}: expected a key and where its record begins, with a tab"
                    f" between, found '{line.strip()[:80]}'"
                )
            yield int(words[0]), int(words[1])


def _classes(path: Path) -> int | None:
    """The number of classes that a file `property` tells, if there is one."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
    numbers = text.split(",")
    if len(numbers) != 3 or not all(n.strip().isdecimal() for n in numbers):
        raise DataError(f"{path}: expected classes,height,width, found '{text[:80]}'")
    return int(numbers[0])


def _part(file: BinaryIO, where: str) -> tuple[int, int]:
    """What kind of part begins here, and its length."""
    head = file.read(8)
    magic, word = struct.unpack("<II", head) if len(head) == 8 else (0, 0)
    if magic != MAGIC:
        raise DataError(f"{where}: no record begins here; is the .idx that of this .rec?")
    return word >> LENGTH_BITS, word & (1 << LENGTH_BITS) - 1


def _record(file: BinaryIO, offset: int, where: str) -> bytes:
    """The content of a record."""
    file.seek(offset)
    parts = []
    kind = None
    while kind not in (WHOLE, LAST):
        kind, length = _part(file, where)
        part = file.read(length)
        if len(part) < length:
            raise DataError(f"{where}: the file ends in the middle of it")
        parts.append(part)
        file.seek(-length % 4, 1)
    return struct.pack("<I", MAGIC).join(parts)


def _label(file: BinaryIO, offset: int, where: str) -> int | None:
    """The label of a record, or None if it has no picture."""
    file.seek(offset)
    kind, length = _part(file, where)
    content = file.read(HEADER.size + 4) if kind == WHOLE else _record(file, offset, where)
    length = length if kind == WHOLE else len(content)
    if length < HEADER.size or len(content) < HEADER.size:
        raise DataError(f"{where}: expected a label and a picture, found {length} bytes")
    count, label, _, _ = HEADER.unpack_from(content)
    if length <= HEADER.size + 4 * count:
        return None
    if count:
        (label,) = struct.unpack_from("<f", content, HEADER.size)
    if not (0 <= label < MAX_LABEL and label == int(label)):
        raise DataError(f"{where}: expected a label from 0, a whole number; found {label:g}")
    return int(label)
