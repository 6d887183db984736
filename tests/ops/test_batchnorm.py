"""Batch normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convnet.neurons import IDENT, Neuron, parse_neuron
from convnet.ops.base import Ops
from tests import reference
from tests import reference_batchnorm as formulas
from tests.ops.check import apply, assert_close, check, numbers

EPS = 1e-3
RELU = parse_neuron("relu")

# One number, less than a vector, several blocks and parts; the last with odd ends.
every_shape = pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (3, 4, 5, 7), (5, 1, 1, 33), (2, 7, 9, 130), (1, 33, 31, 40)]
)


def make_layer(shape: tuple[int, ...], seed: int = 0) -> dict[str, Any]:
    """Images of different means and variances, and what goes with them."""
    rng = np.random.default_rng(seed)
    images = numbers(rng, *shape) * np.arange(1, shape[0] + 1).reshape(-1, 1, 1, 1) + 0.5
    return {
        "images": images,
        "statistics": formulas.stats(images),
        "gammas": numbers(rng, 1, shape[0]),
        "betas": numbers(rng, 1, shape[0]),
        "eps": EPS,
    }


@every_shape
def test_stats(ops: Ops, shape: tuple[int, ...]) -> None:
    images = make_layer(shape)["images"]
    got = apply(ops, "batchnorm_stats", images=images, statistics=(2, shape[0]))
    assert_close(ops, got["statistics"], formulas.stats(images), "statistics")


@pytest.mark.parametrize("mean", [1000, -1e5])
def test_stats_of_numbers_that_are_far_from_zero(ops: Ops, mean: float) -> None:
    """The variance of float32 numbers, whose squares have no digits left for it."""
    images = (mean + numbers(np.random.default_rng(3), 2, 9, 11, 130)).astype(np.float32)
    expected = formulas.stats(images.astype(np.float64))
    got = apply(ops, "batchnorm_stats", images=images, statistics=(2, 2))["statistics"]
    np.testing.assert_allclose(got, expected, rtol=1e-5 if ops.dtype == np.float32 else 1e-11)


def test_stats_of_equal_numbers(ops: Ops) -> None:
    images = np.full((2, 3, 5, 140), np.float32(1000.1), np.float64)
    got = apply(ops, "batchnorm_stats", images=images, statistics=(2, 2))["statistics"]
    np.testing.assert_allclose(got[0], np.float32(1000.1), rtol=1e-6)
    assert (got[1] >= 0).all()
    assert (got[1] < 1e-8).all()


@every_shape
@pytest.mark.parametrize("neuron", [IDENT, RELU, parse_neuron("tanh[1.5,0.5]")], ids=str)
@pytest.mark.parametrize("with_others", [False, True])
def test_fprop(ops: Ops, shape: tuple[int, ...], neuron: Neuron, with_others: bool) -> None:
    layer = make_layer(shape)
    others = numbers(np.random.default_rng(1), *shape) if with_others else None
    sums = formulas.fprop(**layer) + (others if others is not None else 0)
    expected = reference.neuron_fprop(neuron, sums)
    check(ops, "batchnorm_fprop", expected, **layer, neuron=neuron, others=others)


def masked(layer: dict[str, Any], acts_grad: np.ndarray, relu: bool) -> np.ndarray:
    return acts_grad * (formulas.fprop(**layer) > 0) if relu else acts_grad


@every_shape
@pytest.mark.parametrize("relu", [False, True])
def test_gradients(ops: Ops, shape: tuple[int, ...], relu: bool) -> None:
    layer = make_layer(shape)
    acts_grad = numbers(np.random.default_rng(2), *shape)
    grad = masked(layer, acts_grad, relu)
    expected, sums = formulas.bprop(layer["images"], layer["gammas"], grad, EPS)
    common = {**layer, "acts_grad": acts_grad, "relu": relu}
    check(ops, "batchnorm_sums", sums, **common)
    check(ops, "batchnorm_dgrad", expected, **common, sums=sums)


@every_shape
@pytest.mark.parametrize("relu", [False, True])
def test_gradient_with_constant_statistics(ops: Ops, shape: tuple[int, ...], relu: bool) -> None:
    layer = make_layer(shape)
    layer["statistics"] = np.ones((2, shape[0])) * [[0.5], [2]]
    acts_grad = numbers(np.random.default_rng(2), *shape)
    slopes = (layer["gammas"] / np.sqrt(2 + EPS)).reshape(-1, 1, 1, 1)
    expected = slopes * masked(layer, acts_grad, relu)
    check(ops, "batchnorm_dgrad", expected, **layer, acts_grad=acts_grad, relu=relu, sums=None)


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_track(ops: Ops, count: int) -> None:
    rng = np.random.default_rng(4)
    statistics, running = numbers(rng, 2, 5), numbers(rng, 2, 5)
    expected = 0.75 * running + 0.25 * statistics
    expected[1] += 0.25 * statistics[1] / max(1, count - 1)
    arguments = {"statistics": statistics, "rate": 0.25, "count": count}
    got = apply(ops, "batchnorm_track", **arguments, running=running)
    if count > 1:
        assert_close(ops, got["running"], expected, "batchnorm_track")
    else:  # one number has no unbiased variance
        assert_close(ops, got["running"], 0.75 * running + 0.25 * statistics, "batchnorm_track")
