"""The CuPy driver, on a stand-in for CuPy: what it asks of it, and what it says when it fails."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from convnet.errors import DeviceError
from convnet.ops.cuda.cupy_driver import CupyDriver
from tests.errors.devices import DEVICES
from tests.ops.cuda.fake_cupy import FakeCupy


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "common.cuh").write_text("// one")
    (tmp_path / "pool.cu").write_text("max_pool")
    (tmp_path / "bad.cu").write_text("syntax error")
    return tmp_path


@pytest.fixture
def cupy(monkeypatch):
    return install(monkeypatch)


def install(monkeypatch, **arguments) -> FakeCupy:
    fake = FakeCupy(**arguments)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    return fake


def test_opens_the_device_that_is_asked_for(cupy, sources):
    driver = CupyDriver(1, sources)
    assert (driver.name, driver.arch, driver.multiprocessors) == ("cupy", 90, 132)
    assert cupy.used == 1


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_copies_convert_to_the_type_of_the_array(cupy, sources, dtype):
    driver = CupyDriver(0, sources)
    array = driver.empty(6, dtype).reshape(2, 3)
    assert array.dtype == dtype
    values = np.arange(6.0).reshape(3, 2).T
    driver.upload(values, array)
    np.testing.assert_array_equal(driver.download(array), values)
    with pytest.raises(DeviceError, match=r"upload: \(5,\) does not fit into \(2, 3\)"):
        driver.upload(np.zeros(5), array)


def test_compiles_once_for_each_set_of_constants(cupy, sources):
    driver = CupyDriver(0, sources)
    kernel = driver.kernel("pool", "max_pool", SIZE=3, SCALE=0.5)
    assert driver.kernel("pool", "max_pool", SCALE=0.5, SIZE=3) is kernel
    assert driver.kernel("pool", "pool", SCALE=0.5, SIZE=3) is not kernel
    driver.kernel("pool", "max_pool", SIZE=2)
    first, second = cupy.modules
    assert first.options == ("-std=c++17", f"-I{sources}", "-DSCALE=(0.5f)", "-DSIZE=(3)")
    assert second.options[2:] == ("-DSIZE=(2)",)


def test_compiles_anew_when_a_header_changes(cupy, sources):
    """CuPy looks at the text of the source alone."""
    CupyDriver(0, sources).kernel("pool", "max_pool")
    (sources / "common.cuh").write_text("// two")
    CupyDriver(0, sources).kernel("pool", "max_pool")
    first, second = cupy.modules
    assert first.code != second.code


def test_launches(cupy, sources):
    kernel = CupyDriver(0, sources).kernel("pool", "max_pool")
    kernel((2, 3), (32,), [np.float32(1)], shared=100)
    (function,) = cupy.modules[0].functions.values()
    assert function.launches == [((2, 3), (32,), (np.float32(1),), 100)]


def test_asks_for_much_shared_memory(cupy, sources):
    kernel = CupyDriver(0, sources).kernel("pool", "max_pool")
    kernel((1,), (1,), [], shared=200 * 1024)
    with pytest.raises(DeviceError, match=r"at most 232448 bytes .* found 257024"):
        kernel((1,), (1,), [], shared=250 * 1024)


def test_failed_launch(cupy, sources):
    kernel = CupyDriver(0, sources).kernel("pool", "max_pool")
    with pytest.raises(DeviceError, match=r"kernel 'max_pool', grid \(1,\), block \(666,\): CUDA_"):
        kernel((1,), (666,), [])


@pytest.mark.parametrize("mistake", DEVICES, ids=lambda mistake: mistake.did)
def test_mistake(monkeypatch, sources, mistake):
    if mistake.machine is None:
        monkeypatch.setitem(sys.modules, "cupy", None)
    else:
        install(monkeypatch, **mistake.machine)
    with pytest.raises(DeviceError) as caught:
        mistake.act(CupyDriver(mistake.device, sources))
    pattern = re.escape(mistake.says).replace(re.escape("..."), ".*")
    assert re.fullmatch(pattern, str(caught.value)), caught.value


def test_no_negative_device(cupy, sources):
    with pytest.raises(DeviceError, match="no GPU -1; this machine has 2, counted from 0"):
        CupyDriver(-1, sources)


def test_kernel_or_file_that_is_not_there(cupy, sources):
    driver = CupyDriver(0, sources)
    with pytest.raises(DeviceError, match=r"kernels/pool.cu: kernel 'other': CUDA_ERROR_NOT_FOUND"):
        driver.kernel("pool", "other")
    with pytest.raises(DeviceError, match=r"conv.cu: no such file of kernels"):
        driver.kernel("conv", "other")


def test_the_order_of_kernels_and_copies(cupy, sources):
    """A copy is in a stream of its own; each waits for the other where it is told to."""
    driver = CupyDriver(0, sources)
    kernel, target = driver.kernel("pool", "max_pool"), driver.empty(6).reshape(2, 3)
    host = driver.pinned(6)
    host[:] = np.arange(6)
    kernel((1,), (1,), [])
    taken = driver.record()
    copied = driver.start_upload(host.reshape(2, 3), target, taken)
    driver.wait(copied)
    kernel((1,), (1,), [])
    driver.finish(copied)
    driver.start_upload(host.reshape(2, 3), target, None)
    driver.upload(host, target)
    assert driver.download(target).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert cupy.log == [
        "kernel in stream 1",
        "event 1 in stream 1",
        "stream 2 waits for event 1",
        "copy in stream 2",
        "event 2 in stream 2",
        "stream 1 waits for event 2",
        "kernel in stream 1",
        "host waits for event 2",
        "copy in stream 2",
        "event 3 in stream 2",
        "set in stream 1",
        "download in stream 1",
    ]


def test_a_graph(cupy, sources):
    driver = CupyDriver(0, sources)
    kernel = driver.kernel("pool", "max_pool")

    def run() -> None:
        kernel((1,), (1,), [])
        kernel((2,), (1,), [])

    replay = driver.capture(run)
    assert cupy.log == ["graph of 2 to stream 1"]
    replay()
    kernel((3,), (1,), [])
    assert cupy.log[1:] == ["graph of 2 in stream 1", "kernel in stream 1"]


def test_a_graph_that_cuda_refuses(cupy, sources):
    """Kernels are then started one by one, and a warning says so."""
    driver = CupyDriver(0, sources)
    cupy.broken = True
    with pytest.warns(UserWarning, match="kernels are started one by one, as cudaErrorStreamCapt"):
        assert driver.capture(lambda: None) is None


def test_free_memory_is_that_of_the_pool_too(cupy, sources):
    driver = CupyDriver(0, sources)
    cupy.free, cupy.pooled = 1000, 24
    assert driver.free_memory() == 1024


def test_a_failure_shows_where_the_host_waits(cupy, sources):
    driver = CupyDriver(0, sources)
    array, event = driver.empty(4), driver.record()
    cupy.broken = True
    for wait in (lambda: driver.finish(event), lambda: driver.download(array)):
        with pytest.raises(DeviceError, match="a kernel failed on the GPU: cudaErrorIllegal"):
            wait()
