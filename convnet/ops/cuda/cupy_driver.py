"""A GPU through CuPy, whose RawModule compiles the kernels by NVRTC at run time.

CuPy is imported here only, when a driver is made, so that nothing else needs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from convnet.errors import DeviceError
from convnet.ops.cuda.driver import (
    LOWEST_ARCH,
    OPT_IN_SHARED,
    SHARED,
    check_launch,
    compiler_options,
    source_file,
)
from convnet.resources import find_folder

INSTALL = "pip install 'cudaconvnet[cuda12]' or 'cudaconvnet[cuda13]', whichever nvidia-smi names"


class CupyDriver:
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
        self.arch = int(self._device.compute_capability)
        if self.arch < LOWEST_ARCH:
            raise DeviceError(
                f"GPU {device} has compute capability {_dotted(self.arch)}; the kernels need "
                f"{_dotted(LOWEST_ARCH)} or higher"
            )
        self._sources = sources or find_folder("kernels")
        self._modules: dict[tuple[object, ...], Any] = {}
        self._kernels: dict[tuple[object, ...], CupyKernel] = {}

    def empty(self, size: int) -> Any:
        try:
            return self._cupy.empty(size, np.float32)
        except self._cupy.cuda.memory.OutOfMemoryError:
            free, _ = self._cupy.cuda.runtime.memGetInfo()
            raise DeviceError(
                f"out of memory on the GPU: {4 * size / 2**20:.1f} MiB needed, "
                f"{free / 2**20:.1f} MiB free; try a smaller --mini or smaller layers"
            ) from None

    def upload(self, source: np.ndarray, target: Any) -> None:
        if source.size != target.size:
            raise DeviceError(f"upload: {source.shape} does not fit into {target.shape}")
        target.reshape(-1).set(np.ascontiguousarray(source, np.float32).reshape(-1))

    def download(self, source: Any) -> np.ndarray:
        host: np.ndarray = self._cupy.asnumpy(source)
        return host

    def kernel(self, file: str, name: str, **constants: int | float) -> CupyKernel:
        constants_key = tuple(sorted(constants.items()))
        key = (file, name, *constants_key)
        if key not in self._kernels:
            module = self._modules.get((file, *constants_key))
            if module is None:
                module = self._compile(file, constants)
                self._modules[(file, *constants_key)] = module
            try:
                function = module.get_function(name)
            except self._cupy.cuda.driver.CUDADriverError as error:
                raise DeviceError(f"kernels/{file}.cu: kernel '{name}': {error}") from None
            self._kernels[key] = CupyKernel(self._cupy, function, name, self.arch)
        return self._kernels[key]

    def _compile(self, file: str, constants: dict[str, int | float]) -> Any:
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

    def synchronize(self) -> None:
        try:
            self._device.synchronize()
        except self._cupy.cuda.runtime.CUDARuntimeError as error:
            raise DeviceError(f"a kernel failed on the GPU: {error}") from None


class CupyKernel:
    """See convnet.ops.cuda.driver.Kernel."""

    def __init__(self, cupy: Any, function: Any, name: str, arch: int) -> None:
        self._errors = cupy.cuda.driver.CUDADriverError
        self._function = function
        self._name = name
        self._static_shared = int(function.shared_size_bytes)
        # A newer device than we know has at least what all have.
        self._most_shared = OPT_IN_SHARED.get(arch, SHARED // 1024) * 1024

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int = 0
    ) -> None:
        check_launch(self._name, grid, block, self._static_shared + shared, self._most_shared)
        try:
            if self._static_shared + shared > SHARED:
                self._function.max_dynamic_shared_size_bytes = shared
            self._function(grid, block, tuple(args), shared_mem=shared)
        except self._errors as error:
            raise DeviceError(
                f"kernel '{self._name}', grid {grid}, block {block}: {error}"
            ) from None


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
    if not 0 <= number < count:
        raise DeviceError(f"there is no GPU {number}; this machine has {count}, counted from 0")
    device = cupy.cuda.Device(number)
    device.use()
    return device


def _dotted(arch: int) -> str:
    return f"{arch // 10}.{arch % 10}"


def _version(number: int) -> str:
    """12.4 for 12040."""
    return f"{number // 1000}.{number % 1000 // 10}"
