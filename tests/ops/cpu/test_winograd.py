"""Winograd's method against the plain formula: odd sizes, accuracy, and when it is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from convnet.geometry import Window
from convnet.neurons import IDENT
from convnet.ops.cpu import CpuOps, conv, winograd, winograd_wgrad
from convnet.ops.cpu.jit import INFINITY, ZERO
from convnet.ops.reference import ReferenceOps
from convnet.ops.winograd import SIZES, matrices

# The errors that are promised, relative to the largest number of the result.
FORWARD, GRADIENTS = 1e-4, 1e-3

# Channels, height, width, filters, filter size, ...; and the number of images.
CASES = {
    "one tile": (Window(1, 6, 6, 1, 3), 1),
    "smaller than a tile": (Window(2, 3, 2, 3, 3, padding=1), 7),
    "partial tiles": (Window(5, 9, 11, 7, 3, padding=1), 19),
    "unpadded": (Window(3, 7, 8, 9, 3), 33),
    "padded by more than the filter": (Window(3, 4, 5, 4, 3, padding=3), 5),
    "given number of windows": (Window(2, 5, 6, 3, 3, padding=1, modules=9), 7),
    "several blocks, panels and lanes": (Window(40, 13, 13, 72, 3, padding=1), 40),
    "two groups": (Window(6, 8, 7, 10, 3, padding=1, groups=2), 16),
    "5x5": (Window(4, 8, 7, 6, 5, padding=2, groups=2), 16),
    "5x5, unpadded": (Window(3, 7, 6, 9, 5), 33),
    "5x5, a pixel of padding": (Window(2, 3, 3, 3, 5, padding=1), 7),
    "5x5, several blocks": (Window(48, 11, 9, 36, 5, padding=2), 35),
}
every_case = pytest.mark.parametrize("case", CASES)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def assert_near(got: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    scale = np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


def reference(name: str, shape: tuple[int, ...], *arguments: Any, add: bool) -> np.ndarray:
    """What the operation in float64 writes over ones."""
    result = np.ones(shape)
    wide = [a.astype(np.float64) if isinstance(a, np.ndarray) else a for a in arguments]
    getattr(ReferenceOps(np.float64), name)(*wide, result, add)
    return result


@every_case
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("biases_for", ["filters", "outputs"])
def test_fprop(case: str, biases_for: str, add: bool) -> None:
    g, n = CASES[case]
    images, filters = random(*g.images_shape, n), random(*g.conv_filters_shape)
    biases = random(g.filters, 1 if biases_for == "filters" else g.out_pixels)
    expected = reference(
        "conv_fprop", (*g.acts_shape, n), g, images, filters, biases, IDENT, add=add
    )
    for low in (-INFINITY, ZERO):
        acts = np.ones((*g.acts_shape, n), np.float32)
        winograd.fprop(g, images, filters, biases, low, INFINITY, acts, add)
        assert_near(acts, np.maximum(expected, low), FORWARD)


@every_case
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_gradients(case: str, add: bool, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if large:
        monkeypatch.setattr(winograd_wgrad, "PARTS_FLOATS", 0)
    monkeypatch.setattr(winograd_wgrad, "CACHE_FLOATS", 0)
    monkeypatch.setattr(winograd_wgrad, "BLOCK_FLOATS", 0)
    g, n = CASES[case]
    images, filters = random(*g.images_shape, n), random(*g.conv_filters_shape)
    acts_grad = random(*g.acts_shape, n)
    images_grad, filters_grad = np.ones_like(images), np.ones_like(filters)
    winograd.dgrad(g, filters, acts_grad, images_grad, add)
    winograd.wgrad(g, images, acts_grad, filters_grad, add)
    expected = reference("conv_dgrad", images.shape, g, filters, acts_grad, add=add)
    assert_near(images_grad, expected, GRADIENTS)
    expected = reference("conv_wgrad", filters.shape, g, images, acts_grad, add=add)
    assert_near(filters_grad, expected, GRADIENTS)


@pytest.mark.parametrize("size", SIZES)
def test_accuracy_of_a_large_layer(size: int) -> None:
    """The stated errors hold with room to spare where sums are long."""
    g, n = Window(128, 9, 9, 64, size, padding=1), 64
    images, filters = random(*g.images_shape, n), random(*g.conv_filters_shape)
    acts_grad = random(*g.acts_shape, n)
    results: list[list[np.ndarray]] = []
    for kernels in (winograd, conv):
        acts, images_grad, filters_grad = map(np.empty_like, (acts_grad, images, filters))
        biases = np.zeros((g.filters, 1), np.float32)
        kernels.fprop(g, images, filters, biases, -INFINITY, INFINITY, acts, False)
        kernels.dgrad(g, filters, acts_grad, images_grad, False)
        kernels.wgrad(g, images, acts_grad, filters_grad, False)
        results.append([acts, images_grad, filters_grad])
    for got, expected, most in zip(*results, (FORWARD, GRADIENTS, GRADIENTS), strict=True):
        assert_near(got, expected, most / 3)


@pytest.mark.parametrize(("size", "side"), [(3, 6), (5, 6), (5, 8)])
def test_matrices(size: int, side: int) -> None:
    """A tile of one dimension: a correlation, in any order of sums exact for whole numbers."""
    A, G, B = matrices(size, side)
    image, filter_ = np.arange(len(B)) ** 2.0 - 7, np.arange(size) - 1.5
    result = A.T @ ((G @ filter_) * (B @ image))
    np.testing.assert_allclose(result, np.correlate(image, filter_, "valid"), rtol=1e-12)
    assert (B.astype(np.float32) == B).all()


def test_where_it_is_taken() -> None:
    taken = {
        "many channels": Window(64, 27, 27, 64, 3, padding=1),
        "5x5": Window(64, 12, 12, 64, 5, padding=2),
        "pictures, 5x5": Window(3, 32, 32, 32, 5, padding=2),
    }
    not_taken = {
        "pictures, 3x3": Window(3, 32, 32, 32, 3, padding=1),
        "small groups": Window(64, 27, 27, 64, 3, padding=1, groups=16),
        "stride": Window(64, 27, 27, 64, 3, padding=1, stride=2),
        "other sizes": Window(64, 27, 27, 64, 7, padding=3),
        "rows padded otherwise": Window(64, 27, 27, 64, 3, padding=1, padding_y=0),
        "a row": Window(64, 27, 27, 64, 3, padding=1, filter_size_y=1),
        "most of a tile unused": Window(64, 1, 1, 64, 3, padding=1),
    }
    assert {name for name, g in (taken | not_taken).items() if winograd.is_faster(g)} == set(taken)


OPS = CpuOps()
G = Window(40, 13, 11, 48, 3, padding=1)
LARGE: dict[str, tuple[Callable[[np.ndarray], None], tuple[int, ...]]] = {
    "fprop": (
        lambda y: OPS.conv_fprop(
            G, random(*G.images_shape, 70), random(*G.conv_filters_shape), None, IDENT, y
        ),
        (*G.acts_shape, 70),
    ),
    "dgrad": (
        lambda y: OPS.conv_dgrad(G, random(*G.conv_filters_shape), random(*G.acts_shape, 70), y),
        (*G.images_shape, 70),
    ),
    "wgrad": (
        lambda y: OPS.conv_wgrad(G, random(*G.images_shape, 70), random(*G.acts_shape, 70), y),
        G.conv_filters_shape,
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_results_do_not_depend_on_the_threads(name: str) -> None:
    assert winograd.is_faster(G)
    operation, shape = LARGE[name]
    results = []
    threads = numba.get_num_threads()
    for count in (1, threads):
        numba.set_num_threads(count)
        results.append(np.full(shape, np.nan, np.float32))
        operation(results[-1])
    numba.set_num_threads(threads)
    assert np.isfinite(results[0]).all()
    np.testing.assert_array_equal(*results)
