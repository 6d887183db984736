"""The update of the weights."""

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
