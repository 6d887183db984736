"""The PyCUDA driver, on a stand-in for PyCUDA."""

from __future__ import annotations

import ctypes
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from convnet.errors import DeviceError
from convnet.ops.cuda import pycuda_driver
from convnet.ops.cuda.pycuda_driver import PycudaDriver


class FakeError(Exception):
    pass


class OutOfMemoryError(FakeError, MemoryError):
    pass


class FakeArray:
    def __init__(self, data: np.ndarray) -> None:
        self.data = data
        self.shape, self.size, self.dtype = data.shape, data.size, data.dtype
        self.gpudata = data.ctypes.data

    def reshape(self, *shape) -> FakeArray:
        return FakeArray(self.data.reshape(*shape))

    def set(self, values: np.ndarray) -> None:
        assert values.shape == self.shape
        assert values.dtype == self.dtype
        self.data[...] = values

    def get(self) -> np.ndarray:
        return self.data.copy()


class FakeFunction:
    shared_size_bytes = 0

    def __init__(self, name: str, log: list[str]) -> None:
        if name == "absent":
            raise FakeError("cuModuleGetFunction failed: named symbol not found")
        self.log = log
        self.asked: dict[str, int] = {}

    def set_attribute(self, attribute: str, value: int) -> None:
        self.asked[attribute] = value

    def prepare(self, types: list[str]) -> None:
        self.types = types

    def prepared_async_call(self, grid, block, stream, *args, shared_size) -> None:
        if grid == (666, 1, 1):
            raise FakeError("cuLaunchKernel failed: invalid argument")
        self.log.append(f"kernel in {stream.name}")
        self.launch = (grid, block, args, shared_size)


@pytest.fixture
def machine(monkeypatch):
    """Two GPUs with 1 MiB of memory, or another number and what the test changes."""
    state = SimpleNamespace(count=2, capability=(8, 6), pushed=[], failing=None, modules=[])
    state.functions, state.log = {}, []
    names = (f"stream {i}" for i in range(1, 9))

    def fail_if(what: str) -> None:
        if state.failing == what:
            raise FakeError(f"{what} failed")

    class Device:
        def __init__(self, number: int) -> None:
            self.number = number

        @staticmethod
        def count() -> int:
            return state.count

        def compute_capability(self) -> tuple[int, int]:
            return state.capability

        def get_attribute(self, attribute: str) -> int:
            return {"multiprocessors": 82}[attribute]

        def retain_primary_context(self) -> SimpleNamespace:
            return SimpleNamespace(push=lambda: state.pushed.append(self.number))

    class Event:
        def __init__(self, flags: int) -> None:
            assert flags == 2

        def record(self, stream: SimpleNamespace) -> None:
            state.log.append(f"event in {stream.name}")

        def synchronize(self) -> None:
            fail_if("synchronize")
            state.log.append("host waits")

    def stream() -> SimpleNamespace:
        name = next(names)
        return SimpleNamespace(
            name=name, wait_for_event=lambda event: state.log.append(f"{name} waits")
        )

    def copy(target: int, source: np.ndarray, stream: SimpleNamespace) -> None:
        ctypes.memmove(target, source.ctypes.data, source.nbytes)
        state.log.append(f"copy in {stream.name}")

    def pagelocked_empty(size: int, dtype: type) -> np.ndarray:
        fail_if("pinned")
        return np.empty(size, dtype)

    def module_from_buffer(code: bytes) -> SimpleNamespace:
        fail_if("load")
        state.modules.append(code)
        return SimpleNamespace(get_function=find)

    def find(name: str) -> FakeFunction:
        state.functions[name] = FakeFunction(name, state.log)
        return state.functions[name]

    def empty(size: int, dtype: type) -> FakeArray:
        if size * np.dtype(dtype).itemsize > 2**20:
            raise OutOfMemoryError
        return FakeArray(np.zeros(size, dtype))

    driver, gpuarray = ModuleType("pycuda.driver"), ModuleType("pycuda.gpuarray")
    driver.__dict__.update(
        Error=FakeError,
        MemoryError=OutOfMemoryError,
        Device=Device,
        init=lambda: fail_if("init"),
        mem_get_info=lambda: (2**20, 2**21),
        module_from_buffer=module_from_buffer,
        device_attribute=SimpleNamespace(MULTIPROCESSOR_COUNT="multiprocessors"),
        function_attribute=SimpleNamespace(MAX_DYNAMIC_SHARED_SIZE_BYTES="shared"),
        Stream=stream,
        Event=Event,
        event_flags=SimpleNamespace(DISABLE_TIMING=2),
        pagelocked_empty=pagelocked_empty,
        memcpy_htod_async=copy,
        Context=SimpleNamespace(synchronize=lambda: fail_if("synchronize")),
    )
    gpuarray.__dict__["empty"] = empty
    monkeypatch.setitem(sys.modules, "pycuda", ModuleType("pycuda"))
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    monkeypatch.setitem(sys.modules, "pycuda.gpuarray", gpuarray)
    monkeypatch.setattr(
        pycuda_driver,
        "compile_cubin",
        lambda source, options, arch: (f"{source.name} {options[2:]} {arch}".encode(), []),
    )
    return state


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "pool.cu").touch()
    return tmp_path


def test_opens_the_device_that_is_asked_for(machine, sources):
    driver = PycudaDriver(1, sources)
    assert (driver.name, driver.arch, driver.multiprocessors) == ("pycuda", 86, 82)
    assert machine.pushed == [1]


def test_copies(machine, sources):
    driver = PycudaDriver(0, sources)
    array = driver.empty(6).reshape(2, 3)
    driver.upload(np.arange(6.0), array)
    assert driver.download(array).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert driver.empty(6, np.uint8).dtype == np.uint8
    driver.synchronize()


def test_compiles_for_the_device_and_launches(machine, sources):
    driver = PycudaDriver(0, sources)
    kernel = driver.kernel("pool", "max_pool", SIZE=3)
    assert machine.modules == [b"pool.cu ['-DSIZE=(3)'] 86"]
    array = driver.empty(4)
    kernel((2,), (32, 8), [array, np.float32(1), np.int32(2), driver.empty(0)], shared=50000)
    function = machine.functions["max_pool"]
    assert function.types == ["P", "f", "i", "P"]
    assert function.launch == ((2, 1, 1), (32, 8, 1), (array.gpudata, 1, 2, 0), 50000)
    assert function.asked == {"shared": 50000}


def test_the_order_of_kernels_and_copies(machine, sources):
    driver = PycudaDriver(0, sources)
    kernel, target, host = driver.kernel("pool", "max_pool"), driver.empty(6), driver.pinned(6)
    host[:] = np.arange(6)
    kernel((1,), (1,), [])
    copied = driver.start_upload(host, target, driver.record())
    driver.wait(copied)
    kernel((1,), (1,), [])
    driver.finish(copied)
    driver.start_upload(host, target, None)
    assert driver.download(target).tolist() == [0, 1, 2, 3, 4, 5]
    assert machine.log == [
        "kernel in stream 1",
        "event in stream 1",
        "stream 2 waits",
        "copy in stream 2",
        "event in stream 2",
        "stream 1 waits",
        "kernel in stream 1",
        "host waits",
        "copy in stream 2",
        "event in stream 2",
    ]


def test_no_graphs(machine, sources):
    assert PycudaDriver(0, sources).capture(lambda: None) is None


def test_what_fails_is_told(machine, sources):
    driver = PycudaDriver(0, sources)
    with pytest.raises(DeviceError, match=r"4\.0 MiB needed, 1\.0 MiB free"):
        driver.empty(2**20)
    with pytest.raises(DeviceError, match=r"kernels/pool.cu: kernel 'absent': cuModuleGet"):
        driver.kernel("pool", "absent")
    with pytest.raises(DeviceError, match=r"kernel 'max_pool', grid \(666,\).*cuLaunchKernel"):
        driver.kernel("pool", "max_pool")((666,), (32,), [])
    machine.failing = "pinned"
    with pytest.raises(DeviceError, match=r"no page-locked memory for 8 bytes: pinned failed"):
        driver.pinned(2)
    machine.failing = "load"
    with pytest.raises(DeviceError, match=r"pool.cu cannot be loaded: load failed"):
        driver.kernel("pool", "max_pool", SIZE=3)
    machine.failing = "synchronize"
    with pytest.raises(DeviceError, match="a kernel failed on the GPU: synchronize failed"):
        driver.synchronize()


def test_machine_that_will_not_do(machine, sources, monkeypatch):
    with pytest.raises(DeviceError, match="no GPU 2; this machine has 2"):
        PycudaDriver(2, sources)
    machine.capability = (7, 0)
    with pytest.raises(DeviceError, match=r"compute capability 7.0; the kernels need 7.5"):
        PycudaDriver(0, sources)
    machine.failing = "init"
    with pytest.raises(DeviceError, match="no GPU: init failed"):
        PycudaDriver(0, sources)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(DeviceError, match=r"PyCUDA is missing or finds no NVIDIA driver"):
        PycudaDriver(0, sources)
