"""Kernels that are right give the right numbers, in every mode and order, without findings.

And on a GPU, where there is one.
"""

from __future__ import annotations

import numpy as np
import pytest

from convnet.errors import DeviceError
from convnet.ops.cuda.cupy_driver import CupyDriver
from tests.ops.cuda.helpers import SOURCES, make_driver, on

F, I = np.float32, np.int32  # noqa: E741
MODES = ("fast", "check", "sanitize")
SCHEDULES = ("forward", "reverse", "3")


@pytest.fixture(params=["gpu", *(f"{m} {s}" for m in MODES for s in SCHEDULES)])
def driver(request):
    if request.param != "gpu":
        return make_driver(*request.param.split())
    try:
        return CupyDriver(sources=SOURCES)
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_elementwise_with_a_part_of_a_block(driver, random):
    x, y = random.standard_normal((2, 517), F)
    out = on(driver, y)
    driver.kernel("good", "square_add", TILE=16)((3,), (256,), [on(driver, x), out, F(2), I(517)])
    np.testing.assert_allclose(driver.download(out), 2 * x * x + y, rtol=1e-6)


@pytest.mark.parametrize("tile", [8, 16])
def test_matrix_product_through_static_shared_memory(driver, random, tile):
    m, n, k = 37, 19, 21
    a, b = random.standard_normal((m, k), F), random.standard_normal((k, n), F)
    out = driver.empty(m * n)
    grid = (-(-n // tile), -(-m // tile))
    args = [on(driver, a), on(driver, b), out, I(m), I(n), I(k)]
    driver.kernel("good", "matmul", TILE=tile)(grid, (tile, tile), args)
    np.testing.assert_allclose(driver.download(out).reshape(m, n), a @ b, rtol=1e-4, atol=1e-5)


def test_sums_through_shuffles_and_dynamic_shared_memory(driver, random):
    x = random.standard_normal((5, 333), F)
    out = driver.empty(5)
    kernel = driver.kernel("good", "row_sums", TILE=16)
    kernel((5,), (128,), [on(driver, x), out, I(333)], shared=16)
    np.testing.assert_allclose(driver.download(out), x.sum(1), rtol=1e-5, atol=1e-5)


def test_warps_need_no_barrier(driver, random):
    x = random.standard_normal((2, 32), F)
    out = driver.empty(64)
    driver.kernel("good", "reverse_warps", TILE=16)((1,), (64,), [on(driver, x), out])
    np.testing.assert_array_equal(driver.download(out).reshape(2, 32), x[:, ::-1])


def test_atomic_counts(driver, random):
    x = random.uniform(0, 8, 1000).astype(F)
    out = on(driver, np.zeros(8, F))
    driver.kernel("good", "histogram", TILE=16)((4,), (256,), [on(driver, x), out, I(1000)])
    np.testing.assert_array_equal(driver.download(out), np.bincount(x.astype(int)))


def test_vectors_bytes_and_every_kind_of_argument(driver, random):
    x = random.standard_normal((33, 4), F)
    out = driver.empty(128)
    args = [on(driver, x), out, np.float64(0.5), np.uint32(255), np.uint64(1)]
    driver.kernel("good", "scale4", TILE=16)((1,), (32,), args)
    expected = x[1:] * 0.5 * [1, 2, 3, 4]
    np.testing.assert_allclose(driver.download(out).reshape(32, 4), expected, rtol=1e-6)


def test_shared_arrays_in_templates(driver, random):
    x = random.standard_normal(32, F)
    out = driver.empty(32)
    driver.kernel("good", "neighbours", TILE=16)((1,), (32,), [on(driver, x), out])
    expected = (x + np.roll(x, -1)) * np.repeat([2, 1], 16) + driver.arch
    np.testing.assert_allclose(driver.download(out), expected, rtol=1e-6)


@pytest.mark.parametrize("kernel", ["reverse_ahead", "reverse_far_ahead"])
def test_copies_that_go_on_meanwhile(driver, random, kernel):
    x = random.standard_normal((5, 64), F)
    out = driver.empty(5 * 64)
    driver.kernel("good", kernel, TILE=16)((1,), (64,), [on(driver, x), out, I(5)])
    np.testing.assert_array_equal(driver.download(out).reshape(5, 64), x[:, ::-1])


def test_votes_and_shuffles_within_groups(driver, random):
    x = random.standard_normal(32, F)
    out = driver.empty(32)
    driver.kernel("good", "votes", TILE=16)((1,), (32,), [on(driver, x), out])
    i = np.arange(32)
    lanes = x[np.where(i % 8, i - 1, i)] + x[i ^ 4] + x[i // 8 * 8]
    expected = (x > 0) + 4 + 8 * lanes
    np.testing.assert_allclose(driver.download(out), expected, rtol=1e-5, atol=1e-5)
