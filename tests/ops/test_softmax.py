"""Softmax and the costs."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.ops.base import Ops
from tests import reference
from tests.ops.check import apply, assert_close, check, numbers, tied_numbers

# Classes, images.
sizes = pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 7), (10, 33), (70, 130)])


def labels_and_probs(rng: np.random.Generator, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    probs = reference.softmax_fprop(numbers(rng, k, n)).astype(np.float32).astype(np.float64)
    return rng.integers(0, k, (1, n)).astype(np.float64), probs


@sizes
def test_softmax_fprop(ops: Ops, k: int, n: int) -> None:
    inputs = numbers(np.random.default_rng(1), k, n)
    check(ops, "softmax_fprop", reference.softmax_fprop(inputs), inputs=inputs)


def test_softmax_of_large_inputs(ops: Ops) -> None:
    inputs = np.array([[1000.0, -1000.0], [1000.0, -1000.0], [-1000.0, 1000.0]])
    check(ops, "softmax_fprop", np.array([[0.5, 0], [0.5, 0], [0, 1]]), inputs=inputs)


@sizes
def test_softmax_bprop(ops: Ops, k: int, n: int) -> None:
    rng = np.random.default_rng(2)
    _, acts = labels_and_probs(rng, k, n)
    acts_grad = numbers(rng, k, n)
    expected = reference.softmax_bprop(acts, acts_grad)
    check(ops, "softmax_bprop", expected, acts=acts, acts_grad=acts_grad)


@sizes
@pytest.mark.parametrize("top", [1, 3, 5])
def test_logreg_cost(ops: Ops, k: int, n: int, top: int) -> None:
    labels, probs = labels_and_probs(np.random.default_rng(3), k, n)
    expected = reference.logreg_cost(labels, probs, top)
    check(ops, "logreg_cost", expected, labels=labels, probs=probs, top=top)


@pytest.mark.parametrize("top", [1, 2, 3, 5])
def test_logreg_cost_of_ties(ops: Ops, top: int) -> None:
    rng = np.random.default_rng(4)
    probs = (tied_numbers(rng, 7, 33) + 1.5) / 8
    labels = rng.integers(0, 7, (1, 33)).astype(np.float64)
    expected = reference.logreg_cost(labels, probs, top)
    check(ops, "logreg_cost", expected, labels=labels, probs=probs, top=top)


@pytest.mark.parametrize(
    ("probs", "top", "wrong", "wrong_top"),
    [
        ([0.5, 0.25, 0.25], 1, 0, 0),
        ([0.25, 0.5, 0.25], 1, 1, 1),
        ([0.5, 0.5, 0.0], 1, 0.5, 0.5),  # ties share the one slot
        ([0.25, 0.5, 0.25], 2, 1, 0.5),  # one slot left for two
        ([0.25, 0.5, 0.25], 3, 1, 0),
        ([0.125, 0.375, 0.5], 2, 1, 1),
    ],
)
def test_what_counts_as_wrong(
    ops: Ops, probs: list[float], top: int, wrong: float, wrong_top: float
) -> None:
    """The label is class 0."""
    labels, column = np.zeros((1, 1)), np.reshape(probs, (3, 1))
    got = apply(ops, "logreg_cost", labels=labels, probs=column, top=top, values=(3,))
    assert got["values"][1:].tolist() == [wrong, wrong_top]


def test_log_probability_of_zero_is_infinite(ops: Ops) -> None:
    labels, probs = np.zeros((1, 1)), np.array([[0.0], [1.0]])
    got = apply(ops, "logreg_cost", labels=labels, probs=probs, top=1, values=(3,))
    assert got["values"].tolist() == [np.inf, 1, 1]
    got = apply(ops, "logreg_bprop", labels=labels, probs=probs, coeff=1.0, probs_grad=(2, 1))
    assert got["probs_grad"].tolist() == [[-np.inf], [0]]


def test_cost_of_nan_is_nan(ops: Ops) -> None:
    labels, probs = np.zeros((1, 2)), np.array([[np.nan, 0.5], [np.nan, 0.5]])
    got = apply(ops, "logreg_cost", labels=labels, probs=probs, top=1, values=(3,))
    assert np.isnan(got["values"][0])


@sizes
@pytest.mark.parametrize("top", [1, 3])
def test_softmax_logreg_fprop(ops: Ops, k: int, n: int, top: int) -> None:
    """The bits of the two operations one after the other, also in place and of ties."""
    rng = np.random.default_rng(8)
    labels = rng.integers(0, k, (1, n)).astype(np.float64)
    for inputs in (numbers(rng, k, n), tied_numbers(rng, k, n)):
        acts = apply(ops, "softmax_fprop", inputs=inputs, acts=(k, n))["acts"]
        cost = {"labels": labels, "top": top, "values": (3,)}
        values = apply(ops, "logreg_cost", probs=acts, **cost)["values"]
        for shared in ("", "acts"):
            given = cost | {"inputs": inputs, "acts": (k, n), "shared": shared}
            got = apply(ops, "softmax_logreg_fprop", **given)
            np.testing.assert_array_equal(got["acts"], acts)
            np.testing.assert_array_equal(got["values"], values)
        assert_close(ops, values, reference.logreg_cost(labels, acts, top), "values")


def test_softmax_logreg_fprop_of_nan(ops: Ops) -> None:
    """Counts as wrong."""
    given = {"labels": np.zeros((1, 2)), "inputs": np.array([[np.nan, 1], [0.5, 0]])}
    got = apply(ops, "softmax_logreg_fprop", **given, top=2, acts=(2, 2), values=(3,))
    assert np.isnan(got["values"][0])
    assert got["values"][1:].tolist() == [1, 1]


@sizes
def test_logreg_bprop(ops: Ops, k: int, n: int) -> None:
    labels, probs = labels_and_probs(np.random.default_rng(5), k, n)
    expected = reference.logreg_bprop(labels, probs, 0.75)
    check(ops, "logreg_bprop", expected, labels=labels, probs=probs, coeff=0.75)


@sizes
def test_softmax_logreg_bprop(ops: Ops, k: int, n: int) -> None:
    labels, probs = labels_and_probs(np.random.default_rng(6), k, n)
    probs = probs / probs.sum(axis=0)  # rounding to float32 is within the tolerance
    expected = reference.softmax_bprop(probs, reference.logreg_bprop(labels, probs, 0.75))
    check(ops, "softmax_logreg_bprop", expected, labels=labels, probs=probs, coeff=0.75)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (70, 2, 1, 130)], ids=str)
def test_sum2_cost(ops: Ops, shape: tuple[int, ...]) -> None:
    inputs = numbers(np.random.default_rng(7), *shape)
    expected = sum(x * x for x in inputs.flat)
    got = apply(ops, "sum2_cost", inputs=inputs, values=(1,))
    assert_close(ops, got["values"], np.array([expected]), "sum2_cost")
