"""ONNX files written by hand."""

import numpy as np
import pytest

from convnet.faces.onnx import read_weights
from data_providers.errors import DataError

VALUES = np.array([[1.5, -2, 3], [4, 5, 6]], np.float32)


def number(value):
    content = b""
    while value > 127:
        content += bytes([value & 127 | 128])
        value >>= 7
    return content + bytes([value])


def field(key, value):
    if isinstance(value, int):
        return number(key << 3) + number(value)
    return number(key << 3 | 2) + number(len(value)) + value


def model(*tensors):
    graph = field(2, b"a graph") + b"".join(field(5, tensor) for tensor in tensors)
    # Before it a version, and numbers of 4 and 8 bytes, as later versions might have.
    return field(1, 300) + b"\x95\x01abcd" + b"\x99\x01abcdefgh" + field(7, graph)


def test_weights(tmp_path):
    raw = field(1, 2) + field(1, 3) + field(2, 1) + field(8, b"raw") + field(9, VALUES.tobytes())
    packed = field(1, b"\x03\x02") + field(2, 1) + field(4, VALUES.tobytes()) + field(8, b"packed")
    integers = field(1, 1) + field(2, 7) + field(8, b"shape") + field(9, bytes(8))
    (tmp_path / "net.onnx").write_bytes(model(raw, packed, integers))
    found = read_weights(tmp_path / "net.onnx")
    assert found.keys() == {"raw", "packed"}
    np.testing.assert_array_equal(found["raw"], VALUES)
    np.testing.assert_array_equal(found["packed"], VALUES.reshape(3, 2))


def test_damaged(tmp_path):
    tensor = field(1, 6) + field(2, 1) + field(8, b"w") + field(9, VALUES.tobytes())
    whole = model(tensor)
    path = tmp_path / "net.onnx"
    for content in [*(whole[:n] for n in range(len(whole))), b"\xff" * 40, field(7, 3)]:
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"net\.onnx: not an ONNX file, or damaged"):
            read_weights(path)


def test_missing(tmp_path):
    with pytest.raises(DataError, match="cannot read it"):
        read_weights(tmp_path / "none.onnx")
