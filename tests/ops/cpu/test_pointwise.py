"""Filters of 1 x 1 as products of matrices: sizes about those of a tile, and when it is done."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.geometry import Window
from convnet.neurons import IDENT
from convnet.ops.cpu import CpuOps, pointwise
from convnet.ops.reference import ReferenceOps

OPS, REFERENCE = CpuOps(), ReferenceOps(np.float64)

# Channels, height, width, filters, filter size, ...; and the number of images.
CASES = {
    "whole tiles": (Window(16, 4, 6, 32, 1), 16),
    "partial tiles": (Window(9, 5, 7, 11, 1), 17),
    "groups, stride 2": (Window(18, 7, 5, 34, 1, stride=2, groups=2), 21),
    "several chunks of both": (Window(264, 3, 3, 272, 1), 16),
    "several parts": (Window(8, 9, 11, 8, 1), 32),
}
every_case = pytest.mark.parametrize("case", CASES)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def assert_near(got: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


@every_case
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("biases_for", ["filters", "outputs"])
def test_fprop(case: str, add: bool, biases_for: str) -> None:
    g, n = CASES[case]
    biases = random(g.filters, 1 if biases_for == "filters" else g.out_pixels)
    arguments = random(*g.images_shape, n), random(*g.conv_filters_shape), biases
    expected, got = np.ones((*g.acts_shape, n)), np.ones((*g.acts_shape, n), np.float32)
    REFERENCE.conv_fprop(g, *(a.astype(float) for a in arguments), IDENT, expected, add)
    OPS.conv_fprop(g, *arguments, IDENT, got, add)
    assert_near(got, expected)


@every_case
@pytest.mark.parametrize("add", [False, True])
def test_gradients(case: str, add: bool) -> None:
    g, n = CASES[case]
    images, filters = random(*g.images_shape, n), random(*g.conv_filters_shape)
    acts_grad = random(*g.acts_shape, n)
    for operation, arguments in (
        ("conv_dgrad", (filters, acts_grad, images)),
        ("conv_wgrad", (images, acts_grad, filters)),
    ):
        expected, got = np.ones(arguments[2].shape), np.ones_like(arguments[2])
        wide = (a.astype(float) for a in arguments[:2])
        getattr(REFERENCE, operation)(g, *wide, expected, add)
        getattr(OPS, operation)(g, *arguments[:2], got, add)
        assert_near(got, expected)


def test_where_it_is_taken() -> None:
    assert all(pointwise.is_faster(g) for g, _ in CASES.values())
    for g in (
        Window(4, 6, 6, 4, 1, padding=1),
        Window(4, 8, 8, 4, 1, stride=3),  # a last filter lies beyond the image
        Window(4, 6, 6, 4, 2),
    ):
        assert not pointwise.is_faster(g)
