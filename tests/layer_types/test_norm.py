"""Normalisation layers: the divided scale, shapes, mistakes, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convnet.layer_types.norm import CmrnormLayer, CnormLayer, RnormLayer
from tests.helpers import (
    assert_gradients,
    between,
    layer,
    layer_errors,
    make_batch,
    make_graph,
    make_net,
)

STRONG = "[top]\nscale=3\npow=0.75\nminDiv=0.5\n"


def norm(kind: str, inputs: str = "below", **keys: Any) -> str:
    return layer("top", kind, inputs, **{"channels": 4, "size": 3} | keys)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("rnorm", {}),
        ("rnorm", {"size": 1}),
        ("rnorm", {"size": 2}),
        ("rnorm", {"size": 5, "neuron": "tanh[1,1]"}),
        ("cnorm", {}),
        ("cnorm", {"size": 1}),
        ("cnorm", {"size": 2}),
        ("cnorm", {"size": 5, "neuron": "tanh[1,1]"}),
        ("cmrnorm", {}),
        ("cmrnorm", {"size": 1}),
        ("cmrnorm", {"size": 2}),
        ("cmrnorm", {"size": 4}),
        ("cmrnorm", {"blocked": "true"}),  # blocks of 3 channels and of 1
        ("cmrnorm", {"blocked": "true", "size": 2}),
    ],
)
def test_gradients(kind: str, keys: dict[str, Any]) -> None:
    net = make_net(between(norm(kind, **keys)), STRONG)
    assert net.graph["top"].shape.as_tuple() == (4, 5, 7)
    assert_gradients(net)


@pytest.mark.parametrize("kind", ["rnorm", "cnorm", "cmrnorm"])
def test_numbers_as_square_images_and_a_second_user(kind: str) -> None:
    flat = layer("flat", "fc", "below", outputs=4 * 3 * 3, initW=0.2)
    also = layer("also", "cost.sum2", "flat")
    net = make_net(between(flat + norm(kind, "flat") + also), STRONG)
    assert net.graph["top"].shape.as_tuple() == (4, 3, 3)
    assert_gradients(net)


def test_scale_is_divided_by_the_neighbourhood() -> None:
    by_pixels = make_graph(between(norm("rnorm")), STRONG)["top"]
    by_contrast = make_graph(between(norm("cnorm")), STRONG)["top"]
    by_channels = make_graph(between(norm("cmrnorm")), STRONG)["top"]
    assert isinstance(by_pixels, RnormLayer)
    assert isinstance(by_contrast, CnormLayer)
    assert isinstance(by_channels, CmrnormLayer)
    assert by_pixels.norm.scale == by_contrast.norm.scale == 3 / 9
    assert by_channels.norm.scale == 3 / 3
    assert by_pixels.norm.min_div == 0.5


def test_values_of_one_pixel() -> None:
    net = make_net(between(norm("cmrnorm")), STRONG, keep=["below", "top"])
    net.forward(make_batch())
    x, y = net.activity("below"), net.activity("top")
    expected = x[1] * (0.5 + (x[0] ** 2 + x[1] ** 2 + x[2] ** 2)) ** -0.75
    np.testing.assert_allclose(y[1], expected, rtol=1e-12)


def test_contrast_of_a_constant_image_is_the_image() -> None:
    """Its differences from the mean are zero, also at the borders."""
    also = layer("also", "cost.sum2", "below")
    net = make_net(between(norm("cnorm", "data", channels=2) + also), STRONG, keep=["top"])
    images, labels = make_batch()
    net.forward([np.full_like(images, 7), labels])
    np.testing.assert_allclose(net.activity("top"), 7 * 0.5**-0.75, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "keys", "text"),
    [
        ("rnorm", {"size": 6}, "size must be at most 5; found size=6"),
        ("cnorm", {"size": 6}, "size must be at most 5; found size=6"),
        ("cmrnorm", {"size": 5}, "size must be at most 4; found size=5"),
        (
            "rnorm",
            {"channels": 3},
            "input 'below' is 4x5x7 (140 numbers), not interpretable as 3-channel images",
        ),
    ],
)
def test_mistakes(kind: str, keys: dict[str, Any], text: str) -> None:
    assert layer_errors(between(norm(kind, **keys))) == [text]
