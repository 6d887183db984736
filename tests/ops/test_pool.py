"""Pooling: borders, starts, ties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convnet.geometry import Pool
from convnet.ops.base import Ops
from tests import reference
from tests.ops.check import apply, check, numbers, tied_numbers

# Channels, height, width, window, stride, start, outputs; and the number of images.
CASES = {
    "smallest": (Pool(1, 1, 1, 1, 1), 1),
    "disjoint": (Pool(3, 6, 8, 2, 2), 7),
    "overlapping, last window clipped": (Pool(5, 8, 6, 3, 2), 33),
    "stride 1": (Pool(2, 5, 4, 3, 1), 16),
    "stride 3, last window clipped": (Pool(2, 8, 11, 4, 3), 1),
    "negative start": (Pool(3, 5, 7, 3, 2, start=-1), 7),
    "positive start": (Pool(2, 7, 6, 3, 2, start=1), 7),
    "more outputs than cover the image": (Pool(2, 6, 5, 3, 2, start=-2, outputs=3), 7),
    "fewer outputs than cover the image": (Pool(2, 9, 8, 3, 2, outputs=2), 7),
    "stride beyond the window": (Pool(2, 8, 7, 2, 3), 5),
    "whole image": (Pool(3, 4, 4, 4, 1), 7),
    "wide, more rows of them": (
        Pool(2, 5, 7, 4, 2, start=-1, outputs=3, size_y=2, start_y=0, outputs_y=3),
        7,
    ),
    "tall and thin": (Pool(2, 8, 5, 1, 1, size_y=8), 7),
    "rows of one column": (Pool(2, 7, 3, 3, 2, tall=True), 7),
    "rows of one column, negative start": (Pool(1, 5, 4, 3, 2, start=-1, outputs=3, tall=True), 5),
    "larger than a tile": (Pool(70, 4, 3, 3, 2), 130),
}
every_case = pytest.mark.parametrize("case", CASES)

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "max": ("pool_max", {}),
    "maxabs": ("pool_max", {"magnitude": True}),
    "avg": ("pool_avg", {"divide": True}),
    "sum": ("pool_avg", {"divide": False}),
    "l2": ("pool_l2", {}),
}


@every_case
@pytest.mark.parametrize("kind", KINDS)
def test_fprop(ops: Ops, kind: str, case: str) -> None:
    g, n = CASES[case]
    images = numbers(np.random.default_rng(1), *g.images_shape, n)
    name, arguments = KINDS[kind]
    expected = reference.pool_fprop(g, kind, images)
    assert expected.shape == (*g.acts_shape, n)
    check(ops, f"{name}_fprop", expected, g=g, images=images, **arguments)


@every_case
@pytest.mark.parametrize("draw", [numbers, tied_numbers])
@pytest.mark.parametrize("kind", ["max", "maxabs"])
def test_max_bprop(ops: Ops, kind: str, case: str, draw: Callable[..., np.ndarray]) -> None:
    g, n = CASES[case]
    rng = np.random.default_rng(2)
    images, acts_grad = draw(rng, *g.images_shape, n), numbers(rng, *g.acts_shape, n)
    acts = reference.pool_fprop(g, kind, images)
    expected = reference.pool_bprop(g, kind, images, acts_grad)
    check(ops, "pool_max_bprop", expected, g=g, images=images, acts=acts, acts_grad=acts_grad)


@every_case
@pytest.mark.parametrize("kind", ["avg", "sum"])
def test_avg_bprop(ops: Ops, kind: str, case: str) -> None:
    g, n = CASES[case]
    rng = np.random.default_rng(3)
    images, acts_grad = numbers(rng, *g.images_shape, n), numbers(rng, *g.acts_shape, n)
    expected = reference.pool_bprop(g, kind, images, acts_grad)
    check(ops, "pool_avg_bprop", expected, g=g, divide=kind == "avg", acts_grad=acts_grad)


@every_case
@pytest.mark.parametrize("draw", [numbers, tied_numbers])
def test_l2_bprop(ops: Ops, case: str, draw: Callable[..., np.ndarray]) -> None:
    g, n = CASES[case]
    rng = np.random.default_rng(4)
    images, acts_grad = draw(rng, *g.images_shape, n), numbers(rng, *g.acts_shape, n)
    acts = reference.pool_fprop(g, "l2", images)
    expected = reference.pool_bprop(g, "l2", images, acts_grad)
    check(ops, "pool_l2_bprop", expected, g=g, images=images, acts=acts, acts_grad=acts_grad)


def test_length_of_a_window_of_zeros_has_no_slope(ops: Ops) -> None:
    """Nor is the slope of tiny numbers beyond 1."""
    g = Pool(1, 1, 4, 1, 1)
    images = np.array([0.0, 1e-18, -1e-18, 3.0]).reshape(1, 1, 4, 1)
    acts = apply(ops, "pool_l2_fprop", g=g, images=images, acts=images.shape)["acts"]
    got = apply(
        ops,
        "pool_l2_bprop",
        g=g,
        images=images,
        acts=acts,
        acts_grad=np.full_like(images, 5.0),
        images_grad=images.shape,
    )
    assert got["images_grad"].ravel() == pytest.approx([0, 5, -5, 5], rel=1e-5)


def test_every_tied_pixel_gets_the_whole_gradient(ops: Ops) -> None:
    g = Pool(1, 2, 2, 2, 1)
    images = np.array([3.0, 3.0, -1.0, 3.0]).reshape(1, 2, 2, 1)
    acts, acts_grad = np.full((1, 1, 1, 1), 3.0), np.full((1, 1, 1, 1), 5.0)
    got = apply(
        ops,
        "pool_max_bprop",
        g=g,
        images=images,
        acts=acts,
        acts_grad=acts_grad,
        images_grad=images.shape,
    )
    assert got["images_grad"].ravel().tolist() == [5, 5, 0, 5]


def test_of_equal_magnitudes_the_last_counts(ops: Ops) -> None:
    """And the gradient goes to all pixels that have its sign too."""
    g = Pool(1, 2, 2, 2, 1)
    images = np.array([-3.0, 3.0, 1.0, -3.0]).reshape(1, 2, 2, 1)
    got = apply(ops, "pool_max_fprop", g=g, images=images, acts=(1, 1, 1, 1), magnitude=True)
    assert got["acts"].item() == -3
    got = apply(
        ops,
        "pool_max_bprop",
        g=g,
        images=images,
        acts=got["acts"],
        acts_grad=np.full((1, 1, 1, 1), 5.0),
        images_grad=images.shape,
    )
    assert got["images_grad"].ravel().tolist() == [5, 0, 0, 5]


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_with_a_nan(ops: Ops, kind: str) -> None:
    images = np.array([1.0, np.nan, -7.0, 2.0]).reshape(1, 2, 2, 1)
    g = Pool(1, 2, 2, 2, 1)
    name, arguments = KINDS[kind]
    got = apply(ops, f"{name}_fprop", g=g, images=images, acts=(1, 1, 1, 1), **arguments)
    assert np.isnan(got["acts"]).all()


def test_mean_is_over_existing_pixels(ops: Ops) -> None:
    g = Pool(1, 3, 3, 2, 2)  # the last windows are a row, a column, and one pixel
    images = np.arange(1.0, 10).reshape(1, 3, 3, 1)
    got = apply(ops, "pool_avg_fprop", g=g, divide=True, images=images, acts=(1, 2, 2, 1))
    assert got["acts"].ravel().tolist() == [3, 4.5, 7.5, 9]


def test_maximum_of_negative_numbers_at_the_border(ops: Ops) -> None:
    """Pixels that do not exist count for nothing, not for zero."""
    g = Pool(1, 3, 3, 2, 2, start=-1)
    images = -np.arange(1.0, 10).reshape(1, 3, 3, 1)
    got = apply(ops, "pool_max_fprop", g=g, images=images, acts=(1, 2, 2, 1))
    assert got["acts"].ravel().tolist() == [-1, -2, -4, -5]
