"""A GPU through PyCUDA; the kernels are compiled by NVRTC, so that nvcc is not needed.

PyCUDA is imported here only, when a driver is made, so that nothing else needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from convnet.errors import DeviceError
from convnet.ops.cuda.driver import Constant, Event, compiler_options, out_of_memory, source_file
from convnet.ops.cuda.gpu import GpuDriver, GpuKernel, check_number
from convnet.ops.cuda.nvrtc import compile_cubin


class PycudaDriver(GpuDriver):
    """One GPU; see convnet.ops.cuda.driver.Driver."""

    name = "pycuda"

    def __init__(self, device: int = 0, sources: Path | None = None) -> None:
        """
        Args:
            device: its number, as nvidia-smi counts them.
            sources: folder of the .cu files [the kernels that come with the program].

        Raises:
            DeviceError: no PyCUDA, no driver, no such device, or one that is too old.
        """
        self._cuda, self._gpuarray = _import_pycuda()
        try:
            self._cuda.init()
            count = self._cuda.Device.count()
        except self._cuda.Error as error:
            raise DeviceError(f"no GPU: {error}") from None
        check_number(device, count)
        opened = self._cuda.Device(device)
        major, minor = opened.compute_capability()
        multiprocessors = opened.get_attribute(self._cuda.device_attribute.MULTIPROCESSOR_COUNT)
        super().__init__(10 * major + minor, multiprocessors, sources)
        # The context that all libraries of the process share. It stays until the process ends.
        opened.retain_primary_context().push()
        # What CUDA does in its default stream waits for both, and both for it.
        self._kernels_stream, self._copies_stream = self._cuda.Stream(), self._cuda.Stream()

    def empty(self, size: int, dtype: DTypeLike = np.float32) -> Any:
        try:
            return self._gpuarray.empty(size, dtype)
        except self._cuda.MemoryError:
            raise out_of_memory(size * np.dtype(dtype).itemsize, self.free_memory()) from None

    def download(self, source: Any) -> np.ndarray:
        host: np.ndarray = source.get()
        return host

    def synchronize(self) -> None:
        self._wait_for(self._cuda.Context)

    def free_memory(self) -> int:
        free, _ = self._cuda.mem_get_info()
        return int(free)

    def pinned(self, size: int) -> np.ndarray:
        try:
            memory: np.ndarray = self._cuda.pagelocked_empty(size, np.float32)
        except self._cuda.Error as error:
            raise DeviceError(f"no page-locked memory for {4 * size} bytes: {error}") from None
        return memory

    def start_upload(self, source: np.ndarray, target: Any, after: Event | None) -> Event:
        if after:
            self._copies_stream.wait_for_event(after)
        self._cuda.memcpy_htod_async(_address(target), source, self._copies_stream)
        return self._event(self._copies_stream)

    def wait(self, event: Event) -> None:
        self._kernels_stream.wait_for_event(event)

    def record(self) -> Event:
        return self._event(self._kernels_stream)

    def finish(self, event: Event) -> None:
        self._wait_for(event)

    def capture(self, run: Callable[[], None]) -> None:
        """PyCUDA has no graphs."""

    def _wait_for(self, work: Any) -> None:
        try:
            work.synchronize()
        except self._cuda.Error as error:
            raise DeviceError(f"a kernel failed on the GPU: {error}") from None

    def _event(self, stream: Any) -> Event:
        event = self._cuda.Event(self._cuda.event_flags.DISABLE_TIMING)
        event.record(stream)
        return event

    def _write(self, source: np.ndarray, target: Any) -> None:
        target.reshape(-1).set(source)

    def _compile(self, file: str, constants: Mapping[str, Constant]) -> Any:
        options = compiler_options(self._sources, constants)
        cubin, _ = compile_cubin(source_file(self._sources, file), options, self.arch)
        try:
            return self._cuda.module_from_buffer(cubin)
        except self._cuda.Error as error:
            raise DeviceError(f"{file}.cu cannot be loaded: {error}") from None

    def _find(self, module: Any, file: str, name: str) -> GpuKernel:
        try:
            function = module.get_function(name)
        except self._cuda.Error as error:
            raise DeviceError(f"kernels/{file}.cu: kernel '{name}': {error}") from None

        def start(
            grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int
        ) -> None:
            numbers = [isinstance(arg, np.generic) for arg in args]
            pairs = list(zip(args, numbers, strict=True))
            function.prepare([arg.dtype.char if number else "P" for arg, number in pairs])
            values = [arg if number else _address(arg) for arg, number in pairs]
            function.prepared_async_call(
                _three(grid), _three(block), self._kernels_stream, *values, shared_size=shared
            )

        def allow_shared(size: int) -> None:
            attribute = self._cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES
            function.set_attribute(attribute, size)

        shared = int(function.shared_size_bytes)
        return GpuKernel(name, self.arch, shared, start, allow_shared, self._cuda.Error)


def _import_pycuda() -> tuple[Any, Any]:
    try:
        return import_module("pycuda.driver"), import_module("pycuda.gpuarray")
    except ImportError as error:
        raise DeviceError(
            f"PyCUDA is missing or finds no NVIDIA driver ({error}); "
            "pip install 'cudaconvnet[pycuda]'"
        ) from None


def _address(array: Any) -> int:
    return int(array.gpudata) if array.size else 0


def _three(sizes: tuple[int, ...]) -> tuple[int, ...]:
    return (*sizes, *(1,) * (3 - len(sizes)))
