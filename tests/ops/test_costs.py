"""The costs with matrices of labels, and those of rankings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convnet.ops.base import Ops
from convnet.ops.reference import ReferenceOps
from tests import reference, reference_costs
from tests.ops.check import apply, check, numbers, tied_numbers
from tests.ops.gradients import check_gradient

# Classes, images.
sizes = pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 7), (10, 33), (70, 130)])
FLOAT64 = ReferenceOps(np.float64)


def drawn(k: int, n: int, *, softmax: bool = False) -> dict[str, np.ndarray]:
    """Multi-hot labels, some images without any, and probabilities."""
    rng = np.random.default_rng(1)
    inputs = numbers(rng, k, n)
    probs = reference.softmax_fprop(inputs) if softmax else 1 / (1 + np.exp(-inputs))
    labels = (rng.random((k, n)) < 0.3).astype(np.float64)
    return {"labels": labels, "probs": probs.astype(np.float32).astype(np.float64)}


def tied(k: int, n: int) -> dict[str, np.ndarray]:
    """Probabilities of 0, 1 and others, many of them equal; labels between 0 and 1 too."""
    rng = np.random.default_rng(2)
    return {
        "labels": (tied_numbers(rng, k, n) + 1) / 2,
        "probs": (tied_numbers(rng, k, n) + 1) / 2,
    }


def cost(name: str, shape: tuple[int, ...], **arguments: Any) -> np.ndarray:
    """The value that is minimised."""
    return apply(FLOAT64, name, **arguments, values=shape)["values"][:1]


# --- labels as a matrix -------------------------------------------------------------------------


@sizes
def test_crossent(ops: Ops, k: int, n: int) -> None:
    data = drawn(k, n, softmax=True)
    check(ops, "crossent_cost", reference_costs.crossent_cost(**data), **data)
    grad = reference_costs.crossent_bprop(**data, coeff=0.75)
    check(ops, "crossent_bprop", grad, **data, coeff=0.75)
    through = reference.softmax_bprop(data["probs"], grad)
    check(ops, "softmax_crossent_bprop", through, **data, coeff=0.75)


def test_crossent_of_ties_and_zeros(ops: Ops) -> None:
    data = tied(5, 33)
    check(ops, "crossent_cost", reference_costs.crossent_cost(**data), **data)
    check(ops, "crossent_bprop", reference_costs.crossent_bprop(**data, coeff=2), **data, coeff=2)


@sizes
@pytest.mark.parametrize("weight", [1.0, 2.5])
def test_bce(ops: Ops, k: int, n: int, weight: float) -> None:
    data = drawn(k, n) | {"pos_weight": weight}
    check(ops, "bce_cost", reference_costs.bce_cost(**data), **data)
    check(ops, "dce_cost", reference_costs.dce_cost(**data), **data)
    grad = reference_costs.bce_bprop(**data, coeff=0.75)
    check(ops, "bce_bprop", grad, **data, coeff=0.75)
    through = grad * data["probs"] * (1 - data["probs"])
    check(ops, "logistic_bce_bprop", through, **data, coeff=0.75)


def test_bce_of_ties_and_zeros(ops: Ops) -> None:
    data = tied(5, 33) | {"pos_weight": 1.5}
    check(ops, "bce_cost", reference_costs.bce_cost(**data), **data)
    check(ops, "dce_cost", reference_costs.dce_cost(**data), **data)
    check(ops, "bce_bprop", reference_costs.bce_bprop(**data, coeff=2), **data, coeff=2)


def test_gradients_with_label_matrices() -> None:
    coeff = np.array([0.75])
    for name, shape, rule in (("crossent", (2,), {}), ("bce", (3,), {"pos_weight": 2.5})):
        data = drawn(5, 4) | rule
        grad = apply(FLOAT64, f"{name}_bprop", **data, coeff=0.75, probs_grad=(5, 4))["probs_grad"]

        def forward(name: str = name, shape: Any = shape, **arguments: Any) -> np.ndarray:
            return cost(f"{name}_cost", shape, **arguments)

        check_gradient(forward, data, coeff, {"probs": grad})


@pytest.mark.parametrize("name", ["crossent_cost", "bce_cost", "dce_cost"])
def test_cost_of_nan_is_nan(ops: Ops, name: str) -> None:
    data = {"labels": np.array([[1.0], [0]]), "probs": np.array([[np.nan], [0.5]])}
    rule = {} if name == "crossent_cost" else {"pos_weight": 1.0}
    shape = {"crossent_cost": (2,), "bce_cost": (3,), "dce_cost": (8,)}[name]
    with np.errstate(all="ignore"):
        got = apply(ops, name, **data, **rule, values=shape)
    assert np.isnan(got["values"][0])


# --- rankings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [(2, 1), (3, 7), (10, 130)])
def test_hinge(ops: Ops, k: int, n: int) -> None:
    rng = np.random.default_rng(3)
    for draw in (numbers, tied_numbers):
        labels = rng.integers(0, k, (1, n)).astype(np.float64)
        data = {"labels": labels, "inputs": draw(rng, k, n)}
        check(ops, "hinge_cost", reference_costs.hinge_cost(**data), **data)
        grad = reference_costs.hinge_bprop(**data, coeff=0.75)
        check(ops, "hinge_bprop", grad, **data, coeff=0.75)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_hinge_of_nan_is_nan(ops: Ops, row: int) -> None:
    inputs = np.array([[0.5], [2.0], [1.0]])
    inputs[row] = np.nan
    got = apply(ops, "hinge_cost", labels=np.zeros((1, 1)), inputs=inputs, values=(2,))
    assert np.isnan(got["values"][0])
    assert got["values"][1] == 1


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 9, 33)], ids=str)
def test_gsinlabel(ops: Ops, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 4, (1, shape[-1])).astype(np.float64)
    inputs = numbers(rng, *shape)
    inputs[..., labels[0] == 1] = 0
    data = {"labels": labels, "inputs": inputs}
    check(ops, "gsinlabel_cost", reference_costs.gsinlabel_cost(**data), **data)
    grad = reference_costs.gsinlabel_bprop(**data, coeff=0.75)
    check(ops, "gsinlabel_bprop", grad, **data, coeff=0.75)


@pytest.mark.parametrize(("bits", "n"), [(1, 1), (5, 7), (64, 33)])
@pytest.mark.parametrize("margin", [0.25, 5.0])
def test_locrank(ops: Ops, bits: int, n: int, margin: float) -> None:
    rng = np.random.default_rng(5)
    codes = [rng.random((bits, n)).astype(np.float32).astype(np.float64) for _ in range(3)]
    weights = rng.random((1, n)).astype(np.float32).astype(np.float64)
    data = dict(zip(("first", "second", "third"), codes, strict=True))
    data |= {"weights": weights, "margin": margin}
    check(ops, "locrank_cost", reference_costs.locrank_cost(codes, weights, margin), **data)
    for position in range(3):
        grad = reference_costs.locrank_bprop(codes, weights, margin, position, 0.75)
        check(ops, "locrank_bprop", grad, **data, position=position, coeff=0.75)


def test_gradients_of_rankings() -> None:
    rng = np.random.default_rng(6)
    coeff = np.array([0.75])
    labels = rng.integers(0, 3, (1, 6)).astype(np.float64)
    for name, shape in (("hinge", (3, 6)), ("gsinlabel", (3, 2, 6))):
        data = {"labels": labels, "inputs": rng.standard_normal(shape)}
        arguments = data | {"coeff": 0.75, "inputs_grad": shape}
        grad = apply(FLOAT64, f"{name}_bprop", **arguments)["inputs_grad"]
        values = (2,) if name == "hinge" else (1,)

        def forward(name: str = name, values: Any = values, **arguments: Any) -> np.ndarray:
            return cost(f"{name}_cost", values, **arguments)

        check_gradient(forward, data, coeff, {"inputs": grad})

    names = ("first", "second", "third")
    data = {key: rng.random((5, 6)) for key in names} | {"weights": rng.random((1, 6))}
    data |= {"margin": 0.25}
    gradients = {
        key: apply(FLOAT64, "locrank_bprop", **data, position=i, coeff=0.75, codes_grad=(5, 6))[
            "codes_grad"
        ]
        for i, key in enumerate(names)
    }
    check_gradient(lambda **data: cost("locrank_cost", (2,), **data), data, coeff, gradients)
