"""As much of CuPy as the driver uses, on a machine with two GPUs that exist here only."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


class CUDARuntimeError(RuntimeError):
    pass


class CUDADriverError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class CompileException(Exception):  # noqa: N818 - CuPy calls it so
    pass


class FakeArray:
    """A device array: no numpy array, but a view of one that the tests can look at."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data
        self.shape, self.size, self.dtype = data.shape, data.size, data.dtype

    def reshape(self, *shape) -> FakeArray:
        return FakeArray(self.data.reshape(*shape))

    def set(self, values: np.ndarray) -> None:
        assert values.shape == self.shape
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
        self.data[...] = values


class FakeFunction:
    shared_size_bytes = 1024
    max_dynamic_shared_size_bytes = 48 * 1024 - 1024

    def __init__(self) -> None:
        self.launches: list[tuple] = []

    def __call__(self, grid, block, args, *, shared_mem) -> None:
        if shared_mem > self.max_dynamic_shared_size_bytes or block == (666,):
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        assert isinstance(args, tuple)
        self.launches.append((grid, block, args, shared_mem))


class FakeModule:
    def __init__(self, *, code: str, options: tuple[str, ...]) -> None:
        self.code, self.options = code, options
        self.functions: dict[str, FakeFunction] = {}

    def compile(self) -> None:
        if "syntax error" in self.code:
            raise CompileException("bad.cu(3): error: expected a ';'")

    def get_function(self, name: str) -> FakeFunction:
        if name not in self.code:
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return self.functions.setdefault(name, FakeFunction())


class FakeDevice:
    def __init__(self, cupy: FakeCupy, number: int) -> None:
        self.cupy, self.number = cupy, number
        self.compute_capability = str(cupy.arch)
        self.attributes = {"MultiProcessorCount": 132}

    def use(self) -> None:
        self.cupy.used = self.number

    def synchronize(self) -> None:
        if self.cupy.broken:
            raise CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access")


class FakeCupy:
    """The module `cupy`."""

    def __init__(self, driver: int = 13000, arch: int = 90, free: int = 2**20) -> None:
        self.arch = arch
        self.used: int | None = None
        self.broken = False
        self.free = free
        self.modules: list[FakeModule] = []
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError,
                driverGetVersion=lambda: driver,
                runtimeGetVersion=lambda: 13020,
                getDeviceCount=self.count_devices,
                memGetInfo=lambda: (self.free, 2 * self.free),
            ),
            driver=SimpleNamespace(CUDADriverError=CUDADriverError),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            compiler=SimpleNamespace(CompileException=CompileException),
            Device=lambda number: FakeDevice(self, number),
        )

    def count_devices(self) -> int:
        if self.arch == 0:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return 2

    def empty(self, size: int, dtype: type) -> FakeArray:
        if 4 * size > self.free:
            raise OutOfMemoryError
        return FakeArray(np.full(size, np.nan, dtype))

    def asnumpy(self, array: FakeArray) -> np.ndarray:
        return array.data.copy()

    def RawModule(self, **arguments) -> FakeModule:
        self.modules.append(FakeModule(**arguments))
        return self.modules[-1]
