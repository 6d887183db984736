"""Layers that resample images: values, shapes, gradients, mistakes, draws."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from convnet.layer_types.base import CHECK, TEST, TRAIN, Mode
from convnet.plan import Clock
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

START = Clock()
SQUARE = ((2, 7, 7), (1, 1, 1))
RSCALE = {"maxScale": 1.5, "tgtSize": 5}


def of_data(kind: str, shapes: Any, mode: Mode = TEST, clock: Clock = START, **keys: Any) -> Any:
    """The images of a batch, and what a layer makes of them."""
    text = DATA + layer("top", kind, "data", channels=shapes[0][0], **keys) + CLASSIFIER
    net = make_net(text, shapes=shapes, keep=["data", "top"])
    net.forward(make_batch(shapes), mode, clock)
    return net.activity("data"), net.activity("top")


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 6, 6), (2, 1, 9)], ids=str)
@pytest.mark.parametrize("stride", [2, 3, 5])
def test_nailbed(shape: tuple[int, ...], stride: int) -> None:
    x, y = of_data("nailbed", (shape, (1, 1, 1)), stride=stride)
    np.testing.assert_array_equal(y, reference_images.nailbed(x, stride))


def test_nailbed_of_32_pixels_takes_the_odd_ones() -> None:
    x, y = of_data("nailbed", ((1, 32, 32), (1, 1, 1)), stride=2)
    np.testing.assert_array_equal(y, x[:, 1::2, 1::2])


@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 5, 5)], ids=str)
@pytest.mark.parametrize(("size", "stdev"), [(3, 0.5), (5, 2.0)])
def test_blur(shape: tuple[int, ...], size: int, stdev: float) -> None:
    x, y = of_data("blur", (shape, (1, 1, 1)), filterSize=size, stdev=stdev)
    np.testing.assert_allclose(y, reference_images.blur(x, size, stdev), atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "scale", "height", "width"),
    [
        ((3, 5, 7), 1.5, 3, 4),
        ((1, 8, 8), 2.0, 4, 4),
        ((2, 5, 4), 0.5, 10, 8),
        ((2, 5, 7), 1.0, 5, 7),
        ((1, 1, 3), 0.7, 1, 4),
    ],
)
def test_resize(shape: tuple[int, ...], scale: float, height: int, width: int) -> None:
    x, y = of_data("resize", (shape, (1, 1, 1)), scale=scale)
    expected = reference_images.resize(x, height, width, scale)
    np.testing.assert_allclose(y, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("keys", "top", "left"), [({"startX": 1}, 1, 1), ({"startX": 4, "startY": 2}, 2, 4)]
)
def test_crop(keys: dict[str, int], top: int, left: int) -> None:
    x, y = of_data("crop", ((3, 5, 7), (1, 1, 1)), sizeX=3, **keys)
    np.testing.assert_array_equal(y, x[:, top : top + 3, left : left + 3])


def test_href() -> None:
    x, y = of_data("href", ((3, 4, 7), (1, 1, 1)))
    np.testing.assert_array_equal(y, x[:, :, ::-1])


# --- random scale -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [TEST, CHECK])
@pytest.mark.parametrize(("keys", "side"), [({"tgtSize": 5}, 5), ({}, 4), ({"tgtSize": 7}, 7)])
def test_rscale_in_tests(keys: dict[str, int], side: int, mode: Mode) -> None:
    """Always the middle, by the largest factor."""
    x, y = of_data("rscale", SQUARE, mode, maxScale=1.5, **keys)
    np.testing.assert_allclose(y, reference_images.resize(x, side, side, 1.5), atol=1e-12)


def test_rscale_in_training_differs_from_step_to_step_and_repeats() -> None:
    clocks = [Clock(), Clock(seed=1), Clock(epoch=2), Clock(batch=1), Clock(minibatch=1), Clock()]
    results = [of_data("rscale", SQUARE, TRAIN, clock, **RSCALE)[1] for clock in clocks]
    assert all((a != b).any() for a, b in pairwise(results))
    np.testing.assert_array_equal(results[0], results[-1])


def test_images_of_a_minibatch_share_the_draw() -> None:
    same = [np.repeat(matrix[:, :1], 4, axis=1) for matrix in make_batch(SQUARE)]
    net = make_net(
        DATA + layer("top", "rscale", "data", channels=2, **RSCALE) + CLASSIFIER,
        shapes=SQUARE,
        keep=["top"],
    )
    net.forward(same, TRAIN)
    y = net.activity("top")
    np.testing.assert_array_equal(y, np.repeat(y[..., :1], 4, axis=-1))


def test_gradient_of_the_draw() -> None:
    """A linear map and its transpose: <dy, A x> = <A^T dy, x>."""
    text = between(layer("top", "rscale", "below", channels=4, **RSCALE))
    net = make_net(text, shapes=SQUARE, keep=["below", "top"])
    for minibatch in range(5):
        net.forward(make_batch(SQUARE), TRAIN, Clock(seed=3, minibatch=minibatch))
        net.backward()
        above = np.vdot(net.gradient("top"), net.activity("top"))
        assert np.vdot(net.gradient("below"), net.activity("below")) == pytest.approx(above)


# --- gradients ----------------------------------------------------------------------------------

LAYERS: list[tuple[str, dict[str, Any], tuple[int, int]]] = [
    ("nailbed", {"stride": 2}, (3, 4)),
    ("nailbed", {"stride": 3, "neuron": "tanh[1,1]"}, (2, 3)),
    ("blur", {"filterSize": 3, "stdev": 0.8}, (5, 7)),
    ("blur", {"filterSize": 5, "stdev": 2, "neuron": "square"}, (5, 7)),
    ("resize", {"scale": 1.3}, (3, 5)),
    ("resize", {"scale": 0.6}, (8, 11)),
    ("crop", {"startX": 2, "startY": 1, "sizeX": 3}, (3, 3)),
    ("crop", {"startX": 0, "sizeX": 5, "neuron": "relu"}, (5, 5)),
    ("href", {"neuron": "logistic"}, (5, 7)),
]


@pytest.mark.parametrize(("kind", "keys", "sides"), LAYERS)
@pytest.mark.parametrize("users", ["", "a cost", "twice"])
def test_gradients(kind: str, keys: dict[str, Any], sides: tuple[int, int], users: str) -> None:
    layers = layer("top", kind, "below", channels=4, **keys)
    if users == "a cost":
        layers += layer("also", "cost.sum2", "below")
    if users == "twice":
        again = layers.replace("[top]", "[again]")
        layers = layers.replace("[top]", "[once]") + again + layer("top", "concat", "once,again")
    net = make_net(between(layers))
    channels = 8 if users == "twice" else 4
    assert net.graph["top"].shape.as_tuple() == (channels, *sides)
    assert_gradients(net)


@pytest.mark.parametrize(("kind", "keys"), [(kind, keys) for kind, keys, _ in LAYERS])
def test_one_channel_of_numbers_as_square_images(kind: str, keys: dict[str, Any]) -> None:
    flat = layer("flat", "fc", "below", outputs=25, initW=0.2)
    top = layer("top", kind, "flat", channels=1, **keys)
    assert_gradients(make_net(between(flat + top)))


def test_gradients_of_rscale() -> None:
    text = between(layer("top", "rscale", "below", channels=4, neuron="tanh[1,1]", **RSCALE))
    net = make_net(text, shapes=SQUARE)
    assert net.graph["top"].shape.as_tuple() == (4, 5, 5)
    assert_gradients(net, make_batch(SQUARE))


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "keys", "text"),
    [
        (
            "href",
            {"channels": 3},
            "input 'below' is 4x5x7 (140 numbers), not interpretable as 3-channel images",
        ),
        ("nailbed", {"stride": 1}, "parameter 'stride' is '1': expected an integer >= 2"),
        (
            "blur",
            {"filterSize": 4, "stdev": 1},
            "filterSize must be 3, 5, 7 or 9; found filterSize=4",
        ),
        (
            "blur",
            {"filterSize": 7, "stdev": 1},
            "filterSize must be at most the image's shorter side, 5; found filterSize=7",
        ),
        (
            "blur",
            {"filterSize": 3, "stdev": 0},
            "parameter 'stdev' is '0': expected a finite number > 0",
        ),
        (
            "resize",
            {"scale": 2.5},
            "parameter 'scale' is '2.5': expected a finite number >= 0.5 and <= 2",
        ),
        (
            "crop",
            {"startX": 5, "sizeX": 3},
            "startY + sizeX must be at most the image's height, 5; found startY=5, sizeX=3",
        ),
        (
            "crop",
            {"startX": 5, "startY": 2, "sizeX": 3},
            "startX + sizeX must be at most the image's width, 7; found startX=5, sizeX=3",
        ),
        ("rscale", RSCALE, "the images must be square; found 4x5x7"),
    ],
)
def test_mistakes(kind: str, keys: dict[str, Any], text: str) -> None:
    assert layer_errors(between(layer("top", kind, "below", **{"channels": 4} | keys))) == [text]


@pytest.mark.parametrize("target", [3, 8])
def test_target_of_rscale(target: int) -> None:
    text = between(layer("top", "rscale", "below", channels=4, maxScale=1.5, tgtSize=target))
    assert layer_errors(text, shapes=SQUARE) == [
        "tgtSize must be between 4, the image's side divided by maxScale, and 7; "
        f"found tgtSize={target}"
    ]


def test_nothing_would_be_left_of_a_resized_image() -> None:
    flat = ((1, 1, 5), (1, 1, 1))
    text = DATA + layer("top", "resize", "data", channels=1, scale=1.5) + CLASSIFIER
    assert layer_errors(text, shapes=flat) == [
        "scale must be at most the image's shorter side, 1; found scale=1.5"
    ]
