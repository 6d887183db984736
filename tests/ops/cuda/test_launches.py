"""Launches of more blocks than 65535, where a grid's second and third dimension end.

One test for each kind of launch, see kernels/common.cuh, on the smallest arrays that take so many
blocks, with operations whose results are plain.
"""

from __future__ import annotations

import numpy as np
import pytest

from convnet.geometry import Pool, Window
from convnet.neurons import IDENT, Neuron
from convnet.ops.base import Ops
from convnet.ops.cuda.driver import MAX_GRID
from convnet.ops.cuda.launch import BLOCK, LANES
from tests.helpers import emulated_ops
from tests.ops.check import apply, numbers

HEIGHT, WIDTH = 256, 257
MANY = HEIGHT * WIDTH
assert max(MAX_GRID[1:]) < MANY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ops() -> Ops:
    return emulated_ops()


def random(*shape: int) -> np.ndarray:
    return numbers(np.random.default_rng(0), *shape)


def float32_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a.astype(np.float32) * b.astype(np.float32)).astype(np.float64)


# Filters of one pixel and one image: everything is a product of two numbers.
LOCAL = Window(1, HEIGHT, WIDTH, 1, 1)
LOCAL_IMAGES, LOCAL_FILTERS = random(1, HEIGHT, WIDTH, 1), random(MANY, 1)[::-1].copy()
LOCAL_ACTS = float32_product(LOCAL_IMAGES, LOCAL_FILTERS.reshape(LOCAL_IMAGES.shape))


def test_local_fprop(ops: Ops) -> None:
    given = {"images": LOCAL_IMAGES, "filters": LOCAL_FILTERS, "biases": None, "neuron": IDENT}
    found = apply(ops, "local_fprop", g=LOCAL, **given, acts=LOCAL_ACTS.shape)["acts"]
    np.testing.assert_array_equal(found, LOCAL_ACTS)


def test_local_dgrad(ops: Ops) -> None:
    given = {"filters": LOCAL_FILTERS, "acts_grad": LOCAL_IMAGES}
    found = apply(ops, "local_dgrad", g=LOCAL, **given, images_grad=LOCAL_ACTS.shape)
    np.testing.assert_array_equal(found["images_grad"], LOCAL_ACTS)


def test_local_wgrad(ops: Ops) -> None:
    given = {"images": LOCAL_IMAGES, "acts_grad": LOCAL_FILTERS.reshape(LOCAL_IMAGES.shape)}
    found = apply(ops, "local_wgrad", g=LOCAL, **given, filters_grad=LOCAL_FILTERS.shape)
    np.testing.assert_array_equal(found["filters_grad"], LOCAL_ACTS.reshape(-1, 1))


def test_fc_dgrad(ops: Ops) -> None:
    """Tiles of 64 rows."""
    weights, acts_grad = random(64 * MANY, 1), np.array([[3.0]])
    found = apply(ops, "fc_dgrad", weights=weights, acts_grad=acts_grad, inputs_grad=weights.shape)
    np.testing.assert_array_equal(found["inputs_grad"], float32_product(weights, acts_grad))


def test_numbers(ops: Ops) -> None:
    inputs = random(1, MANY * BLOCK)
    given = {"neuron": Neuron("abs"), "inputs": inputs}
    found = apply(ops, "neuron_fprop", **given, acts=inputs.shape)["acts"]
    np.testing.assert_array_equal(found, np.abs(inputs))


def test_rows(ops: Ops) -> None:
    """Windows of one pixel."""
    images = random(1, HEIGHT, WIDTH, 1)
    g = Pool(1, HEIGHT, WIDTH, 1, 1)
    found = apply(ops, "pool_max_fprop", g=g, images=images, acts=images.shape)["acts"]
    np.testing.assert_array_equal(found, images)


def test_columns(ops: Ops) -> None:
    """One class, which is certain."""
    found = apply(ops, "softmax_fprop", inputs=random(1, MANY * LANES), acts=(1, MANY * LANES))
    assert (found["acts"] == 1).all()


def test_sums_of_rows(ops: Ops) -> None:
    grads = random(MANY, 1)
    found = apply(ops, "bias_grad", acts_grad=grads, biases_grad=(MANY, 1))["biases_grad"]
    np.testing.assert_array_equal(found, grads)


def test_bounds_of_columns(ops: Ops) -> None:
    """Matrices of one number each."""
    bounds = {"modules": MANY, "low": 0.0, "high": 0.5, "centred": False}
    weights = random(MANY, 1)
    found = apply(ops, "bound_columns", weights=weights, **bounds)["weights"]
    np.testing.assert_allclose(found, np.clip(weights, -0.5, 0.5), rtol=1e-6)
