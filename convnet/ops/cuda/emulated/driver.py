"""The emulated device's driver."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from convnet.errors import DeviceError
from convnet.ops.cuda.driver import OPT_IN_SHARED, Constant, definitions, source_file
from convnet.ops.cuda.emulated.arrays import DeviceArray, new_array
from convnet.ops.cuda.emulated.build import Mode, build
from convnet.ops.cuda.emulated.counts import Count
from convnet.ops.cuda.emulated.launch import EmulatedKernel, Schedule
from convnet.resources import find_folder


class EmulatedDriver:
    """Runs kernels on the host. New arrays are full of NaN.

    It is no kinder than a GPU: arguments of another type than the kernel declares, launches
    beyond the limits of CUDA, and host arrays are errors.
    """

    name = "emulated"
    multiprocessors = 108  # those of an A100, so that sums are divided as there
    counts: list[Count]  # of mode "count": what launches counted, since it was last emptied

    def __init__(
        self,
        mode: str | None = None,
        schedule: str | None = None,
        arch: int = 80,
        sources: Path | None = None,
    ) -> None:
        """
        Args:
            mode: "fast", "check", "sanitize" or "count" [CONVNET_EMULATED, or "fast"].
            schedule: order of blocks and threads: "forward", "reverse", or the seed of a random
                one [CONVNET_EMULATED_SCHEDULE, or "forward"].
            arch: the compute capability times 10 whose limits hold.
            sources: folder of the .cu files [the kernels that come with the program].

        Raises:
            DeviceError: another mode, schedule or arch.
        """
        mode = mode or os.environ.get("CONVNET_EMULATED") or "fast"
        schedule = schedule or os.environ.get("CONVNET_EMULATED_SCHEDULE") or "forward"
        if mode not in tuple(Mode):
            raise DeviceError(f"the mode must be one of {', '.join(Mode)}; found '{mode}'")
        if arch not in OPT_IN_SHARED:
            raise DeviceError(
                f"arch must be one of {', '.join(map(str, OPT_IN_SHARED))}; found {arch}"
            )
        self.mode = Mode(mode)
        self.counts = []
        self.arch = arch
        self._schedule = Schedule.parse(schedule)
        self._sources = sources or find_folder("kernels")
        self._libraries: dict[tuple[object, ...], tuple[Path, list[str]]] = {}
        self._kernels: dict[tuple[object, ...], EmulatedKernel] = {}

    def empty(self, size: int) -> DeviceArray:
        return new_array(size)

    def upload(self, source: np.ndarray, target: DeviceArray) -> None:
        if source.size != target.size:
            raise DeviceError(f"upload: {source.shape} does not fit into {target.shape}")
        target.data.reshape(-1)[:] = source.reshape(-1)

    def download(self, source: DeviceArray) -> np.ndarray:
        return source.data.copy()

    def kernel(self, file: str, name: str, **constants: Constant) -> EmulatedKernel:
        library_key = (file, *sorted(constants.items()))
        key = (name, *library_key)
        if key not in self._kernels:
            source = source_file(self._sources, file)
            if library_key not in self._libraries:
                given = definitions(constants)
                self._libraries[library_key] = build(source, given, self.arch, self.mode)
            library, names = self._libraries[library_key]
            if name not in names:
                raise DeviceError(f"{source}: kernel '{name}' is not among {', '.join(names)}")
            counts = self.counts if self.mode is Mode.COUNT else None
            self._kernels[key] = EmulatedKernel(library, name, self._schedule, self.arch, counts)
        return self._kernels[key]

    def synchronize(self) -> None:
        """Kernels have finished when their call returns."""
