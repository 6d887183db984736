"""Writes pickles that the Python 2 of cuda-convnet reads, numpy arrays and objects included.

Python's own writer cannot do that: it writes the names of today's numpy, and objects only of
classes that exist. Protocol 2, strings and numbers as Python 2 wrote them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Class:
    """A class of the reader's, to be written by its name."""

    module: str
    name: str


@dataclass(frozen=True)
class Instance:
    """An object of a class of the reader's, old style."""

    of: Class
    attributes: dict[str, Any]


def write_pickle(content: Any) -> bytes:
    """The pickle of `content`: None, numbers, strings, bytes, lists, tuples, dicts with strings as
    keys, numpy arrays and scalars, Classes and Instances.

    A list, dict, array or Instance in several places is written once and shared by the reader.

    Raises: TypeError for anything else; ValueError for a string or array of 2 GiB or more.
    """
    writer = _Writer()
    writer.write(content)
    return b"".join([b"\x80\x02", *writer.parts, b"."])


class _Writer:
    def __init__(self) -> None:
        self.parts: list[bytes] = []
        # Where the reader remembers an object; the object is kept so that its id stays its own.
        self._memo: dict[int, tuple[int, Any]] = {}

    def write(self, value: Any) -> None:
        put = self.parts.append
        match value:
            case None:
                put(b"N")
            case bool():
                put(b"\x88" if value else b"\x89")
            case int():
                self._int(value)
            case float():
                put(b"G" + struct.pack(">d", value))
            case str() if not value.isascii():
                text = value.encode()
                put(b"X" + struct.pack("<I", len(text)) + text)
            case str():
                self._bytes(value.encode())
            case bytes():
                self._bytes(value)
            case tuple():
                put(b"(")
                for item in value:
                    self.write(item)
                put(b"t")
            case Class():
                put(f"c{value.module}\n{value.name}\n".encode())
            case np.generic():
                self.write(value.item())
            case list() | dict() | np.ndarray() | Instance():
                self._shared(value)
            case _:
                raise TypeError(f"cannot write a {type(value).__name__} for Python 2")

    def _shared(self, value: Any) -> None:
        if id(value) in self._memo:
            self.parts.append(b"j" + struct.pack("<I", self._memo[id(value)][0]))
            return
        match value:
            case np.ndarray():
                self._array(value)
            case list():
                self._remember(value, b"]")
                self.parts.append(b"(")
                for item in value:
                    self.write(item)
                self.parts.append(b"e")
            case dict():
                self._remember(value, b"}")
                self._items(value)
            case Instance():
                self.parts.append(b"(")
                self.write(value.of)
                self._remember(value, b"o")
                self.parts.append(b"}")
                self._items(value.attributes)
                self.parts.append(b"b")

    def _remember(self, value: Any, made: bytes) -> None:
        number = len(self._memo)
        self._memo[id(value)] = number, value
        self.parts.append(made + b"r" + struct.pack("<I", number))

    def _items(self, items: Mapping[str, Any]) -> None:
        self.parts.append(b"(")
        for key, item in items.items():
            self.write(key)
            self.write(item)
        self.parts.append(b"u")

    def _int(self, value: int) -> None:
        if -(2**31) <= value < 2**31:
            self.parts.append(b"J" + struct.pack("<i", value))
            return
        size = value.bit_length() // 8 + 1
        self.parts.append(b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True))

    def _bytes(self, value: bytes) -> None:
        if len(value) >= 2**31:
            raise ValueError("Python 2 reads no pickled string or array of 2 GiB or more")
        if len(value) < 256:
            self.parts.append(b"U" + bytes([len(value)]) + value)
        else:
            self.parts += [b"T" + struct.pack("<i", len(value)), value]

    def _array(self, value: np.ndarray) -> None:
        self.write(Class("numpy.core.multiarray", "_reconstruct"))
        self.write((Class("numpy", "ndarray"), (0,), "b"))
        self._remember(value, b"R")
        self.parts.append(b"(")
        self.write(1)
        self.write(value.shape)
        self.write(Class("numpy", "dtype"))
        self.write((value.dtype.str[1:], 0, 1))
        self.parts.append(b"R")
        order = value.dtype.str[0]
        self.write((3, order, None, None, None, -1, -1, 0))
        self.parts.append(b"b")
        fortran = value.flags.f_contiguous and not value.flags.c_contiguous
        self.write(fortran)
        self._bytes(value.tobytes("F" if fortran else "C"))
        self.parts.append(b"tb")
