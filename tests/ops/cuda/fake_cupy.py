"""As much of CuPy as the driver uses, on a machine with two GPUs that exist here only."""

from __future__ import annotations

import ctypes
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

    def __init__(self, cupy: FakeCupy, values: np.ndarray) -> None:
        self.cupy, self.values = cupy, values
        self.shape, self.size, self.dtype = values.shape, values.size, values.dtype
        self.data = SimpleNamespace(copy_from_host_async=self.copy_from_host_async)

    def reshape(self, *shape) -> FakeArray:
        return FakeArray(self.cupy, self.values.reshape(*shape))

    def __getitem__(self, part: slice) -> FakeArray:
        return FakeArray(self.cupy, self.values[part])

    def set(self, values: np.ndarray) -> None:
        assert values.shape == self.shape
        assert values.dtype == self.dtype
        assert values.flags.c_contiguous
        self.cupy.log.append(f"set in {self.cupy.stream}")
        self.values[...] = values

    def copy_from_host_async(self, address: int, size: int, *, stream: FakeStream) -> None:
        assert size == self.values.nbytes
        self.cupy.log.append(f"copy in {stream}")
        source = (ctypes.c_float * self.size).from_address(address)
        self.values[...] = np.ctypeslib.as_array(source).reshape(self.shape)


class FakeEvent:
    def __init__(self, cupy: FakeCupy, disable_timing: bool) -> None:
        assert disable_timing
        self.cupy = cupy
        cupy.events += 1
        self.name = f"event {cupy.events}"

    def synchronize(self) -> None:
        self.cupy.fail_if_broken()
        self.cupy.log.append(f"host waits for {self.name}")


class FakeGraph:
    def __init__(self, cupy: FakeCupy, launches: list) -> None:
        self.cupy, self.launches = cupy, launches

    def upload(self, *, stream: FakeStream) -> None:
        self.cupy.log.append(f"graph of {len(self.launches)} to {stream}")

    def launch(self, *, stream: FakeStream) -> None:
        self.cupy.log.append(f"graph of {len(self.launches)} in {stream}")


class FakeStream:
    """Streams are named "null", "stream 1", "stream 2" in the log."""

    def __init__(self, cupy: FakeCupy, name: str) -> None:
        self.cupy, self.name = cupy, name
        self.captured: list | None = None

    def __str__(self) -> str:
        return self.name

    def __enter__(self) -> None:
        self.before, self.cupy.stream = self.cupy.stream, self

    def __exit__(self, *error) -> None:
        self.cupy.stream = self.before

    def record(self, event: FakeEvent) -> None:
        self.cupy.log.append(f"{event.name} in {self}")

    def wait_event(self, event: FakeEvent) -> None:
        self.cupy.log.append(f"{self} waits for {event.name}")

    def begin_capture(self) -> None:
        self.captured = []

    def end_capture(self) -> FakeGraph:
        captured, self.captured = self.captured, None
        assert captured is not None
        if self.cupy.broken:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed")
        return FakeGraph(self.cupy, captured)


class FakeFunction:
    shared_size_bytes = 1024
    max_dynamic_shared_size_bytes = 48 * 1024 - 1024

    def __init__(self, cupy: FakeCupy) -> None:
        self.cupy = cupy
        self.launches: list[tuple] = []

    def __call__(self, grid, block, args, *, shared_mem) -> None:
        if shared_mem > self.max_dynamic_shared_size_bytes or block == (666,):
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        assert isinstance(args, tuple)
        if self.cupy.stream.captured is not None:
            self.cupy.stream.captured.append(self)
            return
        self.cupy.log.append(f"kernel in {self.cupy.stream}")
        self.launches.append((grid, block, args, shared_mem))


class FakeModule:
    def __init__(self, cupy: FakeCupy, *, code: str, options: tuple[str, ...]) -> None:
        self.cupy = cupy
        self.code, self.options = code, options
        self.functions: dict[str, FakeFunction] = {}

    def compile(self) -> None:
        if "syntax error" in self.code:
            raise CompileException("bad.cu(3): error: expected a ';'")

    def get_function(self, name: str) -> FakeFunction:
        if name not in self.code:
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return self.functions.setdefault(name, FakeFunction(self.cupy))


class FakeDevice:
    def __init__(self, cupy: FakeCupy, number: int) -> None:
        self.cupy, self.number = cupy, number
        self.compute_capability = str(cupy.arch)
        self.attributes = {"MultiProcessorCount": 132}

    def use(self) -> None:
        self.cupy.used = self.number

    def synchronize(self) -> None:
        self.cupy.fail_if_broken()


class FakeCupy:
    """The module `cupy`."""

    def __init__(self, driver: int = 13000, arch: int = 90, free: int = 2**20) -> None:
        self.arch = arch
        self.used: int | None = None
        self.broken = False
        self.free, self.pooled = free, 0
        self.modules: list[FakeModule] = []
        self.log: list[str] = []
        self.streams = self.events = 0
        self.stream = FakeStream(self, "null")
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
            Stream=self.new_stream,
            Event=lambda **arguments: FakeEvent(self, **arguments),
            alloc_pinned_memory=bytearray,
        )

    def count_devices(self) -> int:
        if self.arch == 0:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return 2

    def new_stream(self) -> FakeStream:
        self.streams += 1
        return FakeStream(self, f"stream {self.streams}")

    def fail_if_broken(self) -> None:
        if self.broken:
            raise CUDARuntimeError("cudaErrorIllegalAddress: an illegal memory access")

    def get_default_memory_pool(self) -> SimpleNamespace:
        return SimpleNamespace(free_bytes=lambda: self.pooled)

    def empty(self, size: int, dtype: type) -> FakeArray:
        assert self.stream.name == "stream 1"
        if size * np.dtype(dtype).itemsize > self.free:
            raise OutOfMemoryError
        values = np.empty(size, dtype)
        values.view(np.uint8)[:] = 255
        return FakeArray(self, values)

    def asnumpy(self, array: FakeArray) -> np.ndarray:
        self.fail_if_broken()
        self.log.append(f"download in {self.stream}")
        return array.values.copy()

    def RawModule(self, **arguments) -> FakeModule:
        self.modules.append(FakeModule(self, **arguments))
        return self.modules[-1]
