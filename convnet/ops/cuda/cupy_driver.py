"""A GPU through CuPy, whose RawModule compiles the kernels by NVRTC at run time.

CuPy is imported here only, when a driver is made, so that nothing else needs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from convnet.errors import DeviceError
from convnet.ops.cuda.driver import Constant, compiler_options, source_file
from convnet.ops.cuda.gpu import GpuDriver, GpuKernel, check_number, out_of_memory

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

    def empty(self, size: int) -> Any:
        try:
            return self._cupy.empty(size, np.float32)
        except self._cupy.cuda.memory.OutOfMemoryError:
            free, _ = self._cupy.cuda.runtime.memGetInfo()
            raise out_of_memory(4 * size, free) from None

    def download(self, source: Any) -> np.ndarray:
        host: np.ndarray = self._cupy.asnumpy(source)
        return host

    def synchronize(self) -> None:
        try:
            self._device.synchronize()
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"a kernel failed on the GPU: {error}") from None

    def _write(self, source: np.ndarray, target: Any) -> None:
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
