"""Convolution with shared filters and with filters per output pixel."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from convnet.geometry import Window
from convnet.neurons import IDENT, Neuron, parse_neuron
from convnet.ops.base import Ops
from tests import reference
from tests.ops.check import apply, assert_close, check, numbers
from tests.ops.neuron_examples import NEURONS

# Channels, height, width, filters, filter size, ...; and the number of images.
CASES = {
    "plain": (Window(3, 5, 7, 4, 3), 7),
    "smallest": (Window(1, 1, 1, 1, 1), 1),
    "pixelwise": (Window(5, 3, 4, 7, 1), 33),
    "padded": (Window(2, 6, 5, 3, 5, padding=2), 33),
    "stride 2, partial last window": (Window(3, 6, 7, 5, 3, padding=1, stride=2), 16),
    "stride 3, partial last window": (Window(1, 8, 11, 2, 4, stride=3), 1),
    "stride beyond the filter": (Window(2, 7, 8, 3, 2, stride=3), 5),
    "pixelwise, stride 2": (Window(4, 8, 3, 4, 1, padding=2, stride=2, groups=2), 7),
    "a few pixels, stride 4": (Window(3, 4, 4, 20, 1, stride=4), 16),
    "even filter, padded by more than it": (Window(2, 3, 4, 3, 2, padding=3), 3),
    "two groups": (Window(4, 5, 4, 6, 3, padding=1, groups=2), 7),
    "three groups": (Window(6, 7, 5, 9, 3, padding=1, stride=2, groups=3), 17),
    "a group per channel": (Window(5, 4, 4, 5, 3, padding=1, groups=5), 7),
    "as large as the image": (Window(3, 4, 4, 6, 4), 7),
    "as large as the padded image": (Window(2, 3, 3, 3, 5, padding=1), 7),
    "given number of windows": (Window(2, 5, 6, 3, 3, padding=1, modules=9), 7),
    "one pixel of padding unseen": (Window(2, 7, 6, 3, 2, padding=1, stride=2, modules=4), 7),
    "last pixels unseen": (Window(3, 8, 7, 5, 1, stride=2, modules=4), 7),
    "two last pixels unseen": (Window(3, 11, 10, 5, 3, stride=3, modules=3), 7),
    "one row, padded at the sides": (
        Window(3, 5, 6, 4, 5, padding=2, filter_size_y=1, padding_y=0),
        7,
    ),
    "taller than wide, stride 2": (
        Window(4, 9, 8, 6, 1, stride=2, groups=2, filter_size_y=4, padding_y=3),
        17,
    ),
    "square, padded above and below": (Window(8, 4, 5, 4, 3, padding_y=1), 16),
    "more rows of windows": (Window(3, 8, 6, 5, 3, padding=1, stride=2, modules=3, modules_y=4), 5),
    "wide groups": (Window(32, 3, 4, 48, 3, padding=1, groups=2), 16),
    "larger than a tile": (Window(70, 2, 3, 70, 3, padding=1), 130),
}
# What also the emulated device runs by default.
QUICK = (
    "padded",
    "stride 2, partial last window",
    "stride beyond the filter",
    "pixelwise, stride 2",
    "three groups",
    "one pixel of padding unseen",
    "last pixels unseen",
    "taller than wide, stride 2",
    "larger than a tile",
)


class Example(NamedTuple):
    images: np.ndarray
    filters: np.ndarray
    acts_grad: np.ndarray
    acts: np.ndarray
    images_grad: np.ndarray
    filters_grad: np.ndarray


@cache
def example(case: str, local: bool) -> Example:
    g, n = CASES[case]
    rng = np.random.default_rng(1)
    images = numbers(rng, *g.images_shape, n)
    filters = numbers(rng, *(g.local_filters_shape if local else g.conv_filters_shape))
    acts_grad = numbers(rng, *g.acts_shape, n)
    return Example(
        images,
        filters,
        acts_grad,
        acts=reference.conv_fprop(g, images, filters, local),
        images_grad=reference.conv_dgrad(g, filters, acts_grad, local),
        filters_grad=reference.conv_wgrad(g, images, acts_grad, local),
    )


every_case = pytest.mark.parametrize("case", CASES)
both_kinds = pytest.mark.parametrize("kind", ["conv", "local"])


@every_case
@both_kinds
def test_fprop(ops: Ops, kind: str, case: str) -> None:
    g, _ = CASES[case]
    e = example(case, kind == "local")
    arguments = {"g": g, "images": e.images, "filters": e.filters, "neuron": IDENT}
    got = apply(ops, f"{kind}_fprop", **arguments, biases=None, acts=e.acts.shape)
    assert_close(ops, got["acts"], e.acts, case)


@every_case
@both_kinds
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("biases_for", ["none", "filters", "outputs"])
def test_fprop_with_biases_and_relu(
    ops: Ops, kind: str, case: str, biases_for: str, add: bool
) -> None:
    g, _ = CASES[case]
    e = example(case, kind == "local")
    rng = np.random.default_rng(2)
    held = numbers(rng, *e.acts.shape)
    biases = {
        "none": None,
        "filters": numbers(rng, g.filters, 1),
        "outputs": numbers(rng, g.filters * g.out_pixels, 1),
    }[biases_for]
    relu = parse_neuron("relu")
    total = reference.biased(e.acts + held if add else e.acts, biases)

    got = apply(
        ops,
        f"{kind}_fprop",
        g=g,
        images=e.images,
        filters=e.filters,
        biases=biases,
        neuron=relu,
        acts=held,
        add=add,
    )
    assert_close(ops, got["acts"], reference.neuron_fprop(relu, total), case)


@both_kinds
@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_fprop_with_each_neuron(ops: Ops, kind: str, neuron: Neuron) -> None:
    g, n = Window(2, 3, 3, 3, 2), 5
    rng = np.random.default_rng(3)
    # All positive, within the domain of every neuron.
    images, biases = (np.abs(numbers(rng, *shape)) for shape in ((2, 3, 3, n), (3, 1)))
    filters = np.abs(
        numbers(rng, *(g.local_filters_shape if kind == "local" else g.conv_filters_shape))
    )
    total = reference.biased(reference.conv_fprop(g, images, filters, kind == "local"), biases)
    got = apply(
        ops,
        f"{kind}_fprop",
        g=g,
        images=images,
        filters=filters,
        biases=biases,
        neuron=neuron,
        acts=(*g.acts_shape, n),
    )
    assert_close(ops, got["acts"], reference.neuron_fprop(neuron, total), str(neuron))


@every_case
@both_kinds
def test_dgrad(ops: Ops, kind: str, case: str) -> None:
    e = example(case, kind == "local")
    arguments = {"g": CASES[case][0], "filters": e.filters, "acts_grad": e.acts_grad}
    check(ops, f"{kind}_dgrad", e.images_grad, **arguments)


@every_case
@both_kinds
def test_wgrad(ops: Ops, kind: str, case: str) -> None:
    e = example(case, kind == "local")
    arguments = {"g": CASES[case][0], "images": e.images, "acts_grad": e.acts_grad}
    check(ops, f"{kind}_wgrad", e.filters_grad, **arguments)


@pytest.mark.parametrize("case", ["padded", "three groups", "larger than a tile"])
@pytest.mark.parametrize("biases_for", ["filters", "outputs"])
def test_bias_grad(ops: Ops, case: str, biases_for: str) -> None:
    g, _ = CASES[case]
    acts_grad = example(case, False).acts_grad
    entries = g.filters if biases_for == "filters" else g.filters * g.out_pixels
    expected = reference.bias_grad(acts_grad, entries).reshape(-1, 1)
    check(ops, "bias_grad", expected, acts_grad=acts_grad)
