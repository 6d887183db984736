"""Pooling layers: shapes, mistakes, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.helpers import assert_gradients, between, layer, layer_errors, make_batch, make_net


def pool(inputs: str = "below", **keys: Any) -> str:
    """Windows of 3x3, 2 pixels apart, unless `keys` say otherwise."""
    return layer("top", "pool", inputs, **{"channels": 4, "sizeX": 3, "stride": 2} | keys)


@pytest.mark.parametrize(
    ("keys", "shape"),  # on images of 4x5x7
    [
        ({}, (4, 2, 3)),
        ({"sizeX": 2}, (4, 3, 4)),  # the last windows stick out
        ({"stride": 3}, (4, 2, 3)),
        ({"sizeX": 1, "stride": 1}, (4, 5, 7)),
        ({"sizeX": 5, "stride": 5}, (4, 1, 2)),
        ({"start": -1}, (4, 3, 4)),
        ({"start": -2, "stride": 3}, (4, 3, 3)),
        ({"start": 1}, (4, 2, 3)),
        ({"outputsX": 2}, (4, 2, 2)),
        ({"sizeX": 2, "outputsX": 3, "start": -1}, (4, 3, 3)),
        ({"neuron": "logistic"}, (4, 2, 3)),
        ({"sizeX": 0, "stride": 1}, (4, 1, 1)),
        ({"sizeX": 4, "sizeY": 2, "startY": -1, "outputsY": 3}, (4, 3, 3)),
        ({"sizeX": 7, "sizeY": 5}, (4, 1, 1)),
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        {"pool": "max"},
        {"pool": "maxabs"},
        {"pool": "avg"},
        {"pool": "avg", "sum": "true"},
        {"pool": "l2"},
    ],
    ids=str,
)
def test_shapes_and_gradients(
    kind: dict[str, str], keys: dict[str, Any], shape: tuple[int, ...]
) -> None:
    net = make_net(between(pool(**kind, **keys)))
    assert net.graph["top"].shape.as_tuple() == shape
    assert_gradients(net)


@pytest.mark.parametrize("kind", ["max", "maxabs", "avg", "l2"])
def test_numbers_as_square_images_and_a_second_user(kind: str) -> None:
    flat = layer("flat", "fc", "below", outputs=2 * 4 * 4, initW=0.2)
    top = pool("flat", pool=kind, channels=2)
    also = layer("also", "cost.sum2", "flat")
    net = make_net(between(flat + top + also))
    assert net.graph["top"].shape.as_tuple() == (2, 2, 2)
    assert_gradients(net)


def test_the_whole_image_as_one_window() -> None:
    net = make_net(between(pool(pool="avg", sizeX=0, stride=1)), keep=["below", "top"])
    net.forward(make_batch())
    means = net.activity("below").mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(net.activity("top"), means, rtol=1e-12)


def test_sum_counts_for_means_only() -> None:
    top = make_net(between(pool(pool="max", sum="true"))).graph["top"]
    assert top.warnings == ["sum=true counts with pool=avg only; found pool=max"]
    assert top.title == "max-pooling layer"


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"stride": 4}, "stride must be at most sizeX, 3; found stride=4"),
        (
            {"sizeX": 0, "start": -1},
            "sizeX=0, one window, goes with stride=1 alone; found stride=2, start=-1",
        ),
        (
            {"sizeX": 0, "stride": 1, "sizeY": 2},
            "sizeX=0, one window, goes with stride=1 alone; found sizeY=2",
        ),
        ({"sizeY": 6}, "sizeY must be at most the image's height, 5; found sizeY=6"),
        ({"sizeY": 1}, "stride must be at most sizeY, 1; found stride=2"),
        ({"sizeX": 6}, "sizeX must be at most the image's height, 5; found sizeX=6"),
        (
            {"channels": 3},
            "input 'below' is 4x5x7 (140 numbers), not interpretable as 3-channel images",
        ),
        (
            {"outputsX": 4},
            "every pooling window must overlap the image's height, 5; "
            "found 4 windows, the first at 0, the last at 6",
        ),
        (
            {"start": -3},
            "every pooling window must overlap the image's height, 5; "
            "found 4 windows, the first at -3, the last at 3",
        ),
        (
            {"start": 5},
            "every pooling window must overlap the image's height, 5; "
            "found 0 windows, the first at 5, the last at 3",
        ),
    ],
)
def test_mistakes(keys: dict[str, Any], text: str) -> None:
    assert layer_errors(between(pool(**{"pool": "max"} | keys))) == [text]


# --- over channels ------------------------------------------------------------------------------


def cmpool(inputs: str = "below", **keys: Any) -> str:
    """Of 4 channels two windows of 2, side by side, unless `keys` say otherwise."""
    usual = {"pool": "max", "channels": 4, "size": 2, "stride": 2, "outputs": 2}
    return layer("top", "cmpool", inputs, **usual | keys)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"size": 3, "stride": 1},
        {"start": -1, "outputs": 3},
        {"size": 4, "stride": 3, "start": -2, "neuron": "logistic"},
        {"size": 4, "outputs": 1},
        {"size": 1, "stride": 1, "outputs": 4},
    ],
)
def test_shapes_and_gradients_over_channels(keys: dict[str, Any]) -> None:
    net = make_net(between(cmpool(**keys) + layer("also", "cost.sum2", "below")))
    assert net.graph["top"].shape.as_tuple() == (keys.get("outputs", 2), 5, 7)
    assert_gradients(net)


def test_values_over_channels() -> None:
    net = make_net(between(cmpool(start=-1, outputs=3)), keep=["below", "top"])
    net.forward(make_batch())
    x = net.activity("below")
    expected = [x[0], np.maximum(x[1], x[2]), x[3]]
    np.testing.assert_array_equal(net.activity("top"), expected)


def test_one_channel_of_numbers() -> None:
    flat = layer("flat", "fc", "below", outputs=9, initW=0.2)
    net = make_net(between(flat + cmpool("flat", channels=1, size=1, stride=1, outputs=1)))
    assert net.graph["top"].shape.as_tuple() == (1, 3, 3)
    assert_gradients(net)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"size": 5}, "size must be at most channels, 4; found size=5"),
        ({"stride": 3}, "stride must be at most size, 2; found stride=3"),
        (
            {"outputs": 1},
            "the windows must cover all 4 channels, and each at least one; found 1 of size 2, "
            "the first at 0, the last at 0",
        ),
        (
            {"outputs": 3},
            "the windows must cover all 4 channels, and each at least one; found 3 of size 2, "
            "the first at 0, the last at 4",
        ),
        (
            {"outputs": 4, "start": -2},
            "the windows must cover all 4 channels, and each at least one; found 4 of size 2, "
            "the first at -2, the last at 4",
        ),
        ({"start": 1}, "parameter 'start' is '1': expected an integer <= 0"),
        ({"pool": "avg"}, "parameter 'pool' is 'avg': expected one of max"),
    ],
)
def test_mistakes_over_channels(keys: dict[str, Any], text: str) -> None:
    assert layer_errors(between(cmpool(**keys))) == [text]
