"""The weights in an ONNX file, which is a message of protocol buffers.

A message is fields, each a number that tells field and kind, and a value; those of a graph of ONNX
are listed in onnx.proto. All but the initial values of the graph is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_providers.errors import DataError

# Numbers of fields in onnx.proto.
GRAPH, INITIALIZER = 7, 5
DIMS, DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA = 1, 2, 4, 8, 9
FLOAT = 1

# Kinds of values.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Value = int | memoryview


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The arrays of type float that a graph begins with, by name.

    Raises: DataError if the file cannot be read or is damaged.
    """
    try:
        model = memoryview(path.read_bytes())
        (graph,) = (value for field, value in _fields(model) if field == GRAPH)
        tensors = [_tensor(value) for field, value in _fields(graph) if field == INITIALIZER]
    except OSError as error:
        raise DataError(f"{path}: cannot read it: {error.strerror}") from error
    except (ValueError, IndexError, TypeError) as error:
        raise DataError(f"{path}: not an ONNX file, or damaged: {error}") from error
    return {name: array for name, array in tensors if array.size}


def _tensor(message: Value) -> tuple[str, NDArray[np.float32]]:
    """Its name and numbers; none where they are of another type."""
    fields = list(_fields(message))
    name = next(bytes(value).decode() for field, value in fields if field == NAME)
    if (DATA_TYPE, FLOAT) not in fields:
        return name, np.empty(0, np.float32)
    shape: list[int] = []
    content = b""
    for field, value in fields:
        if field == DIMS:
            shape += [value] if isinstance(value, int) else list(_varints(value))
        elif field in (FLOAT_DATA, RAW_DATA):
            content += bytes(value)
    return name, np.frombuffer(content, "<f4").reshape(shape)


def _fields(message: Value) -> Iterator[tuple[int, Value]]:
    """The fields of a message in order: numbers, or views of the bytes of anything longer.

    Raises: ValueError or IndexError if it is none.
    """
    if isinstance(message, int):
        raise ValueError("a number where a message was expected")
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == VARINT:
            number, at = _varint(message, at)
            yield key >> 3, number
            continue
        if kind == BYTES:
            size, at = _varint(message, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"no kind of value is {kind}")
        if at + size > len(message):
            raise ValueError("it ends too early")
        yield key >> 3, message[at : at + size]
        at += size


def _varints(message: memoryview) -> Iterator[int]:
    at = 0
    while at < len(message):
        number, at = _varint(message, at)
        yield number


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends."""
    number = shift = 0
    while True:
        byte = message[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
