"""What a GPU has to offer the engine: memory, copies and compiled kernels.

Everything above this module sees a device only through `Driver`; the implementations are
convnet.ops.cuda.cupy_driver, pycuda_driver and emulated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from convnet.errors import DeviceError
from convnet.ops.roles import Array

# What a constant of a kernel's file can be.
Constant = int | float | tuple[float, ...]
# A kernel's arguments besides arrays. Python numbers are none: they have no width.
SCALARS = (np.float32, np.float64, np.int32, np.uint32, np.int64, np.uint64)

# CUDA C++ Programming Guide, "Compute Capabilities": limits that hold for all devices, and the
# largest shared memory of one block in KiB, by compute capability times 10.
MAX_THREADS = 1024
MAX_BLOCK = (1024, 1024, 64)
MAX_GRID = (2**31 - 1, 65535, 65535)
SHARED = 48 * 1024  # what every kernel may use without asking
LOWEST_ARCH = 75
OPT_IN_SHARED = {75: 64, 80: 163, 86: 99, 87: 163, 89: 99, 90: 227, 100: 227, 103: 227, 120: 99}


Event = Any  # a moment in the work of a device


class Kernel(Protocol):
    """A compiled `extern "C" __global__ void` function."""

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int = 0
    ) -> None:
        """Starts the kernel.

        Args:
            grid, block: sizes in x, y, z; missing ones are 1.
            args: device arrays, and numpy scalars of the types that the kernel declares.
            shared: bytes of dynamic shared memory; more than 48 KiB are asked for as CUDA wants.

        Raises:
            DeviceError: limits of the launch, or arguments that the kernel does not take.
        """


class Driver(Protocol):
    """One device.

    It has two streams of work, which run beside each other: kernels, and copies of `start_upload`.
    In each, one thing is done after the other. `upload` and `download` belong to the kernels; the
    host waits until they are done.

    Device arrays are C-contiguous and opaque; they have size, shape, dtype, reshape(...),
    view(dtype), and slices a[start:stop] of one-dimensional arrays, all of them views.

    Attributes:
        name: "cupy", "pycuda" or "emulated".
        arch: compute capability times 10, such as 80.
        multiprocessors: how many it has.
    """

    name: str
    arch: int
    multiprocessors: int

    def empty(self, size: int, dtype: DTypeLike = np.float32) -> Array:
        """A new array of shape (size,), content undefined (all bits 1 on the emulated device).

        Raises:
            DeviceError: not enough memory.
        """

    def upload(self, source: np.ndarray, target: Array) -> None:
        """Copies a host array to a device array of the same size, converting to its dtype."""

    def download(self, source: Array) -> np.ndarray:
        """A host copy."""

    def kernel(self, file: str, name: str, **constants: Constant) -> Kernel:
        """The function `name` of kernels/`file`.cu, compiled with -DNAME=value per constant.

        It is compiled on first use and then kept.

        Raises:
            DeviceError: it does not compile.
        """

    def synchronize(self) -> None:
        """Waits until everything started before is done."""

    def free_memory(self) -> int:
        """Bytes that `empty` can still give."""

    def pinned(self, size: int) -> np.ndarray:
        """Page-locked float32 memory of the host (size,), from which copies need no help of it.

        Raises:
            DeviceError: not enough memory.
        """

    def start_upload(self, source: np.ndarray, target: Array, after: Event | None) -> Event:
        """Begins to copy pinned memory to a device array of the same size.

        Args:
            source: not to be written to before the event that is returned.
            after: a moment in the stream of kernels that the copy waits for.

        Returns:
            The end of the copy. Kernels that read `target` must `wait` for it.
        """

    def wait(self, event: Event) -> None:
        """Kernels started from now on wait for the event."""

    def record(self) -> Event:
        """The moment when all kernels that were started before are done."""

    def finish(self, event: Event) -> None:
        """The host waits for the event.

        Raises:
            DeviceError: a kernel before it failed.
        """

    def capture(self, run: Callable[[], None]) -> Callable[[], None] | None:
        """What starts, at once, all kernels that `run` would start; `run` starts none now.

        `run` may do nothing else with the device, and all its kernels must have been compiled.
        None if this device, or what it is driven through, has no graphs.
        """


def definitions(constants: Mapping[str, Constant]) -> list[str]:
    """Compiler options that define constants: whole numbers as int, others as float, and tuples
    as what initialises an array of floats, of any dimensions.

    >>> definitions({"TILE": 16, "SCALE": 0.5, "LOW": -1, "NODES": (1.0, -2.0)})
    ['-DLOW=(-1)', '-DNODES={1.0f,-2.0f}', '-DSCALE=(0.5f)', '-DTILE=(16)']

    Raises:
        DeviceError: a constant that is not a finite number.
    """
    options = []
    for name, value in sorted(constants.items()):
        if isinstance(value, (bool, int, np.integer)):
            options.append(f"-D{name}=({int(value)})")
        elif isinstance(value, tuple):
            options.append(f"-D{name}={{{','.join(_literal(name, x) for x in value)}}}")
        else:
            options.append(f"-D{name}=({_literal(name, value)})")
    return options


def _literal(name: str, value: float) -> str:
    if not (isinstance(value, (float, np.floating)) and isfinite(value)):
        raise DeviceError(f"constant {name} must be a finite number; found {value!r}")
    return f"{float(value)!r}f"


def compiler_options(folder: Path, constants: Mapping[str, Constant]) -> list[str]:
    """What NVRTC is given besides the architecture; `folder` is that of the kernels."""
    return ["-std=c++17", f"-I{folder}", *definitions(constants)]


def source_file(folder: Path, file: str) -> Path:
    """The path of kernels/`file`.cu.

    Raises:
        DeviceError: there is none.
    """
    path = folder / f"{file}.cu"
    if not path.exists():
        raise DeviceError(f"{path}: no such file of kernels")
    return path


def dotted(arch: int) -> str:
    """The compute capability, such as 8.0."""
    return f"{arch // 10}.{arch % 10}"


def check_launch(
    kernel: str, grid: Sequence[int], block: Sequence[int], shared: int, most_shared: int
) -> None:
    """The limits that every device has.

    Args:
        kernel: its name, for the messages.
        shared: bytes of shared memory, static and dynamic.
        most_shared: bytes that a block of this device can have.

    Raises:
        DeviceError: the launch goes beyond them.
    """
    for what, sizes, limits in (("grid", grid, MAX_GRID), ("block", block, MAX_BLOCK)):
        fits = all(1 <= n <= most for n, most in zip(sizes, limits, strict=False))
        if not (1 <= len(sizes) <= 3 and fits):
            raise DeviceError(
                f"kernel '{kernel}': {what} must be one to three sizes between 1 and {limits}; "
                f"found {tuple(sizes)}"
            )
    if prod(block) > MAX_THREADS:
        raise DeviceError(
            f"kernel '{kernel}': a block has at most {MAX_THREADS} threads; "
            f"found {prod(block)} in {tuple(block)}"
        )
    if shared > most_shared:
        raise DeviceError(
            f"kernel '{kernel}': a block has at most {most_shared} bytes of shared memory on this "
            f"device; found {shared}"
        )


def out_of_memory(needed: int, free: int) -> DeviceError:
    """Both in bytes."""
    return DeviceError(
        f"out of memory on the GPU: {needed / 2**20:.1f} MiB needed, {free / 2**20:.1f} MiB free; "
        "try a smaller --mini or smaller layers"
    )
