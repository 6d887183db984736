"""Reads pickles of numbers, strings, numpy arrays and plain containers, and nothing else.

A pickle can call whatever its reader admits. This one admits no callable of numpy either: numpy's
own reconstructors trust flags and sizes in the file, so the few names that a pickled array needs
are answered by stand-ins that check everything. Pickles of Python 2 and 3 are read, with
strings as latin-1; also such as are packed with gzip, or are the entry `data` of a zip file.
"""

from __future__ import annotations

import gzip
import io
import math
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from data_providers.errors import DataError

MAX_UNPACKED = 2**32  # a small file could unpack to more than any machine holds


def load_pickle(path: Path) -> Any:
    """The content of the pickle file `path`.

    Raises: DataError if it cannot be read, is damaged, or holds anything but plain data.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot read it: {error.strerror}") from error
    return parse_pickle(content, str(path))


def parse_pickle(content: bytes, where: str) -> Any:
    """The object in `content`; `where` names it in errors.

    Raises: DataError if it is damaged or holds anything but plain data.
    """
    try:
        content = _unpacked(content)
        _check_memory(content)
        return _Arrays().replace(_PlainUnpickler(io.BytesIO(content), encoding="latin1").load())
    except _RefusedError as error:
        raise DataError(
            f"{where}: refused: it asks for {error}, and only numpy arrays and plain containers are"
            " read"
        ) from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise DataError(f"{where}: not a readable pickle: {error}") from error


def _unpacked(content: bytes) -> bytes:
    file = io.BytesIO(content)
    if content.startswith(b"\x1f\x8b"):
        content = gzip.GzipFile(fileobj=file).read(MAX_UNPACKED + 1)
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(file) as archive, archive.open("data") as entry:
            content = entry.read(MAX_UNPACKED + 1)
    if len(content) > MAX_UNPACKED:
        raise ValueError(f"it unpacks to more than {MAX_UNPACKED} bytes")
    return content


def _check_memory(content: bytes) -> None:
    # The reader's table of objects is as long as the largest number in it, so a few wrong bytes
    # could ask for all memory; an honest pickle numbers no more objects than it has bytes.
    for opcode, number, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "LONG_BINPUT") and int(number or 0) > len(content):
            raise ValueError(f"object number {number}")


class _RefusedError(Exception):
    """The pickle names something that is not admitted."""


class _Dtype:
    """Stands in for numpy.dtype: a plain number or string type and its byte order."""

    __slots__ = ("code", "order")

    order: Literal["<", ">", "=", "|"]

    def __init__(self, code: str) -> None:
        self.code = code
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1]

    def resolve(self) -> np.dtype[Any]:
        dtype = np.dtype(str(self.code))
        if dtype.kind not in "biufcSU":
            raise _RefusedError(f"an array of {self.code}")
        return dtype if self.order == "|" else dtype.newbyteorder(self.order)


class _Array:
    """Stands in for a numpy array until `_Arrays.replace` exchanges the two."""

    __slots__ = ("array",)

    array: NDArray[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        self.fill(data, dtype, shape, "F" if fortran else "C")

    def fill(self, data: bytes | str, dtype: _Dtype, shape: tuple[int, ...], order: Any) -> None:
        # Python 2 wrote the bytes as a string, which arrives here decoded as latin-1.
        raw = data.encode("latin1") if isinstance(data, str) else data
        flat = np.frombuffer(raw, dtype.resolve())
        if math.prod(shape) != flat.size:
            raise ValueError(f"an array of shape {shape} with {flat.size} elements")
        self.array = flat.reshape(shape, order=order)


class _PlainUnpickler(pickle.Unpickler):
    """Answers the global names that arrays and containers need.

    The answers are bound methods, because a pickle can set attributes of what it gets, and those
    of a bound method cannot be set.
    """

    def find_class(self, module: str, name: str) -> Any:
        # numpy 2 moved numpy.core to numpy._core; Python 3 moved __builtin__ to builtins.
        moved = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        wanted = f"{moved}.{name}"
        admitted = {
            "numpy.ndarray": "ndarray",
            "numpy.dtype": self._dtype,
            "numpy.core.multiarray._reconstruct": self._reconstruct,
            "numpy.core.multiarray.scalar": self._scalar,
            "numpy.core.numeric._frombuffer": self._frombuffer,
            "_codecs.encode": self._encode,
            "builtins.bytes": self._empty_bytes,
            "builtins.set": self._set,
            "collections.OrderedDict": self._ordered_dict,
        }
        if wanted not in admitted:
            raise _RefusedError(f"{module}.{name}")
        return admitted[wanted]

    def _dtype(self, code: str, *_: object) -> _Dtype:
        return _Dtype(code)

    def _reconstruct(self, *_: object) -> _Array:
        return _Array()

    def _frombuffer(self, data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
        array = _Array()
        array.fill(data, dtype, shape, order)
        return array

    def _scalar(self, dtype: _Dtype, data: bytes | str) -> _Array:
        array = _Array()
        array.fill(data, dtype, (), "C")
        return array

    def _encode(self, text: str, encoding: str) -> bytes:
        return text.encode("latin1")

    def _empty_bytes(self) -> bytes:
        return b""  # the only bytes that Python writes as a call

    def _set(self, items: list[Any]) -> set[Any]:
        return set(items)

    def _ordered_dict(self, items: list[Any] | tuple[Any, ...] = ()) -> dict[Any, Any]:
        return dict(items)  # a pickle can set attributes, so methods, of an OrderedDict


class _Arrays:
    """Exchanges the stand-ins inside containers for the arrays that they hold."""

    def __init__(self) -> None:
        # A container can occur in many places; each is walked once, or a small file could take
        # for ever. The originals are kept, so that no id is used again while this lives.
        self._done: dict[int, tuple[Any, Any]] = {}

    def replace(self, item: Any) -> Any:
        """`item` itself, changed in place, or a new tuple; 0-dimensional arrays become scalars."""
        if isinstance(item, _Array):
            return item.array[()] if item.array.ndim == 0 else item.array
        if id(item) in self._done:
            return self._done[id(item)][1]
        if isinstance(item, dict):
            self._done[id(item)] = item, item
            for key in item:
                item[key] = self.replace(item[key])
        elif isinstance(item, list):
            self._done[id(item)] = item, item
            item[:] = [self.replace(value) for value in item]
        elif isinstance(item, tuple):
            replaced = tuple(self.replace(value) for value in item)
            self._done[id(item)] = item, replaced
            return replaced
        return item
