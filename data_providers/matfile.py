"""Reads a table from a MATLAB file of version 5: an array of structs of numbers and texts.

The file is a header of 128 bytes and data elements. An element is a tag (type, number of bytes;
both 32 bits) and its content, padded to a multiple of 8 bytes. One of at most 4 bytes has its
number of bytes in the upper half of the type, and its content in the place of the number. An array
is an element made of elements: flags (the class in the lowest byte), dimensions, name, content.
(The format is described in MathWorks' "MAT-File Format".)
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = 128
MAX_UNPACKED = 2**28
# Types of elements.
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
NUMBERS |= {13: "u8", 16: "u1", 17: "u2"}  # 16, 17: text as UTF-8, UTF-16
MATRIX, COMPRESSED = 14, 15
# Classes of arrays.
STRUCT, CHARACTERS, NUMERIC = 2, 4, range(6, 16)

Table = list[dict[str, Any]]


def read_table(content: bytes, name: str) -> Table:
    """The rows of the struct array `name`: texts as str, numbers as arrays, the rest as None.

    Raises: ValueError for anything else than such a file with such an array.
    """
    if len(content) < HEADER or content[124:128] != b"\x00\x01IM":
        raise ValueError("not a MATLAB file of version 5, little-endian")
    try:
        for kind, data in _elements(content[HEADER:]):
            if kind == COMPRESSED:
                (_, data), *_ = _elements(zlib.decompressobj().decompress(data, MAX_UNPACKED))
            found, value = _array(data)
            if found == name and isinstance(value, list):
                return value
    except (struct.error, zlib.error, KeyError, IndexError, RecursionError) as error:
        raise ValueError(f"damaged: {error}") from error
    raise ValueError(f"no table {name!r} in it")


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and content of each element in `data`."""
    place = 0
    while place < len(data):
        kind, size = struct.unpack_from("<II", data, place)
        start = place + 8
        if kind >> 16:
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
        if start + size > len(data):
            raise ValueError(f"damaged: {len(data) - start} bytes where {size} are expected")
        yield kind, data[start : start + size]
        # What is compressed is not padded.
        place = start + size if kind == COMPRESSED else -(-(start + size) // 8) * 8


def _array(data: bytes) -> tuple[str, Any]:
    """The name and value of an array."""
    flags, dimensions, name, *parts = _elements(data)
    array_class = flags[1][0]
    value: Any = None
    if array_class == STRUCT:
        value = _rows(math.prod(_numbers(*dimensions).tolist()), parts)
    elif array_class == CHARACTERS:
        kind, text = parts[0]
        value = text.decode("utf-16-le" if NUMBERS[kind] == "u2" else "utf-8")
    elif array_class in NUMERIC:
        value = _numbers(*parts[0])
    return name[1].decode("ascii"), value


def _rows(count: int, parts: list[tuple[int, bytes]]) -> Table:
    """The structs of an array: the length of a field's name, the names, then the fields."""
    width, names, *values = parts
    length = int(_numbers(*width)[0])
    starts = range(0, len(names[1]), length)
    fields = [names[1][i : i + length].rstrip(b"\0").decode("ascii") for i in starts]
    if len(values) != count * len(fields):
        raise ValueError(
            f"damaged: {len(values)} fields where {count} x {len(fields)} are expected"
        )
    cells = iter(values)
    return [{field: _cell(*next(cells)) for field in fields} for _ in range(count)]


def _cell(kind: int, data: bytes) -> Any:
    return _array(data)[1] if kind == MATRIX and data else None


def _numbers(kind: int, data: bytes) -> NDArray[Any]:
    dtype = np.dtype(f"<{NUMBERS[kind]}")
    if len(data) % dtype.itemsize:
        raise ValueError(f"damaged: {len(data)} bytes of numbers of {dtype.itemsize}")
    return np.frombuffer(data, dtype)
