"""The emulated device's driver."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from weakref import finalize

import numpy as np
from numpy.typing import DTypeLike

from convnet.errors import DeviceError
from convnet.ops.cuda.driver import (
    OPT_IN_SHARED,
    Constant,
    Event,
    definitions,
    out_of_memory,
    source_file,
)
from convnet.ops.cuda.emulated.arrays import DeviceArray, new_array
from convnet.ops.cuda.emulated.build import Mode, build
from convnet.ops.cuda.emulated.counts import Count
from convnet.ops.cuda.emulated.launch import EmulatedKernel, Schedule
from convnet.ops.cuda.emulated.streams import Streams
from convnet.resources import find_folder


class EmulatedDriver:
    """Runs kernels on the host. In new arrays all bits are 1, which is NaN.

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
        memory: int | None = None,
    ) -> None:
        """
        Args:
            mode: "fast", "check", "sanitize" or "count" [CONVNET_EMULATED, or "fast"].
            schedule: order of blocks and threads: "forward", "reverse", or the seed of a random
                one [CONVNET_EMULATED_SCHEDULE, or "forward"].
            arch: the compute capability times 10 whose limits hold.
            sources: folder of the .cu files [the kernels that come with the program].
            memory: bytes of the device [CONVNET_EMULATED_MEMORY, in MiB, or 1 TiB].

        Raises:
            DeviceError: another mode, schedule or arch; memory that is no number.
        """
        mode = mode or os.environ.get("CONVNET_EMULATED") or "fast"
        schedule = schedule or os.environ.get("CONVNET_EMULATED_SCHEDULE") or "forward"
        if mode not in tuple(Mode):
            raise DeviceError(f"the mode must be one of {', '.join(Mode)}; found '{mode}'")
        if arch not in OPT_IN_SHARED:
            raise DeviceError(
                f"arch must be one of {', '.join(map(str, OPT_IN_SHARED))}; found {arch}"
            )
        if memory is None:
            given = os.environ.get("CONVNET_EMULATED_MEMORY") or str(2**20)
            if not given.isdecimal():
                raise DeviceError(
                    f"CONVNET_EMULATED_MEMORY must be a number of MiB; found '{given}'"
                )
            memory = int(given) * 2**20
        self._free = memory
        self._streams = Streams()
        self.mode = Mode(mode)
        self.counts = []
        self.arch = arch
        self._schedule = Schedule.parse(schedule)
        self._sources = sources or find_folder("kernels")
        self._libraries: dict[tuple[object, ...], tuple[Path, list[str]]] = {}
        self._kernels: dict[tuple[object, ...], EmulatedKernel] = {}

    def empty(self, size: int, dtype: DTypeLike = np.float32) -> DeviceArray:
        self._streams.refuse_in_capture("empty")
        needed = size * np.dtype(dtype).itemsize
        if needed > self._free:
            raise out_of_memory(needed, self._free)
        array = new_array(size, np.dtype(dtype))
        self._free -= needed
        finalize(array.memory, self._give_back, needed)
        return array

    def upload(self, source: np.ndarray, target: DeviceArray) -> None:
        self._streams.refuse_in_capture("upload")
        if source.size != target.size:
            raise DeviceError(f"upload: {source.shape} does not fit into {target.shape}")
        self._streams.finish_kernels()
        target.data.reshape(-1)[:] = source.reshape(-1)

    def download(self, source: DeviceArray) -> np.ndarray:
        self._streams.refuse_in_capture("download")
        self._streams.finish_kernels()
        return source.data.copy()

    def kernel(self, file: str, name: str, **constants: Constant) -> EmulatedKernel:
        library_key = (file, *sorted(constants.items()))
        key = (name, *library_key)
        if key not in self._kernels:
            self._streams.refuse_in_capture(f"compiling '{name}'")
            source = source_file(self._sources, file)
            if library_key not in self._libraries:
                given = definitions(constants)
                self._libraries[library_key] = build(source, given, self.arch, self.mode)
            library, names = self._libraries[library_key]
            if name not in names:
                raise DeviceError(f"{source}: kernel '{name}' is not among {', '.join(names)}")
            counts = self.counts if self.mode is Mode.COUNT else None
            self._kernels[key] = EmulatedKernel(
                library, name, self._schedule, self.arch, self._streams, counts
            )
        return self._kernels[key]

    def synchronize(self) -> None:
        self._streams.refuse_in_capture("synchronize")
        self._streams.synchronize()

    def free_memory(self) -> int:
        return self._free

    def pinned(self, size: int) -> np.ndarray:
        self._streams.refuse_in_capture("pinned")
        return self._streams.pinned(size)

    def start_upload(self, source: np.ndarray, target: DeviceArray, after: Event | None) -> Event:
        return self._streams.start_upload(source, target, after)

    def wait(self, event: Event) -> None:
        self._streams.wait(event)

    def record(self) -> Event:
        return self._streams.record()

    def finish(self, event: Event) -> None:
        self._streams.finish(event)

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        return self._streams.capture(run)

    def _give_back(self, size: int) -> None:
        self._free += size
