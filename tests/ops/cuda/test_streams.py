"""Captures and copies of the emulated device: what is done, and what is wrong as on a GPU."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from convnet.errors import DeviceError
from convnet.ops.cuda.emulated import EmulatedDriver
from tests.ops.cuda.helpers import SOURCES, make_driver, on

F, I = np.float32, np.int32  # noqa: E741


@pytest.fixture
def driver():
    """One of its own: what a test leaves under way is nobody else's."""
    make_driver()  # or skips
    return EmulatedDriver("fast", "forward", sources=SOURCES)


def square_add(driver, x, out, value):
    """out += value x^2."""
    kernel = driver.kernel("good", "square_add", TILE=16)
    kernel((1,), (32,), [x, out, F(value), I(x.size)])


def test_a_capture_starts_nothing_until_it_is_replayed(driver):
    x, out = on(driver, np.arange(4)), on(driver, np.zeros(4))
    square_add(driver, x, out, 1)
    replay = driver.capture(lambda: square_add(driver, x, out, 2))
    assert driver.download(out).tolist() == [0, 1, 4, 9]
    driver.upload(np.ones(4), x)
    for _ in range(2):
        replay()
    assert driver.download(out).tolist() == [4, 5, 8, 13]


def test_a_number_is_frozen_in_a_capture(driver):
    x, out, value = on(driver, np.ones(4)), on(driver, np.zeros(4)), 1
    square_add(driver, x, out, value)
    replay = driver.capture(lambda: square_add(driver, x, out, value))
    value = 10
    replay()
    assert driver.download(out)[0] == 2


@pytest.mark.parametrize(
    ("what", "act"),
    [
        ("empty", lambda d, x: d.empty(4)),
        ("upload", lambda d, x: d.upload(np.zeros(4), x)),
        ("download", lambda d, x: d.download(x)),
        ("synchronize", lambda d, x: d.synchronize()),
        ("pinned", lambda d, x: d.pinned(4)),
        ("start_upload", lambda d, x: d.start_upload(np.zeros(4, F), x, None)),
        ("wait", lambda d, x: d.wait(None)),
        ("record", lambda d, x: d.record()),
        ("finish", lambda d, x: d.finish(None)),
        ("a capture", lambda d, x: d.capture(lambda: None)),
        ("compiling 'square_add'", lambda d, x: square_add(d, x, x, 1)),
    ],
)
def test_what_a_capture_cannot_hold(driver, what, act):
    x = driver.empty(4)
    with pytest.raises(DeviceError, match=f"{what}, while kernels are captured"):
        driver.capture(lambda: act(driver, x))
    driver.empty(4)  # the capture has ended


def test_a_replay_on_memory_that_was_freed(driver):
    x, out = on(driver, np.arange(4)), driver.empty(4)
    square_add(driver, x, out, 1)
    arrays = [x, out]
    replay = driver.capture(lambda: square_add(driver, *arrays, 1))
    arrays.clear()
    del x
    gc.collect()
    with pytest.raises(DeviceError, match="'square_add': was captured with an array that was fre"):
        replay()


def pinned(driver, values):
    host = driver.pinned(len(values))
    host[:] = values
    return host


def test_a_copy_is_there_when_kernels_have_waited(driver):
    host, x, out = pinned(driver, [1, 2, 3, 4]), driver.empty(4), on(driver, np.zeros(4))
    copied = driver.start_upload(host, x, driver.record())
    driver.wait(copied)
    square_add(driver, x, out, 1)
    assert driver.download(out).tolist() == [1, 4, 9, 16]


def test_kernels_that_do_not_wait_for_a_copy(driver):
    host, x, out = pinned(driver, [1, 2, 3, 4]), on(driver, np.zeros(4)), on(driver, np.zeros(4))
    driver.start_upload(host, x, driver.record())
    square_add(driver, x, out, 1)
    assert np.isnan(driver.download(out)).all()
    driver.synchronize()
    assert driver.download(x).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("wait", ["finish", "download", "synchronize"])
def test_pinned_memory_is_in_use_until_the_host_has_waited(driver, wait):
    host, x = pinned(driver, [1, 2, 3, 4]), driver.empty(4)
    copied = driver.start_upload(host, x, None)
    driver.wait(copied)  # the kernels do; the host knows nothing of that
    with pytest.raises(ValueError, match="read-only"):
        host[0] = 5
    {
        "finish": lambda: driver.finish(copied),
        "download": lambda: driver.download(x),
        "synchronize": driver.synchronize,
    }[wait]()
    host[0] = 5


def test_a_copy_that_kernels_do_not_know_of_may_go_on_after_a_download(driver):
    host, x = pinned(driver, [1, 2, 3, 4]), driver.empty(4)
    driver.start_upload(host, x, None)
    assert np.isnan(driver.download(x)).all()
    with pytest.raises(ValueError, match="read-only"):
        host[0] = 5


def test_a_copy_to_where_kernels_still_read(driver):
    host, x, out = pinned(driver, [1, 2, 3, 4]), on(driver, np.zeros(4)), driver.empty(4)
    before = driver.record()
    square_add(driver, x, out, 0)
    for after in (None, before):
        with pytest.raises(DeviceError, match="kernels use the target that it does not wait for"):
            driver.start_upload(host, x, after)
    driver.start_upload(host, x, driver.record())


def test_the_host_waits_for_kernels(driver):
    """Then copies need not."""
    host, x, out = pinned(driver, [1, 2, 3, 4]), on(driver, np.zeros(4)), driver.empty(4)
    square_add(driver, x, out, 0)
    driver.finish(driver.record())
    driver.start_upload(host, x, None)


def test_memory_that_is_not_pinned(driver):
    with pytest.raises(DeviceError, match=r"expected pinned memory of 4 .* \(4,\), not pinned"):
        driver.start_upload(np.zeros(4, F), driver.empty(4), None)
    with pytest.raises(DeviceError, match=r"expected pinned memory of 4 .* \(3,\), pinned"):
        driver.start_upload(driver.pinned(3), driver.empty(4), None)


def test_memory_is_limited(monkeypatch):
    driver = EmulatedDriver(sources=SOURCES, memory=4096)
    array = driver.empty(1000)
    assert driver.free_memory() == 96
    with pytest.raises(DeviceError, match=r"out of memory on the GPU: 0\.0 MiB needed"):
        driver.empty(25)
    del array
    gc.collect()
    assert driver.free_memory() == 4096
    monkeypatch.setenv("CONVNET_EMULATED_MEMORY", "3")
    assert EmulatedDriver(sources=SOURCES).free_memory() == 3 * 2**20
    monkeypatch.setenv("CONVNET_EMULATED_MEMORY", "3M")
    with pytest.raises(DeviceError, match="MEMORY must be a number of MiB; found '3M'"):
        EmulatedDriver(sources=SOURCES)
