"""Writes the table of a MATLAB file of version 5, as the ILSVRC devkit's meta.mat has one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np


def element(kind: int, content: bytes, small: bool = False) -> bytes:
    if small and len(content) <= 4:
        return struct.pack("<HH", kind, len(content)) + content.ljust(4, b"\0")
    padded = content + b"\0" * (-len(content) % 8)
    return struct.pack("<II", kind, len(content)) + padded


def matrix(array_class: int, shape: Sequence[int], name: str, content: bytes) -> bytes:
    flags = element(6, struct.pack("<II", array_class, 0))
    dimensions = element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, flags + dimensions + element(1, name.encode(), small=True) + content)


def value(item: str | float | list[float]) -> bytes:
    if isinstance(item, str):
        text = item.encode("utf-16-le")
        return matrix(4, (1, len(item)), "", element(17, text, small=True))
    # MATLAB stores doubles that are small whole numbers in the smallest type that holds them.
    numbers = np.atleast_1d(np.asarray(item, np.float64))
    small = numbers.astype(np.uint16)
    if numbers.size and (small == numbers).all():
        return matrix(6, (1, numbers.size), "", element(4, small.tobytes(), small=True))
    return matrix(6, (1, numbers.size), "", element(9, numbers.tobytes()))


def mat_file(tables: dict[str, list[dict[str, str | float | list[float]]]], packed=True) -> bytes:
    """A file with these arrays of structs, one below the other."""
    out = b"MATLAB 5.0 MAT-file".ljust(124, b" ") + b"\x00\x01IM"
    for name, rows in tables.items():
        fields = list(rows[0])
        names = b"".join(field.encode().ljust(32, b"\0") for field in fields)
        content = element(5, struct.pack("<i", 32), small=True) + element(1, names)
        content += b"".join(value(row[field]) for row in rows for field in fields)
        table = matrix(2, (len(rows), 1), name, content)
        out += struct.pack("<II", 15, len(z := zlib.compress(table))) + z if packed else table
    return out
