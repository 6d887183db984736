"""The plain formula where a cache holds only a block of the channels, or few pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import numpy as np
import pytest

from convnet.geometry import Window
from convnet.neurons import parse_neuron
from convnet.ops.cpu import CpuOps, conv
from convnet.ops.reference import ReferenceOps

OPS, REFERENCE, RELU = CpuOps(), ReferenceOps(np.float64), parse_neuron("relu")
N = 17

WINDOWS = {
    "stride 2": Window(13, 9, 7, 17, 3, padding=1, stride=2),
    "groups, stride 3": Window(10, 8, 8, 18, 4, padding=2, stride=3, groups=2),
    "large images": Window(5, 3, 60, 9, 3, padding=1),
}


@pytest.fixture(autouse=True)
def _small_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(conv, "BAND_FLOATS", 1 << 12)
    conv._plans.cache_clear()
    threads = numba.get_num_threads()
    yield
    numba.set_num_threads(threads)
    conv._plans.cache_clear()


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("add", [False, True])
def test_blocks(name: str, add: bool) -> None:
    g = WINDOWS[name]
    assert all(plan.block < plan.channels for plan in conv._plans(g, False, N, 4))
    images, filters = random(*g.images_shape, N), random(*g.conv_filters_shape)
    acts, biases = random(*g.acts_shape, N), random(g.filters, 1)
    for operation, arguments, shape in (
        ("conv_fprop", (images, filters, biases, RELU), acts.shape),
        ("conv_dgrad", (filters, acts), images.shape),
        ("conv_wgrad", (images, acts), filters.shape),
    ):
        expected = np.ones(shape)
        wide = [a.astype(float) if isinstance(a, np.ndarray) else a for a in arguments]
        getattr(REFERENCE, operation)(g, *wide, expected, add)
        results = []
        for threads in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(threads)
            results.append(np.ones(shape, np.float32))
            getattr(OPS, operation)(g, *arguments, results[-1], add)
        np.testing.assert_array_equal(*results)
        assert np.abs(results[0] - expected).max() < 1e-5 * np.abs(expected).max()
