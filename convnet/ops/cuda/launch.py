"""What the families of operations share: a device, checks of arrays, and launches of kernels.

The three usual launches are described in kernels/common.cuh.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from convnet.errors import ShapeError
from convnet.ops.cuda.driver import Constant, Driver
from convnet.ops.cuda.packing import packed
from convnet.ops.roles import Array, OnDevice, RandomKey

MAX_SIZE = 2**31  # kernels count in 32 bits
REMEDY = "take smaller minibatches"
BLOCK = 256
LANES, TEAMS = 32, 8

# Blocks that sum up long rows. In all: eight for each multiprocessor of a large GPU. For one row at
# most: their sums are then put together by one block, or by one thread.
SUM_BLOCKS, SUM_PARTS = 1024, 32


def checked(name: str, array: Array, *shape: int) -> Array:
    """`array`, which must hold float32 numbers of `shape`, however they are shaped.

    Raises:
        ShapeError: another dtype or number of numbers, or too many for a kernel.
    """
    if array.dtype != np.float32 or array.size != prod(shape):
        raise ShapeError(
            f"'{name}' must be a float32 array of shape {shape}; "
            f"found {array.dtype} of shape {array.shape}"
        )
    if array.size >= MAX_SIZE:
        raise ShapeError(
            f"'{name}' has {array.size} numbers; a kernel works on fewer than {MAX_SIZE}: {REMEDY}"
        )
    return array


def parts_of_rows(rows: int, length: int) -> int:
    """Blocks for each of the rows that are summed up; a thread has four numbers or more."""
    return min(SUM_PARTS, -(-length // (4 * BLOCK)), -(-SUM_BLOCKS // rows))


class Launcher:
    """A device and the launches of its kernels; the base of each family of operations."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._held: Array | None = None
        self._constants: dict[bytes, Array] = {}

    def _launch(
        self,
        file: str,
        name: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        *args: Any,
        **constants: Constant,
    ) -> None:
        """Starts a kernel of kernels/`file`.cu. Numbers become int32 and float32."""
        if 0 in grid:  # nothing to do, which CUDA refuses to start
            return
        kernel = self._driver.kernel(file, name, **constants)
        kernel(grid, block, [_as_argument(arg) for arg in args])

    def _numbers(self, file: str, name: str, size: int, *args: Any) -> None:
        """A thread per number; `size` becomes the last argument."""
        self._launch(file, name, (-(-size // BLOCK),), (BLOCK,), *args, size)

    def _rows(self, file: str, name: str, rows: int, N: int, *args: Any, **constants: int) -> None:
        """A block per row of N images; N becomes the last argument."""
        block = min(-(-N // LANES) * LANES, BLOCK)
        self._launch(file, name, (rows,), (block,), *args, N, **constants)

    def _columns(self, file: str, name: str, N: int, *args: Any) -> None:
        """A block per 32 images; N becomes the last argument."""
        self._launch(file, name, (-(-N // LANES),), (LANES, TEAMS), *args, N)

    def _sum_rows(
        self, values: Array, rows: int, sums: Array, add: bool = False, parts: int = 1
    ) -> None:
        """sums(row, part) = sum of every parts-th piece of values(row, :)."""
        length = values.size // rows
        self._launch("sums", "sum_rows", (rows, parts), (LANES, TEAMS), values, sums, add, length)

    def _scratch(self, size: int) -> Array:
        """Memory for one operation: what the operation before had may be in it."""
        if self._held is None or self._held.size < size:
            self._held = None  # free the old one first
            self._held = self._driver.empty(size)
        return self._held[:size]

    def _on_device(self, value: Any) -> Array:
        """The numbers of an argument that changes from step to step, see packing.py."""
        if isinstance(value, OnDevice):
            return value.numbers
        numbers = packed(value)
        assert numbers is not None
        return self._uploaded(numbers)

    def _key(self, key: RandomKey | OnDevice) -> Array:
        """Its words on the device."""
        return self._on_device(key).view(np.uint32)

    def _constant(self, values: np.ndarray) -> Array:
        """Numbers that stay the same, on the device, flat; uploaded once and kept."""
        key = values.tobytes()
        if key not in self._constants:
            self._constants[key] = self._uploaded(values)
        return self._constants[key]

    def _uploaded(self, values: np.ndarray) -> Array:
        """A copy on the device, flat, of the same dtype."""
        array = self._driver.empty(values.size, values.dtype)
        self._driver.upload(values.reshape(-1), array)
        return array


def _as_argument(value: Any) -> Any:
    """Python's numbers have no width, which a kernel's parameters have."""
    if isinstance(value, int):  # or bool
        return np.int32(value)
    return np.float32(value) if isinstance(value, float) else value
