"""What the drivers of real GPUs share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convnet.errors import DeviceError
from convnet.ops.cuda.driver import (
    LOWEST_ARCH,
    OPT_IN_SHARED,
    SHARED,
    Constant,
    check_launch,
    dotted,
)
from convnet.resources import find_folder


class GpuDriver(ABC):
    """One GPU; see convnet.ops.cuda.driver.Driver."""

    def __init__(self, arch: int, multiprocessors: int, sources: Path | None) -> None:
        """
        Args:
            arch: compute capability times 10.
            multiprocessors: of the GPU.
            sources: folder of the .cu files [the kernels that come with the program].

        Raises:
            DeviceError: the GPU is too old for the kernels.
        """
        if arch < LOWEST_ARCH:
            raise DeviceError(
                f"the GPU has compute capability {dotted(arch)}; the kernels need "
                f"{dotted(LOWEST_ARCH)} or higher"
            )
        self.arch = arch
        self.multiprocessors = multiprocessors
        self._sources = sources or find_folder("kernels")
        self._modules: dict[tuple[object, ...], Any] = {}
        self._kernels: dict[tuple[object, ...], GpuKernel] = {}

    def upload(self, source: np.ndarray, target: Any) -> None:
        if source.size != target.size:
            raise DeviceError(f"upload: {source.shape} does not fit into {target.shape}")
        self._write(np.ascontiguousarray(source, target.dtype).reshape(-1), target)

    def kernel(self, file: str, name: str, **constants: Constant) -> GpuKernel:
        module_key = (file, *sorted(constants.items()))
        key = (name, *module_key)
        if key not in self._kernels:
            if module_key not in self._modules:
                try:
                    self._modules[module_key] = self._compile(file, constants)
                except DeviceError as error:
                    raise DeviceError(f"kernel '{name}': {error}") from None
            self._kernels[key] = self._find(self._modules[module_key], file, name)
        return self._kernels[key]

    @abstractmethod
    def _write(self, source: np.ndarray, target: Any) -> None:
        """Copies numbers (size,) to a device array of the same dtype and any shape."""

    @abstractmethod
    def _compile(self, file: str, constants: Mapping[str, Constant]) -> Any:
        """The module of a file's kernels.

        Raises:
            DeviceError: it does not compile.
        """

    @abstractmethod
    def _find(self, module: Any, file: str, name: str) -> GpuKernel:
        """A kernel of a module.

        Raises:
            DeviceError: it has none of that name.
        """


class GpuKernel:
    """See convnet.ops.cuda.driver.Kernel."""

    def __init__(
        self,
        name: str,
        arch: int,
        static_shared: int,
        start: Callable[[tuple[int, ...], tuple[int, ...], Sequence[Any], int], None],
        allow_shared: Callable[[int], None],
        error: type[Exception],
    ) -> None:
        """
        Args:
            start: the launch: grid, block, arguments, bytes of dynamic shared memory.
            allow_shared: asks for that many bytes of dynamic shared memory.
            error: what the two raise.
        """
        self._name = name
        self._static_shared = static_shared
        # A device that is newer than we know has at least what all have.
        self._most_shared = OPT_IN_SHARED.get(arch, SHARED // 1024) * 1024
        self._start = start
        self._allow_shared = allow_shared
        self._error = error

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int = 0
    ) -> None:
        check_launch(self._name, grid, block, self._static_shared + shared, self._most_shared)
        try:
            if self._static_shared + shared > SHARED:
                self._allow_shared(shared)
            self._start(grid, block, args, shared)
        except self._error as error:
            raise DeviceError(
                f"kernel '{self._name}', grid {grid}, block {block}: {error}"
            ) from None


def check_number(device: int, count: int) -> None:
    """Raises: DeviceError if there is no such device."""
    if not 0 <= device < count:
        raise DeviceError(f"there is no GPU {device}; this machine has {count}, counted from 0")
