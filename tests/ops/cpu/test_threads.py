"""Results are the same bit for bit, again and with any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

from convnet.api import set_threads
from convnet.errors import OptionError
from convnet.geometry import Pool, Window
from convnet.neurons import parse_neuron
from convnet.ops.cpu import CpuOps
from convnet.resampling import Resampling, gaussian

OPS, RELU = CpuOps(), parse_neuron("relu")
# Large enough that the work is shared: see jit.SHARED.
G = Window(3, 13, 11, 40, 3, 1, 2)
N = 70
POINTWISE = Window(40, 6, 5, 3, 1, 0, 2, 1, 3)
BLUR = Resampling(3, gaussian(13, 5, 1.5), gaussian(11, 5, 1.5))


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


IMAGES, ACTS = random(*G.images_shape, N), random(*G.acts_shape, N)
CONV, LOCAL, MATRIX = random(*G.conv_filters_shape), random(*G.local_filters_shape), random(429, 50)
ROWS = random(50, N)
WEIGHTS, SEEN = random(*POINTWISE.conv_filters_shape), random(*POINTWISE.acts_shape, N)

OPERATIONS: dict[str, tuple[Callable[[np.ndarray], None], tuple[int, ...]]] = {
    "conv_fprop": (lambda y: OPS.conv_fprop(G, IMAGES, CONV, None, RELU, y), ACTS.shape),
    "conv_dgrad": (lambda y: OPS.conv_dgrad(G, CONV, ACTS, y), IMAGES.shape),
    "conv_wgrad": (lambda y: OPS.conv_wgrad(G, IMAGES, ACTS, y), CONV.shape),
    "pointwise_fprop": (
        lambda y: OPS.conv_fprop(POINTWISE, ACTS[:, :6, :5].copy(), WEIGHTS, None, RELU, y),
        SEEN.shape,
    ),
    "pointwise_dgrad": (
        lambda y: OPS.conv_dgrad(POINTWISE, WEIGHTS, SEEN, y),
        (*POINTWISE.images_shape, N),
    ),
    "pointwise_wgrad": (
        lambda y: OPS.conv_wgrad(POINTWISE, ACTS[:, :6, :5].copy(), SEEN, y),
        WEIGHTS.shape,
    ),
    "local_fprop": (lambda y: OPS.local_fprop(G, IMAGES, LOCAL, None, RELU, y), ACTS.shape),
    "local_dgrad": (lambda y: OPS.local_dgrad(G, LOCAL, ACTS, y), IMAGES.shape),
    "local_wgrad": (lambda y: OPS.local_wgrad(G, IMAGES, ACTS, y), LOCAL.shape),
    "fc_fprop": (
        lambda y: OPS.fc_fprop(IMAGES.reshape(429, N), MATRIX, None, RELU, y),
        ROWS.shape,
    ),
    "fc_dgrad": (lambda y: OPS.fc_dgrad(MATRIX, ROWS, y), (429, N)),
    "fc_wgrad": (lambda y: OPS.fc_wgrad(IMAGES.reshape(429, N), ROWS, y), MATRIX.shape),
    "bias_grad": (lambda y: OPS.bias_grad(ACTS, y), (40,)),
    "pool_max_fprop": (
        lambda y: OPS.pool_max_fprop(Pool(3, 13, 11, 3, 2), IMAGES, y),
        (3, 6, 5, N),
    ),
    "resample_fprop": (lambda y: OPS.resample_fprop(BLUR, IMAGES, y), IMAGES.shape),
}


@pytest.fixture
def _threads() -> Iterator[None]:
    threads = numba.get_num_threads()
    yield
    numba.set_num_threads(threads)


def run(name: str) -> np.ndarray:
    operation, shape = OPERATIONS[name]
    result = np.full(shape, np.nan, np.float32)
    operation(result)
    return result


@pytest.mark.usefixtures("_threads")
@pytest.mark.parametrize("name", OPERATIONS)
def test_results_do_not_depend_on_the_threads(name: str) -> None:
    expected = run(name)
    assert np.isfinite(expected).all()
    for threads in {1, numba.config.NUMBA_NUM_THREADS}:
        numba.set_num_threads(threads)
        np.testing.assert_array_equal(run(name), expected)


@pytest.mark.usefixtures("_threads")
def test_number_of_threads() -> None:
    set_threads(1)
    assert numba.get_num_threads() == 1
    with pytest.raises(OptionError, match=r"must be from 1 to .*; found 0"):
        set_threads(0)


def test_two_python_threads_at_once() -> None:
    names = ["conv_fprop", "conv_wgrad", "fc_fprop"] * 4
    expected = {name: run(name) for name in set(names)}
    with ThreadPoolExecutor(2) as pool:
        for name, result in zip(names, pool.map(run, names), strict=True):
            np.testing.assert_array_equal(result, expected[name])
