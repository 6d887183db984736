"""Reads pickles of numbers, strings, numpy arrays and plain containers, and nothing else.

Nothing in a file is imported, called or evaluated: `Machine` builds plain data, and the few names
that a pickled array needs are answered here by functions that check everything. A pickle can be
packed with gzip, or be the entry `data` of a zip file, as the original could write it.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from data_providers.errors import DataError
from data_providers.pickle_machine import Machine, RefusedError, Unbuilt, checked_key, str_of

MAX_UNPACKED = 2**32
"""A small file could unpack to more than any machine holds."""

MAX_MESSAGE = 200
"""Characters of a reason that come from the file."""


def load_pickle(path: Path) -> Any:
    """The content of the pickle file `path`.

    Raises: DataError if it cannot be read, is damaged, or holds anything but plain data.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read it: {error.strerror}") from error
    return parse_pickle(content, str(path))


def parse_pickle(content: bytes, where: str, records: Collection[str] = ()) -> Any:
    """The object in `content`; `where` names it in errors.

    Args: records: modules whose objects are admitted. An object becomes the dict of its
        attributes, and a class the text of its name.
    Raises: DataError if it is damaged or holds anything but plain data.
    """
    content = unpack(content, where)
    try:
        return Machine(content, _Makers(len(content), records).find).run()
    except RefusedError as error:
        raise DataError(
            f"{where}: refused: it asks for {_line(error)}, and only numpy arrays and plain"
            " containers are read"
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{where}: not a readable pickle: {_line(error)}") from error


def unpack(content: bytes, where: str) -> bytes:
    """The pickle itself in the content of a file.

    Raises: DataError if it is packed and cannot be unpacked, or is too large.
    """
    file = io.BytesIO(content)
    try:
        if content.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _limited(unpacked)
        if content.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(file) as archive, archive.open("data") as entry:
                return _limited(entry)
    except Exception as error:  # as in parse_pickle
        raise DataError(f"{where}: not a readable pickle: {_line(error)}") from error
    return content


def _limited(file: IO[bytes] | gzip.GzipFile) -> bytes:
    content = io.BytesIO()
    while chunk := file.read(2**20):
        content.write(chunk)
        if content.tell() > MAX_UNPACKED:
            raise ValueError(f"it unpacks to more than {MAX_UNPACKED} bytes")
    return content.getvalue()


def _line(error: Exception) -> str:
    return " ".join(str(error)[:MAX_MESSAGE].split())


class _Makers:
    """What the admitted names make.

    Args:
        size: of the pickle, in bytes. An honest one names nothing more often than it holds it, so
            what is copied for it adds up to no more than that.
    """

    def __init__(self, size: int, records: Collection[str]) -> None:
        self._left = size
        self._records = records
        self._makers: dict[str, Callable[..., Any]] = {
            "numpy.ndarray": self._refuse,
            "numpy.dtype": _Dtype,
            "numpy.core.multiarray._reconstruct": self._array,
            "numpy.core.multiarray.scalar": self._scalar,
            "numpy.core.numeric._frombuffer": self._frombuffer,
            "_codecs.encode": self._encode,
            "builtins.bytes": self._empty_bytes,
            "builtins.set": self._set,
            "collections.OrderedDict": self._ordered_dict,
        }

    def find(self, name: str) -> Callable[..., Any]:
        module, _, _ = name.rpartition(".")
        if module in self._records:
            return self._record
        if name not in self._makers:
            raise RefusedError(name)
        return self._makers[name]

    def _spend(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise ValueError("it grows when it is read")

    def _refuse(self, *_: object) -> None:
        raise ValueError("a call of numpy.ndarray")

    def _record(self, *_: object) -> _Record:
        return _Record()

    def _array(self, *_: object) -> _Array:
        return _Array(self)

    def filled(self, data: Any, dtype: Any, shape: Any, order: Literal["C", "F"]) -> Any:
        """An array of the bytes `data`, which Python 2 wrote as a string."""
        sizes = isinstance(shape, tuple) and len(shape) <= 32
        if not sizes or not all(type(n) is int and 0 <= n < 2**62 for n in shape):
            raise ValueError("an array whose shape is not one")
        if not isinstance(dtype, np.dtype) or order not in ("C", "F"):
            raise ValueError("an array without type or order")
        if isinstance(data, str):
            data = self._encode(data)
        if not isinstance(data, bytes):
            raise ValueError("an array without its bytes")
        flat = np.frombuffer(data, dtype)
        if math.prod(shape) != flat.size:
            raise ValueError(f"an array of shape {shape} with {flat.size} elements")
        return flat.reshape(shape, order=order)

    def _frombuffer(self, data: Any, dtype: Any, shape: Any, order: Any) -> Any:
        return self.filled(data, dtype, shape, order)

    def _scalar(self, dtype: Any, data: Any) -> Any:
        return self.filled(data, dtype, (), "C")[()]

    def _encode(self, text: Any, *_: object) -> bytes:
        self._spend(len(str_of(text)))
        return str_of(text).encode("latin1")

    def _empty_bytes(self) -> bytes:
        return b""  # the only bytes that Python writes as a call

    def _set(self, items: list[Any]) -> set[Any]:
        self._spend(len(items))
        return set(map(checked_key, items))

    def _ordered_dict(self, items: list[Any] = []) -> dict[Any, Any]:  # noqa: B006
        self._spend(len(items))
        return {checked_key(key): value for key, value in items}


class _Record(Unbuilt):
    """An object of an admitted module."""

    def build(self, state: Any) -> dict[str, Any]:
        if not isinstance(state, dict):
            raise ValueError("an object whose attributes are no dict")
        return state


class _Dtype(Unbuilt):
    """A plain number or string type, whose byte order is its state."""

    def __init__(self, code: Any, *_: object) -> None:
        super().__init__()
        self.code = str_of(code)[:20]

    def build(self, state: Any) -> np.dtype[Any]:
        if not re.fullmatch(r"[biufcSU]\d+", self.code):
            raise RefusedError(f"an array of {self.code}")
        if not isinstance(state, tuple) or state[1] not in ("<", ">", "=", "|"):
            raise ValueError("an array without byte order")
        dtype = np.dtype(self.code)
        return dtype if state[1] == "|" else dtype.newbyteorder(state[1])


class _Array(Unbuilt):
    """An array, whose state is all of it."""

    def __init__(self, makers: _Makers) -> None:
        super().__init__()
        self.makers = makers

    def build(self, state: Any) -> Any:
        _, shape, dtype, fortran, data = state
        return self.makers.filled(data, dtype, shape, "F" if fortran else "C")
