"""The emulated driver is as strict as a GPU: launches, arguments, arrays, constants."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.errors import DeviceError
from convnet.ops.cuda.driver import definitions
from convnet.ops.cuda.emulated import EmulatedDriver, build
from tests.ops.cuda.helpers import SOURCES, make_driver, on

F, I = np.float32, np.int32  # noqa: E741


@pytest.fixture
def driver():
    return make_driver()


@pytest.fixture
def square_add(driver):
    return driver.kernel("good", "square_add", TILE=16)


def test_constants_become_definitions():
    given = {"N": np.int64(3), "ON": True, "SCALE": 0.1, "LOW": -1e-5}
    assert definitions(given) == ["-DLOW=(-1e-05f)", "-DN=(3)", "-DON=(1)", "-DSCALE=(0.1f)"]
    assert definitions({"NODES": (0.5, -2.0)}) == ["-DNODES={0.5f,-2.0f}"]
    for value in (np.nan, np.inf, "3", (1.0, np.nan)):
        with pytest.raises(DeviceError, match="constant N must be a finite number; found"):
            definitions({"N": value})


def test_arrays_are_views_of_device_memory(driver):
    array = on(driver, np.arange(12))
    assert (array.size, array.shape, array.dtype) == (12, (12,), np.float32)
    part = array[4:10].reshape(2, 3)
    assert part.shape == (2, 3)
    driver.upload(np.zeros((2, 3), np.float64), part)
    assert driver.download(array).tolist() == [0, 1, 2, 3, *[0] * 6, 10, 11]
    assert part.reshape(-1).shape == part.reshape((6,)).shape == (6,)
    with pytest.raises(DeviceError, match=r"contiguous: only a\[start:stop\] of one dimension"):
        part[0:1]
    with pytest.raises(DeviceError, match="device arrays are contiguous"):
        array[::2]
    with pytest.raises(DeviceError, match=r"upload: \(5,\) does not fit into \(12,\)"):
        driver.upload(np.zeros(5), array)


def test_arrays_of_another_type(driver):
    array = driver.empty(7, np.uint8)
    assert (array.dtype, driver.download(array).tolist()) == (np.uint8, [255] * 7)
    driver.upload(np.arange(7.0), array)
    assert driver.download(array[2:]).tolist() == [2, 3, 4, 5, 6]


def test_arrays_are_no_host_arrays(driver):
    with pytest.raises(TypeError):
        np.asarray(driver.empty(3))


def test_download_is_a_copy(driver):
    array = on(driver, np.zeros(3))
    driver.download(array)[:] = 1
    assert driver.download(array).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("position", "argument", "expected", "found"),
    [
        (0, np.zeros(4, F), "a device array of numpy.float32", "numpy.ndarray"),
        (1, F(0), "a device array of numpy.float32", "numpy.float32"),
        (2, 2.0, "numpy.float32", "builtins.float"),
        (2, np.float64(2), "numpy.float32", "numpy.float64"),
        (3, 4, "numpy.int32", "builtins.int"),
        (3, np.int64(4), "numpy.int32", "numpy.int64"),
        (3, np.uint32(4), "numpy.int32", "numpy.uint32"),
        (3, None, "numpy.int32", "builtins.NoneType"),
    ],
)
def test_kind_of_argument(driver, square_add, position, argument, expected, found):
    args = [driver.empty(4), driver.empty(4), F(2), I(4)]
    args[position] = argument
    says = f"kernel 'square_add', argument {position}: expected {expected}; found {found}"
    with pytest.raises(DeviceError, match=says):
        square_add((1,), (32,), args)


def test_type_of_the_numbers_in_an_array(driver, square_add):
    args = [driver.empty(4, np.uint8), driver.empty(4), F(2), I(4)]
    says = "expected a device array of numpy.float32; found a device array of numpy.uint8"
    with pytest.raises(DeviceError, match=says):
        square_add((1,), (32,), args)
    floats = [driver.empty(128), driver.empty(128), np.float64(1), np.uint32(0), np.uint64(0)]
    driver.kernel("good", "scale4", TILE=16)((1,), (32,), floats)  # float4 are of float


def test_number_of_arguments(driver, square_add):
    with pytest.raises(DeviceError, match="'square_add' takes 4 arguments; found 1"):
        square_add((1,), (32,), [driver.empty(4)])


def test_address_for_wide_loads(driver):
    x, out = driver.empty(132), driver.empty(128)
    args = [x[1:129], out, np.float64(1), np.uint32(255), np.uint64(0)]
    with pytest.raises(DeviceError, match="argument 0: its address must be a multiple of 16"):
        driver.kernel("good", "scale4", TILE=16)((1,), (32,), args)


@pytest.mark.parametrize(
    ("grid", "block", "shared", "says"),
    [
        ((0,), (1,), 0, r"grid must be one to three sizes between 1 and .* found \(0,\)"),
        ((1, 65536), (1,), 0, r"grid must be .* 65535, 65535\); found \(1, 65536\)"),
        ((1,) * 4, (1,), 0, r"grid must be one to three sizes"),
        ((1,), (1, 1, 65), 0, r"block must be .* \(1024, 1024, 64\); found \(1, 1, 65\)"),
        ((1,), (64, 32), 0, r"a block has at most 1024 threads; found 2048 in \(64, 32\)"),
        ((1,), (512,), 0, r"blocks of at most 256 threads \(__launch_bounds__\); found 512"),
        ((1,), (1,), 170000, r"at most 166912 bytes of shared memory .*; found 170000"),
    ],
)
def test_limits_of_a_launch(driver, square_add, grid, block, shared, says):
    with pytest.raises(DeviceError, match=f"kernel 'square_add'.* {says}"):
        square_add(grid, block, [driver.empty(4), driver.empty(4), F(2), I(4)], shared)


def test_shared_memory_depends_on_the_architecture():
    driver = make_driver(arch=75)
    args = [driver.empty(4), driver.empty(4), F(2), I(4)]
    with pytest.raises(DeviceError, match="at most 65536 bytes"):
        driver.kernel("good", "square_add", TILE=16)((1,), (32,), args, 65537)


def test_static_and_dynamic_shared_memory_count_together():
    driver = make_driver()
    args = [*(driver.empty(256) for _ in range(3)), I(16), I(16), I(16)]
    matmul = driver.kernel("good", "matmul", TILE=16)  # declares 16 x 16 and 16 x 17 floats
    with pytest.raises(DeviceError, match="found 166913"):
        matmul((1,), (16, 16), args, 166913 - 4 * 16 * 33)


def test_kernels_are_kept(driver, square_add):
    assert driver.kernel("good", "square_add", TILE=16) is square_add
    assert driver.kernel("good", "square_add", TILE=8) is not square_add


def test_kernel_or_file_that_is_not_there(driver):
    with pytest.raises(DeviceError, match="kernel 'cube' is not among square_add, matmul"):
        driver.kernel("good", "cube", TILE=16)
    with pytest.raises(DeviceError, match=r"absent.cu: no such file of kernels"):
        driver.kernel("absent", "cube")


def test_file_that_does_not_compile(driver):
    """A constant that is not given: the compiler says where."""
    says = r"(?s)good.cu does not compile:\n.*good.cu:\d+:\d+: error: .*TILE"
    with pytest.raises(DeviceError, match=says):
        driver.kernel("good", "matmul")


def test_no_compiler(monkeypatch):
    monkeypatch.setattr(build, "COMPILER", "no-such-compiler")
    with pytest.raises(DeviceError, match="no-such-compiler, which is not installed here"):
        EmulatedDriver(sources=SOURCES).kernel("good", "matmul", TILE=4)


def test_mode_and_schedule_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("CONVNET_EMULATED", "check")
    assert EmulatedDriver(sources=SOURCES).mode == "check"
    assert EmulatedDriver("fast", sources=SOURCES).mode == "fast"
    monkeypatch.setenv("CONVNET_EMULATED", "quick")
    with pytest.raises(
        DeviceError, match="mode must be one of fast, check, sanitize, count; found 'quick'"
    ):
        EmulatedDriver(sources=SOURCES)
    monkeypatch.delenv("CONVNET_EMULATED")
    monkeypatch.setenv("CONVNET_EMULATED_SCHEDULE", "backward")
    with pytest.raises(DeviceError, match="schedule must be forward, reverse or a number; found"):
        EmulatedDriver(sources=SOURCES)
    with pytest.raises(DeviceError, match=r"arch must be one of 75, 80, .*; found 61"):
        EmulatedDriver(schedule="forward", arch=61, sources=SOURCES)


def test_order_of_blocks_and_threads():
    """Who writes last wins: a race, on purpose, to see the order."""

    def last(schedule: str) -> float:
        driver = make_driver(schedule=schedule)
        x, out = on(driver, np.arange(64)), driver.empty(32)
        driver.kernel("bugs", "two_writers")((1,), (64,), [x, out])
        return driver.download(out)[5]

    assert last("forward") == 11
    assert last("reverse") == 10
    assert {last(str(seed)) for seed in range(8)} == {10, 11}
