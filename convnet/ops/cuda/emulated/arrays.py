"""Arrays of the emulated device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from convnet.errors import DeviceError

# Bytes before and after each array that no kernel may touch.
GUARD = 256
ALIGNMENT = 256  # bytes, as of CUDA's allocations


def address_of(array: np.ndarray) -> int:
    """The same as array.ctypes.data in a tenth of the time."""
    address: int = array.__array_interface__["data"][0]
    return address


class DeviceArray:
    """An array that only kernels and the driver's copies can look into.

    Like a real device's it is not a host array: numpy cannot use it.
    """

    __array__ = None  # numpy: "not an array"

    def __init__(self, data: np.ndarray, memory: np.ndarray) -> None:
        """`data` is the array, `memory` all that was allocated for it and its views."""
        self.data = data
        self.memory = memory

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    def reshape(self, *shape: Any) -> DeviceArray:
        return DeviceArray(self.data.reshape(*shape), self.memory)

    def view(self, dtype: DTypeLike) -> DeviceArray:
        return DeviceArray(self.data.view(dtype), self.memory)

    def __getitem__(self, part: slice) -> DeviceArray:
        if self.data.ndim != 1 or not isinstance(part, slice) or part.step not in (None, 1):
            raise DeviceError(
                f"device arrays are contiguous: only a[start:stop] of one dimension; "
                f"found [{part}] of {self.data.ndim} dimensions"
            )
        return DeviceArray(self.data[part], self.memory)


def new_array(size: int, dtype: np.dtype[Any]) -> DeviceArray:
    """An array with all bits 1, as nobody has written to it: floats are NaN."""
    length = size * dtype.itemsize
    memory = np.full(length + 2 * GUARD + ALIGNMENT, 0xFF, np.uint8)
    start = GUARD + -(address_of(memory) + GUARD) % ALIGNMENT
    return DeviceArray(memory[start : start + length].view(dtype), memory)
