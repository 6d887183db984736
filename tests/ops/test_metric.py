"""Metric learning, and the parametric rectifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convnet.ops.base import Ops, RandomKey
from convnet.ops.philox import uniform
from convnet.ops.reference import ReferenceOps
from convnet.ops.spec.metric import Margins
from tests import reference_metric as formulas
from tests.ops.check import apply, assert_close, check, numbers, tied_numbers
from tests.ops.gradients import check_gradient

FLOAT64 = ReferenceOps(np.float64)
KEY = RandomKey(seed=3, stream=2**32 - 5, epoch=2, batch=7, minibatch=1)

# Rows, images.
sizes = pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 7), (10, 33), (70, 130)])


@sizes
@pytest.mark.parametrize("eps", [1e-10, 0.25])
def test_l2norm(ops: Ops, k: int, n: int, eps: float) -> None:
    rng = np.random.default_rng(0)
    inputs, acts_grad = numbers(rng, k, n), numbers(rng, k, n)
    check(ops, "l2norm_fprop", formulas.l2norm_fprop(inputs, eps), inputs=inputs, eps=eps)
    if k > 1:  # one number of length 1 has a gradient that is all rounding
        grad = formulas.l2norm_bprop(inputs, acts_grad, eps)
        check(ops, "l2norm_bprop", grad, inputs=inputs, acts_grad=acts_grad, eps=eps)


def test_l2norm_of_zeros(ops: Ops) -> None:
    zeros, grad = np.zeros((3, 2)), np.ones((3, 2))
    check(ops, "l2norm_fprop", zeros, inputs=zeros, eps=1e-10)
    check(ops, "l2norm_bprop", 1e5 * grad, inputs=zeros, acts_grad=grad, eps=1e-10)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 4, 5, 7), (5, 1, 1, 33)], ids=str)
def test_prelu(ops: Ops, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    for images in (numbers(rng, *shape), tied_numbers(rng, *shape)):
        layer = {"images": images, "slopes": numbers(rng, 1, shape[0])}
        acts_grad = numbers(rng, *shape)
        check(ops, "prelu_fprop", formulas.prelu_fprop(**layer), **layer)
        images_grad, terms = formulas.prelu_bprop(**layer, acts_grad=acts_grad)
        check(ops, "prelu_dgrad", images_grad, **layer, acts_grad=acts_grad)
        check(ops, "prelu_terms", terms, images=images, acts_grad=acts_grad)


MARGINS = {
    "normface": Margins(1, 0, 0, 64, 0),
    "arcface": Margins(1, 0.5, 0, 64, 0),
    "cosface": Margins(1, 0, 0.35, 30, 0),
    "sphereface": Margins(1.35, 0, 0, 64, 0),
    "combined": Margins(1.5, 0.3, 0.2, 16, 0.1),
    "three half turns": Margins(3.2, 0.4, 0, 8, 0),
}
every_margin = pytest.mark.parametrize("margins", MARGINS.values(), ids=MARGINS)


def cosines_of(rng: np.random.Generator, k: int, n: int) -> dict[str, np.ndarray]:
    cosines = np.tanh(numbers(rng, k, n)).astype(np.float32).astype(np.float64)
    return {"labels": rng.integers(0, k, (1, n)).astype(np.float64), "cosines": cosines}


@sizes
@every_margin
def test_margin(ops: Ops, k: int, n: int, margins: Margins) -> None:
    data = cosines_of(np.random.default_rng(3), k, n)
    common = {**data, "margins": margins}
    check(ops, "margin_cost", formulas.margin_cost(**common, top=3), **common, top=3)
    check(ops, "margin_bprop", formulas.margin_bprop(**common, coeff=0.75), **common, coeff=0.75)


@sizes
@pytest.mark.parametrize("share", [2.0**-24, 0.3, 1.0])
def test_margin_among_chosen_classes(ops: Ops, k: int, n: int, share: float) -> None:
    data = cosines_of(np.random.default_rng(6), k, n)
    chosen = formulas.chosen_classes(data["labels"], share, uniform(KEY, k))
    assert len(np.unique(data["labels"])) <= chosen.sum() <= k
    check(ops, "choose_classes", chosen, labels=data["labels"], share=share, key=KEY)
    some_unknown = np.where(np.arange(n) % 2, data["labels"], -1)
    fewer = formulas.chosen_classes(some_unknown, share, uniform(KEY, k))
    check(ops, "choose_classes", fewer, labels=some_unknown, share=share, key=KEY)
    common = {**data, "margins": MARGINS["combined"], "chosen": chosen}
    check(ops, "margin_cost", formulas.margin_cost(**common, top=3), **common, top=3)
    check(ops, "margin_bprop", formulas.margin_bprop(**common, coeff=0.75), **common, coeff=0.75)


@every_margin
def test_margin_at_the_borders(ops: Ops, margins: Margins) -> None:
    """Cosines of 1 and -1, and beyond, as rounding makes them; zeros, and ties."""
    column = np.array([1, -1, 1 + 2.0**-23, -1 - 2.0**-23, 0, 1 - 2.0**-22, 0.5, 0.5])
    cosines = np.array([np.roll(column, j) for j in range(4)])
    data = {"labels": np.zeros((1, 8)), "cosines": cosines, "margins": margins}
    check(ops, "margin_cost", formulas.margin_cost(**data, top=2), **data, top=2)
    check(ops, "margin_bprop", formulas.margin_bprop(**data, coeff=1), **data, coeff=1)


def test_margin_of_nan_is_nan(ops: Ops) -> None:
    data = {"labels": np.array([[0.0, 1]]), "cosines": np.array([[np.nan, 0.5], [0.5, np.nan]])}
    with np.errstate(all="ignore"):
        got = apply(ops, "margin_cost", **data, margins=MARGINS["arcface"], top=1, values=(3,))
    assert np.isnan(got["values"][0])
    assert got["values"][1] == 2


@every_margin
def test_gradient_of_margin(margins: Margins) -> None:
    data = cosines_of(np.random.default_rng(4), 5, 7)
    arguments = {**data, "margins": margins}
    grad = apply(FLOAT64, "margin_bprop", **arguments, coeff=0.75, cosines_grad=(5, 7))

    def cost(**arguments: Any) -> np.ndarray:
        return apply(FLOAT64, "margin_cost", **arguments, top=1, values=(3,))["values"][:1]

    gradients = {"cosines": grad["cosines_grad"]}
    check_gradient(cost, arguments, np.array([0.75]), gradients)


def triplet_data(k: int, n: int, people: int, semihard: bool) -> dict[str, Any]:
    """Images of several people; some are unknown (-1), some of others, each another one (-2)."""
    rng = np.random.default_rng(5)
    labels = rng.integers(-2, people, (1, n)).astype(np.float64)
    return {"labels": labels, "inputs": numbers(rng, k, n), "margin": 0.5, "semihard": semihard}


@pytest.mark.parametrize(("k", "n", "people"), [(1, 1, 1), (3, 9, 2), (5, 33, 4), (20, 70, 9)])
@pytest.mark.parametrize("semihard", [False, True])
def test_triplets(ops: Ops, k: int, n: int, people: int, semihard: bool) -> None:
    data = triplet_data(k, n, people, semihard)
    drawn = uniform(KEY, n * n)
    expected = formulas.triplet_cost(**data, drawn=drawn)
    assert n == 1 or expected[1] > 0
    common = {**data, "key": KEY}
    check(ops, "triplet_cost", expected, **common)
    triplets, _ = formulas.triplets_of(**data, drawn=drawn)
    grad = formulas.triplet_bprop(data["inputs"], triplets, 0.75)
    check(ops, "triplet_bprop", grad, **common, coeff=0.75)


@pytest.mark.parametrize(
    ("labels", "pairs"), [([0, 1, 2, 3], 0), ([2, 2, 2, 2], 6), ([-2] * 4, 0), ([1, -1, -1, 1], 1)]
)
def test_no_triplets(ops: Ops, labels: list[int], pairs: int) -> None:
    """No two images of a person, one person alone, nobody: the cost is 0, and so are gradients."""
    data = triplet_data(3, 4, 1, False) | {"labels": np.array([labels], float), "key": KEY}
    got = apply(ops, "triplet_cost", **data, values=(5,))["values"]
    assert got[:3].tolist() == [0, 0, pairs]
    check(ops, "triplet_bprop", np.zeros((3, 4)), **data, coeff=1)


def test_triplets_of_equal_images(ops: Ops) -> None:
    """Collapsed: the cost is the margin, and nothing tells where to go."""
    data = {"labels": np.array([[0.0, 0, 1, 1]]), "inputs": np.full((3, 4), 0.5), "margin": 0.25}
    data |= {"semihard": False, "key": KEY}
    check(ops, "triplet_cost", np.array([4 * 0.25, 2, 2, 0, 0]), **data)
    check(ops, "triplet_bprop", np.zeros((3, 4)), **data, coeff=1)


def test_triplets_of_nan_cost_nan(ops: Ops) -> None:
    data = triplet_data(3, 7, 2, False) | {"key": KEY}
    data["inputs"][1, 2] = np.nan
    assert np.isnan(apply(ops, "triplet_cost", **data, values=(5,))["values"][0])


@pytest.mark.parametrize("semihard", [False, True])
def test_gradient_of_triplets(semihard: bool) -> None:
    data = triplet_data(5, 12, 3, semihard) | {"key": KEY}
    grad = apply(FLOAT64, "triplet_bprop", **data, coeff=0.75, inputs_grad=(5, 12))

    def cost(**arguments: Any) -> np.ndarray:
        return apply(FLOAT64, "triplet_cost", **arguments, values=(5,))["values"][:1]

    check_gradient(cost, data, np.array([0.75]), {"inputs": grad["inputs_grad"]})


@pytest.mark.parametrize(("k", "n", "people"), [(1, 1, 1), (3, 9, 2), (5, 33, 4), (20, 70, 9)])
@pytest.mark.parametrize("margin", [1.0, 3.0])
def test_contrastive(ops: Ops, k: int, n: int, people: int, margin: float) -> None:
    data = triplet_data(k, n, people, False)
    data = {"labels": data["labels"], "inputs": data["inputs"], "margin": margin}
    check(ops, "contrastive_cost", formulas.contrastive_cost(**data), **data)
    grad = formulas.contrastive_bprop(**data, coeff=0.75)
    check(ops, "contrastive_bprop", grad, **data, coeff=0.75)


def test_contrastive_of_equal_images(ops: Ops) -> None:
    labels, inputs = np.array([[0.0, 0, 1, 1]]), np.full((3, 4), 0.5)
    data = {"labels": labels, "inputs": inputs, "margin": 2.0}
    check(ops, "contrastive_cost", np.array([4 * 2.0, 4, 0, 0]), **data)
    check(ops, "contrastive_bprop", np.zeros((3, 4)), **data, coeff=1)
    inputs[1, 2] = np.nan
    got = apply(ops, "contrastive_cost", **data, values=(4,))["values"]
    assert np.isnan(got[0])


def test_gradient_of_contrastive() -> None:
    data = triplet_data(5, 12, 3, False)
    data = {"labels": data["labels"], "inputs": data["inputs"], "margin": 3.0}
    grad = apply(FLOAT64, "contrastive_bprop", **data, coeff=0.75, inputs_grad=(5, 12))

    def cost(**arguments: Any) -> np.ndarray:
        return apply(FLOAT64, "contrastive_cost", **arguments, values=(4,))["values"][:1]

    check_gradient(cost, data, np.array([0.75]), {"inputs": grad["inputs_grad"]})


@sizes
def test_centers(ops: Ops, k: int, n: int) -> None:
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 5, (1, n)).astype(np.float64)
    data = {"labels": labels, "inputs": numbers(rng, k, n), "centers": numbers(rng, k, 9)}
    check(ops, "center_cost", formulas.center_cost(**data), **data)
    away = data["inputs"] - data["centers"][:, labels.ravel().astype(int)]
    check(ops, "center_bprop", 0.75 * away, **data, coeff=0.75)
    got = apply(ops, "center_track", **data, rate=0.3)["centers"]
    assert_close(ops, got, formulas.center_track(**data, rate=0.3), "center_track")
    np.testing.assert_array_equal(got[:, 5:], data["centers"][:, 5:])


def test_gradient_of_centers() -> None:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 3, (1, 6)).astype(np.float64)
    data = {"labels": labels, "inputs": numbers(rng, 4, 6), "centers": numbers(rng, 4, 3)}
    grad = apply(FLOAT64, "center_bprop", **data, coeff=0.75, inputs_grad=(4, 6))

    def cost(**arguments: Any) -> np.ndarray:
        return apply(FLOAT64, "center_cost", **arguments, values=(2,))["values"][:1]

    check_gradient(cost, data, np.array([0.75]), {"inputs": grad["inputs_grad"]})


def test_gradients() -> None:
    rng = np.random.default_rng(2)
    inputs, acts_grad = rng.standard_normal((5, 4)), rng.standard_normal((5, 4))
    arguments = {"inputs": inputs, "eps": 0.5}
    grad = apply(FLOAT64, "l2norm_bprop", **arguments, acts_grad=acts_grad, inputs_grad=(5, 4))

    def l2norm(**arguments: np.ndarray) -> np.ndarray:
        return apply(FLOAT64, "l2norm_fprop", **arguments, acts=(5, 4))["acts"]

    check_gradient(l2norm, arguments, acts_grad, {"inputs": grad["inputs_grad"]})

    shape = (3, 2, 2, 4)
    images, acts_grad = rng.standard_normal(shape), rng.standard_normal(shape)
    layer = {"images": images, "slopes": rng.standard_normal((1, 3))}
    images_grad = apply(FLOAT64, "prelu_dgrad", **layer, acts_grad=acts_grad, images_grad=shape)[
        "images_grad"
    ]
    terms = apply(FLOAT64, "prelu_terms", images=images, acts_grad=acts_grad, terms=shape)["terms"]

    def prelu(**arguments: np.ndarray) -> np.ndarray:
        return apply(FLOAT64, "prelu_fprop", **arguments, acts=shape)["acts"]

    slopes_grad = terms.sum(axis=(1, 2, 3)).reshape(1, 3)
    check_gradient(prelu, layer, acts_grad, {"images": images_grad, "slopes": slopes_grad})
