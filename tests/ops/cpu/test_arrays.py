"""What CpuOps demands of arrays and gives of its own."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.errors import ShapeError
from convnet.geometry import Window
from convnet.neurons import IDENT
from convnet.ops.cpu import CpuOps
from convnet.ops.cpu.jit import aligned

OPS = CpuOps()


@pytest.mark.parametrize("size", [1, 7, 1000, 100_003])
def test_memory_is_aligned_and_undefined(size: int) -> None:
    array = OPS.empty(size)
    assert array.shape == (size,)
    assert array.dtype == np.float32
    assert array.ctypes.data % 64 == 0
    assert np.isnan(array).all()
    assert aligned(size).ctypes.data % 64 == 0


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        (np.zeros((4, 3)), "float64 of shape (4, 3)"),
        (np.zeros((3, 4), np.float32).T, "not C-contiguous float32 of shape (4, 3)"),
        (np.zeros((4, 2), np.float32), "float32 of shape (4, 2)"),
    ],
)
def test_other_arrays_are_refused(inputs: np.ndarray, found: str) -> None:
    acts = np.zeros((4, 3), np.float32)
    with pytest.raises(ShapeError) as error:
        OPS.softmax_fprop(acts, inputs)
    assert str(error.value) == (
        f"'acts' must be a C-contiguous float32 array of shape (4, 3); found {found}"
    )


def test_biases_have_one_entry_a_filter_or_an_output() -> None:
    g = Window(1, 4, 4, 2, 3)
    images, acts = np.zeros((1, 4, 4, 1), np.float32), np.zeros((2, 2, 2, 1), np.float32)
    with pytest.raises(ShapeError, match=r"'biases' must be .* shape \(2, 1\); .* shape \(3,\)"):
        OPS.conv_fprop(g, images, np.zeros((9, 2), np.float32), np.zeros(3, "f4"), IDENT, acts)
