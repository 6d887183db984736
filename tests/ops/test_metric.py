"""Metric learning, and the parametric rectifier."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.ops.base import Ops
from convnet.ops.reference import ReferenceOps
from tests import reference_metric as formulas
from tests.ops.check import apply, check, numbers, tied_numbers
from tests.ops.gradients import check_gradient

FLOAT64 = ReferenceOps(np.float64)

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
