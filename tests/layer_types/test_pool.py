"""Pooling layers: shapes, mistakes, gradients."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import assert_gradients, between, layer, layer_errors, make_net


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
    ],
)
@pytest.mark.parametrize("kind", [{"pool": "max"}, {"pool": "avg"}, {"pool": "avg", "sum": "true"}])
def test_shapes_and_gradients(
    kind: dict[str, str], keys: dict[str, Any], shape: tuple[int, ...]
) -> None:
    net = make_net(between(pool(**kind, **keys)))
    assert net.graph["top"].shape.as_tuple() == shape
    assert_gradients(net)


@pytest.mark.parametrize("kind", ["max", "avg"])
def test_numbers_as_square_images_and_a_second_user(kind: str) -> None:
    flat = layer("flat", "fc", "below", outputs=2 * 4 * 4, initW=0.2)
    top = pool("flat", pool=kind, channels=2)
    also = layer("also", "cost.sum2", "flat")
    net = make_net(between(flat + top + also))
    assert net.graph["top"].shape.as_tuple() == (2, 2, 2)
    assert_gradients(net)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"stride": 4}, "stride must be at most sizeX, 3; found stride=4"),
        ({"sum": "true"}, "sum=true goes with pool=avg only; found pool=max"),
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
