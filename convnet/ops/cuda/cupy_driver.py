"""A GPU through CuPy, whose RawModule compiles the kernels by NVRTC at run time.

CuPy is imported here only, when a driver is made, so that nothing else needs it.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from convnet.errors import DeviceError
from convnet.ops.cuda.driver import Constant, Event, compiler_options, out_of_memory, source_file
from convnet.ops.cuda.gpu import GpuDriver, GpuKernel, check_number

INSTALL = "pip install 'cudaconvnet[cuda12]' or 'cudaconvnet[cuda13]', whichever nvidia-smi names"


class CupyDriver(GpuDriver):
    """One GPU; see convnet.ops.cuda.driver.Driver."""

    name = "cupy"

    def __init__(self, device: int = 0, sources: Path | None = None) -> None:
        """
        Args:
            device: its number, as nvidia-smi counts them.
            sources: folder of the .cu files [the kernels that come with the program].

        Raises:
            DeviceError: no CuPy, no driver, a driver that is too old for this CuPy, no such
                device, or one that is too old for the kernels.
        """
        self._cupy = _import_cupy()
        self._device = _open_device(self._cupy, device)
        multiprocessors = self._device.attributes["MultiProcessorCount"]
        super().__init__(int(self._device.compute_capability), multiprocessors, sources)
        # What CUDA does in its default stream waits for both, and both for it.
        self._kernels_stream = self._cupy.cuda.Stream()
        self._copies_stream = self._cupy.cuda.Stream()

    def empty(self, size: int, dtype: DTypeLike = np.float32) -> Any:
        try:
            with self._kernels_stream:  # CuPy gives freed memory to the same stream again
                return self._cupy.empty(size, dtype)
        except self._cupy.cuda.memory.OutOfMemoryError:
            raise out_of_memory(size * np.dtype(dtype).itemsize, self.free_memory()) from None

    def download(self, source: Any) -> np.ndarray:
        with self._failures(), self._kernels_stream:
            host: np.ndarray = self._cupy.asnumpy(source)
        return host

    def synchronize(self) -> None:
        with self._failures():
            self._device.synchronize()

    def free_memory(self) -> int:
        free, _ = self._cupy.cuda.runtime.memGetInfo()
        return int(free) + int(self._cupy.get_default_memory_pool().free_bytes())

    def pinned(self, size: int) -> np.ndarray:
        with self._failures():
            memory = self._cupy.cuda.alloc_pinned_memory(4 * size)
        return np.frombuffer(memory, np.float32, size)

    def start_upload(self, source: np.ndarray, target: Any, after: Event | None) -> Event:
        if after:
            self._copies_stream.wait_event(after)
        target.data.copy_from_host_async(
            source.ctypes.data, source.nbytes, stream=self._copies_stream
        )
        return self._event(self._copies_stream)

    def wait(self, event: Event) -> None:
        self._kernels_stream.wait_event(event)

    def record(self) -> Event:
        return self._event(self._kernels_stream)

    def finish(self, event: Event) -> None:
        with self._failures():
            event.synchronize()

    def capture(self, run: Callable[[], None]) -> Callable[[], None] | None:
        stream, failure = self._kernels_stream, self._cupy.cuda.runtime.CUDARuntimeError
        try:
            stream.begin_capture()
            try:
                run()
            finally:
                graph = stream.end_capture()
            graph.upload(stream=stream)
        except failure as error:
            warnings.warn(f"kernels are started one by one, as {error}", stacklevel=1)
            return None
        return partial(graph.launch, stream=stream)

    def _event(self, stream: Any) -> Event:
        event = self._cupy.cuda.Event(disable_timing=True)
        stream.record(event)
        return event

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """What CUDA says where the host waits for it is mostly of a kernel before."""
        try:
            yield
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"a kernel failed on the GPU: {error}") from None

    def _write(self, source: np.ndarray, target: Any) -> None:
        with self._kernels_stream:
            target.reshape(-1).set(source)

    def _compile(self, file: str, constants: Mapping[str, Constant]) -> Any:
        source = source_file(self._sources, file)
        options = tuple(compiler_options(self._sources, constants))
        # CuPy keeps what it compiled by the text of the source, without the headers.
        headers = b"".join(p.read_bytes() for p in sorted(self._sources.glob("*.cuh")))
        text = f"{source.read_text()}\n// headers: {hashlib.sha256(headers).hexdigest()}\n"
        try:
            module = self._cupy.RawModule(code=text, options=options)
            module.compile()
        except self._cupy.cuda.compiler.CompileException as error:
            raise DeviceError(
                f"{source.name} does not compile for sm_{self.arch} with "
                f"{' '.join(options)}:\n{error}"
            ) from None
        except (ImportError, RuntimeError, OSError) as error:
            raise DeviceError(
                f"{source.name} cannot be compiled or loaded: {error}; "
                f"if NVRTC is missing, {INSTALL}"
            ) from None
        return module

    def _find(self, module: Any, file: str, name: str) -> GpuKernel:
        failure = self._cupy.cuda.driver.CUDADriverError
        try:
            function = module.get_function(name)
        except failure as error:
            raise DeviceError(f"kernels/{file}.cu: kernel '{name}': {error}") from None

        def start(
            grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int
        ) -> None:
            with self._kernels_stream:
                function(grid, block, tuple(args), shared_mem=shared)

        def allow_shared(size: int) -> None:
            function.max_dynamic_shared_size_bytes = size

        shared = int(function.shared_size_bytes)
        return GpuKernel(name, self.arch, shared, start, allow_shared, failure)


def _import_cupy() -> Any:
    try:
        return import_module("cupy")
    except ImportError as error:
        raise DeviceError(
            f"the GPU is used through CuPy, which is missing ({error}); {INSTALL}"
        ) from None


def _open_device(cupy: Any, number: int) -> Any:
    """The device, which is then the one that CuPy works on."""
    runtime = cupy.cuda.runtime
    driver, needed = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        raise DeviceError("no NVIDIA driver is installed here, or no GPU; nvidia-smi shows them")
    if driver // 1000 < needed // 1000:
        raise DeviceError(
            f"this CuPy is made for CUDA {needed // 1000}, the driver is for CUDA "
            f"{_version(driver)}; install cudaconvnet[cuda{driver // 1000}] in place of it, or a "
            "newer driver"
        )
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        raise DeviceError(f"no GPU: {error}") from None
    check_number(number, count)
    device = cupy.cuda.Device(number)
    device.use()
    return device


def _version(number: int) -> str:
    """12.4 for 12040."""
    return f"{number // 1000}.{number % 1000 // 10}"
