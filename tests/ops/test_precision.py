"""conv, local and fc in tf32 and bf16 on the emulated device.

Tight: the products of rounded factors, summed in float32. Loose: those of the factors themselves,
each of which may be off by UNIT, so the sum of products by 2 UNIT + UNIT^2 of that of magnitudes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from convnet.geometry import Window
from convnet.neurons import IDENT, parse_neuron
from convnet.ops.base import Ops
from convnet.ops.cuda.emulated.driver import EmulatedDriver
from convnet.ops.cuda.ops import CudaOps
from convnet.precision import Precision
from tests import reference
from tests.helpers import emulated_ops
from tests.ops.check import TOLERANCE, apply, numbers
from tests.ops.rounding import UNIT, rounded
from tests.ops.test_conv import CASES

TF32, BF16 = Precision.TF32, Precision.BF16
RELU = parse_neuron("relu")
Product = Callable[[np.ndarray, np.ndarray], np.ndarray]

QUICK = {
    ("conv", "stride 2, partial last window", TF32),
    ("conv", "three groups", BF16),
    ("local", "padded", BF16),
}
convolutions = pytest.mark.parametrize(
    ("kind", "case", "precision"),
    [
        pytest.param(*given, marks=() if given in QUICK else pytest.mark.slow)
        for kind in ("conv", "local")
        for case in CASES
        for precision in (TF32, BF16)
        if (given := (kind, case, precision))
    ],
)
fc_sizes = pytest.mark.parametrize(("k", "f", "n"), [(5, 3, 7), (70, 71, 132)])
formats = pytest.mark.parametrize("precision", [TF32, BF16])


@cache
def make_ops(precision: Precision) -> Ops:
    return emulated_ops(precision)


def assert_product(
    got: np.ndarray, product: Product, a: np.ndarray, b: np.ndarray, precision: Precision
) -> None:
    """`got` is what `product` makes of the factors a and b."""
    magnitudes = product(np.abs(a), np.abs(b))
    tight = TOLERANCE[np.dtype(np.float32)] * max(1, magnitudes.max())
    exact = product(rounded(a, precision), rounded(b, precision))
    np.testing.assert_allclose(got, exact, rtol=0, atol=tight)
    unit = UNIT[precision]
    bound = (2 * unit + unit**2) * magnitudes + tight
    assert (np.abs(got - product(a, b)) <= bound).all()
    if exact.size > 4:
        assert np.abs(got - product(a, b)).max() > 10 * tight * unit  # it did round


@convolutions
def test_fprop(kind: str, case: str, precision: Precision) -> None:
    (g, n), local = CASES[case], kind == "local"
    rng = np.random.default_rng(1)
    images = numbers(rng, *g.images_shape, n)
    filters = numbers(rng, *(g.local_filters_shape if local else g.conv_filters_shape))
    shape = (*g.acts_shape, n)
    given = {"g": g, "images": images, "filters": filters}
    name, ops = f"{kind}_fprop", make_ops(precision)

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return reference.conv_fprop(g, a, b, local)

    plain = apply(ops, name, **given, biases=None, neuron=IDENT, acts=shape)["acts"]
    assert_product(plain, product, images, filters, precision)
    held, biases = numbers(rng, *shape), numbers(rng, g.filters, 1)
    got = apply(ops, name, **given, biases=biases, neuron=RELU, acts=held, add=True)["acts"]
    expected = reference.neuron_fprop(RELU, reference.biased(plain + held, biases))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


@convolutions
def test_gradients(kind: str, case: str, precision: Precision) -> None:
    (g, n), local = CASES[case], kind == "local"
    rng = np.random.default_rng(2)
    images, acts_grad = numbers(rng, *g.images_shape, n), numbers(rng, *g.acts_shape, n)
    filters = numbers(rng, *(g.local_filters_shape if local else g.conv_filters_shape))
    for name, output, first, a, product in (
        ("dgrad", "images_grad", "filters", filters,
         lambda a, b: reference.conv_dgrad(g, a, b, local)),
        ("wgrad", "filters_grad", "images", images,
         lambda a, b: reference.conv_wgrad(g, a, b, local)),
    ):  # fmt: skip
        held = numbers(rng, *(images.shape if name == "dgrad" else filters.shape))
        given = {"g": g, first: a, "acts_grad": acts_grad, output: held}
        for add in (False, True):
            got = apply(make_ops(precision), f"{kind}_{name}", **given, add=add)[output]
            assert_product(got - add * held, product, a, acts_grad, precision)


@fc_sizes
@formats
def test_fc(k: int, f: int, n: int, precision: Precision) -> None:
    rng = np.random.default_rng(3)
    inputs, weights, acts_grad = numbers(rng, k, n), numbers(rng, k, f), numbers(rng, f, n)
    ops = make_ops(precision)
    factors = {"inputs": inputs, "weights": weights, "acts_grad": acts_grad}
    for name, output, first, second, shape in (
        ("fprop", "acts", "inputs", "weights", (f, n)),
        ("dgrad", "inputs_grad", "weights", "acts_grad", (k, n)),
        ("wgrad", "weights_grad", "inputs", "acts_grad", (k, f)),
    ):
        given = {key: factors[key] for key in (first, second)}
        more = {"biases": None, "neuron": IDENT} if name == "fprop" else {}
        got = apply(ops, f"fc_{name}", **given, **more, **{output: shape})[output]
        product: Product = getattr(reference, f"fc_{name}")
        assert_product(got, product, factors[first], factors[second], precision)


@formats
def test_the_order_of_threads_does_not_matter(precision: Precision) -> None:
    """To the last bit."""
    make_ops(precision)  # or skips
    g, n = Window(2, 5, 4, 40, 3, padding=1), 33
    rng = np.random.default_rng(4)
    images, acts_grad = numbers(rng, *g.images_shape, n), numbers(rng, *g.acts_shape, n)
    given = {"g": g, "images": images, "acts_grad": acts_grad}
    first, *others = (
        apply(
            CudaOps(EmulatedDriver(schedule=schedule), precision),
            "conv_wgrad",
            **given,
            filters_grad=g.conv_filters_shape,
        )["filters_grad"]
        for schedule in ("forward", "reverse", "7")
    )
    for other in others:
        np.testing.assert_array_equal(first, other)
