"""Layers for colours: values, gradients, mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests import reference_images
from tests.helpers import (
    CLASSIFIER,
    DATA,
    assert_gradients,
    between,
    layer,
    layer_errors,
    make_batch,
    make_net,
)

SHAPES = ((3, 4, 5), (1, 1, 1))
# Three channels with numbers between 0 and 1, some of them dark.
RGB = layer("dark", "conv", "below", channels=4, filters=3, filterSize=1, initW=1, initB=-2,
            neuron="logistic")  # fmt: skip


def of_data(kind: str, **keys: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images of 0 to 1, and what a layer makes of them."""
    net = make_net(
        DATA + layer("top", kind, "data", **keys) + CLASSIFIER, shapes=SHAPES, keep=["data", "top"]
    )
    _, labels = make_batch(SHAPES)
    images = np.random.default_rng(0).random((60, 4), np.float32)
    images[:, 0] /= 100  # a dark one, below the bend of the curve
    net.forward([images, labels])
    return net.activity("data"), net.activity("top")


def test_yuv() -> None:
    x, y = of_data("rgb2yuv")
    np.testing.assert_allclose(y, reference_images.rgb2yuv(x), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("center", [False, True])
def test_lab(center: bool) -> None:
    x, y = of_data("rgb2lab", center=center)
    np.testing.assert_allclose(y, reference_images.rgb2lab(x, center), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("keys", [{}, {"neuron": "tanh[1,1]"}])
@pytest.mark.parametrize("kind", ["rgb2yuv", "rgb2lab"])
@pytest.mark.parametrize("also", ["", layer("also", "cost.sum2", "dark")])
def test_gradients(kind: str, keys: dict[str, str], also: str) -> None:
    net = make_net(between(RGB + layer("top", kind, "dark", **keys) + also))
    assert net.graph["top"].shape.as_tuple() == (3, 5, 7)
    assert_gradients(net)


def test_numbers_as_square_images() -> None:
    flat = layer("flat", "fc", "below", outputs=27, initW=0.3, neuron="logistic")
    net = make_net(between(flat + layer("top", "rgb2lab", "flat", center="true")))
    assert net.graph["top"].shape.as_tuple() == (3, 3, 3)
    assert_gradients(net)


@pytest.mark.parametrize("kind", ["rgb2yuv", "rgb2lab"])
def test_three_channels_are_needed(kind: str) -> None:
    assert layer_errors(between(layer("top", kind, "below"))) == [
        "input 'below' is 4x5x7 (140 numbers), not interpretable as 3-channel images"
    ]
