"""The update of the weights, and the bounds of their norms."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.ops.base import Ops
from tests import reference
from tests.ops.check import apply, assert_close, numbers


@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (70, 131)], ids=str)
@pytest.mark.parametrize(("momentum", "decay"), [(0.0, 0.0), (0.9, 0.0), (0.9, 0.004)])
def test_sgd(ops: Ops, shape: tuple[int, ...], momentum: float, decay: float) -> None:
    rng = np.random.default_rng(1)
    weights, increments, gradients = (numbers(rng, *shape) for _ in range(3))
    rule = {"momentum": momentum, "rate": 0.125, "decay": decay, "cases": 48}
    expected = reference.sgd(weights, increments, gradients, **rule)
    got = apply(ops, "sgd", weights=weights, increments=increments, gradients=gradients, **rule)
    assert_close(ops, got["weights"], expected[0], "weights")
    assert_close(ops, got["increments"], expected[1], "increments")


def test_decay_takes_part_in_momentum(ops: Ops) -> None:
    weights, increments, gradients = np.ones((1, 1)), np.zeros((1, 1)), np.zeros((1, 1))
    rule = {"momentum": 0.5, "rate": 0.5, "decay": 0.25, "cases": 1}
    for _ in range(2):
        got = apply(ops, "sgd", weights=weights, increments=increments, gradients=gradients, **rule)
        weights, increments = got["weights"], got["increments"]
    assert increments.item() == -0.5 * 0.125 - 0.125 * 0.875
    assert weights.item() == 0.875 + increments.item()


@pytest.mark.parametrize("limit", [0.5, 5.0, 1e6])
@pytest.mark.parametrize("shape", [(1, 1), (7, 133)], ids=str)
def test_clip_norm(ops: Ops, shape: tuple[int, ...], limit: float) -> None:
    rng = np.random.default_rng(1)
    gradients, squares = numbers(rng, *shape), numbers(rng, 300) ** 2
    norm = sum(squares.tolist()) ** 0.5
    expected = gradients * (limit / norm if norm > limit else 1)
    got = apply(ops, "clip_norm", gradients=gradients, squares=squares, limit=limit)
    assert_close(ops, got["gradients"], expected, "gradients")
    if limit > norm:
        np.testing.assert_array_equal(got["gradients"], gradients)


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("low", "high"), [(2.0, 2.0), (0.0, 1.5), (0.75, 1.25)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 7), (6, 4, 33), (1, 90, 200)], ids=str)
def test_bound_columns(
    ops: Ops, shape: tuple[int, int, int], low: float, high: float, centred: bool
) -> None:
    modules, rows, columns = shape
    rng = np.random.default_rng(1)
    # Norms on both sides of the bounds, and a column of zeros.
    weights = numbers(rng, *shape) * 2.0 ** rng.integers(-4, 2, (modules, 1, columns))
    weights *= (rows if centred else 1) / np.sqrt(rows)
    weights[0, :, columns // 2] = 0
    expected = weights.copy()
    for m in range(modules):
        for c in range(columns):
            column = weights[m, :, c]
            mean = sum(column) / rows if centred else 0
            norm = sum((w - mean) ** 2 for w in column) ** 0.5 / (rows if centred else 1)
            if norm > 0:
                wanted = low if norm < low else high if norm > high else norm
                expected[m, :, c] = column * wanted / norm
    flat = weights.reshape(modules * rows, columns)
    bounds = {"modules": modules, "low": low, "high": high, "centred": centred}
    got = apply(ops, "bound_columns", weights=flat, **bounds)
    assert_close(ops, got["weights"], expected.reshape(flat.shape), "bound_columns")
