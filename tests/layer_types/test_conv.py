"""conv and local: shapes, mistakes, gradients on awkward shapes, sharing of their matrices."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers import (
    assert_gradients,
    between,
    layer,
    layer_errors,
    make_graph,
    make_net,
)

WINDOWS = pytest.mark.parametrize("kind", ["conv", "local"])


def windows(kind: str, name: str = "top", inputs: str = "below", **keys: Any) -> str:
    """A conv or local layer of 3 filters of 3x3 on `below`, unless `keys` say otherwise."""
    return layer(
        name, kind, inputs, **{"channels": 4, "filters": 3, "filterSize": 3, "initW": 0.3} | keys
    )


@WINDOWS
@pytest.mark.parametrize(
    ("keys", "shape"),  # on images of 4x5x7
    [
        ({}, (3, 3, 5)),
        ({"padding": 1}, (3, 5, 7)),
        ({"padding": 2, "filterSize": 2}, (3, 8, 10)),
        ({"stride": 2}, (3, 2, 3)),
        ({"stride": 3}, (3, 2, 3)),  # 2 and 4 pixels left over: partial windows
        ({"stride": 4, "filterSize": 2}, (3, 2, 3)),  # pixels between the windows
        ({"groups": 2, "filters": 3}, (6, 3, 5)),
        ({"groups": 4, "filters": 1, "padding": 1, "stride": 2}, (4, 3, 4)),
        ({"filterSize": 5}, (3, 1, 3)),
        ({"filterSize": 1}, (3, 5, 7)),
        ({"modulesX": 3, "stride": 2}, (3, 3, 3)),  # one window more than needed across 5 rows
        ({"modulesX": 4, "stride": 3}, (3, 4, 4)),  # windows wholly outside the image
        ({"neuron": "tanh[1.5,0.5]"}, (3, 3, 5)),
        ({"filterSizeY": 1, "padding": 1, "paddingY": 0}, (3, 5, 7)),  # along rows
        ({"filterSize": 1, "filterSizeY": 7, "paddingY": 3, "stride": 2}, (3, 3, 4)),
        ({"modulesX": 4, "modulesY": 3, "stride": 2, "padding": 1}, (3, 3, 4)),
    ],
)
def test_shapes_and_gradients(kind: str, keys: dict[str, Any], shape: tuple[int, ...]) -> None:
    net = make_net(between(windows(kind, **keys)))
    assert net.graph["top"].shape.as_tuple() == shape
    assert_gradients(net)


def test_matrices_and_work_of_conv() -> None:
    net = make_net(between(windows("conv", groups=2, filters=3)))
    top = net.graph["top"]
    assert net.get_weights("top.weights.0").shape == (2 * 9, 6)
    assert net.get_weights("top.biases").shape == (6, 1)
    assert top.multiply_adds == 2 * 9 * 6 * (3 * 5)


def test_matrix_of_filters_that_are_not_square() -> None:
    net = make_net(between(windows("conv", filterSizeY=1, paddingY=0, padding=1)))
    assert net.get_weights("top.weights.0").shape == (4 * 3, 3)
    assert net.graph["top"].multiply_adds == 4 * 3 * 3 * (5 * 7)


def test_matrices_and_work_of_local() -> None:
    net = make_net(between(windows("local", groups=2, filters=3)))
    top = net.graph["top"]
    assert net.get_weights("top.weights.0").shape == ((3 * 5) * 2 * 9, 6)
    assert net.get_weights("top.biases").shape == (6 * 3 * 5, 1)
    assert top.multiply_adds == 2 * 9 * 6 * (3 * 5)


def test_a_bias_per_output() -> None:
    net = make_net(between(windows("conv", sharedBiases="false")))
    assert net.get_weights("top.biases").shape == (3 * 3 * 5, 1)
    assert_gradients(net)


@WINDOWS
def test_numbers_as_square_images(kind: str) -> None:
    flat = layer("flat", "fc", "below", outputs=4 * 3 * 3, initW=0.2)
    net = make_net(between(flat + windows(kind, inputs="flat", padding=1)))
    assert net.graph["top"].shape.as_tuple() == (3, 3, 3)
    assert_gradients(net)


@WINDOWS
def test_inputs_with_windows_of_their_own(kind: str) -> None:
    """Two layers and one of them twice, each input with a size and a group number of its own."""
    other = windows("conv", "other", filters=2, padding=1)
    top = windows(
        kind, inputs="below,other,below", channels="4,2,4", filterSize="3,5,2", padding="0,1,0",
        stride="2,2,3", filters="2,4,1", groups="2,1,4", initW="0.3,0.2,0.4", neuron="logistic",
    )  # fmt: skip
    net = make_net(between(other + top))
    assert net.graph["top"].shape.as_tuple() == (4, 2, 3)
    assert_gradients(net)


@WINDOWS
def test_matrix_of_another_layer(kind: str) -> None:
    first = windows(kind, "first", filters=4, padding=1)
    second = windows(kind, "second", "first", filters=4, padding=1, weightSource="first")
    third = windows(kind, "top", "second", filters=4, padding=1, weightSource="first[0]")
    net = make_net(between(first + second + third))
    assert [n for n in net.parameters if "weights" in n] == [
        "below.weights.0", "first.weights.0", "scores.weights.0",
    ]  # fmt: skip
    assert_gradients(net)


@WINDOWS
def test_matrix_of_an_earlier_input(kind: str) -> None:
    other = windows("conv", "other", filters=4, padding=1)
    top = windows(kind, inputs="below,other,below", weightSource=",top,top[0]", neuron="tanh[1,1]")
    net = make_net(between(other + top))
    assert [p.name for p in net.graph["top"].parameters] == ["top.weights.0"] * 3 + ["top.biases"]
    assert [p.name for p in net.graph["top"].own_parameters] == ["top.weights.0", "top.biases"]
    assert_gradients(net)


@WINDOWS
@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (
            {"channels": 3},
            "input 'below' is 4x5x7 (140 numbers), not interpretable as 3-channel images",
        ),
        (
            {"channels": 5},  # 28 pixels
            "input 'below' is 4x5x7 (140 numbers), not interpretable as 5-channel images",
        ),
        (
            {"groups": 3},
            "channels must be a multiple of groups; found channels=4, groups=3",
        ),
        (
            {"modulesX": 2},
            "modulesX=2 windows cover 4 pixels of the image's height, 5; leave it out or take more",
        ),
        (
            {"filterSize": 6},
            "filterSize must be at most the padded image's height, 5 + 2*0; found filterSize=6",
        ),
        (
            {"filterSize": 12, "padding": 3},
            "filterSize must be at most the padded image's height, 5 + 2*3; found filterSize=12",
        ),
        (
            {"filterSizeY": 6, "padding": 2, "paddingY": 0},
            "filterSizeY must be at most the padded image's height, 5 + 2*0; found filterSizeY=6",
        ),
        (
            {"modulesX": 3, "modulesY": 1},
            "modulesY=1 windows cover 3 pixels of the image's height, 5; leave it out or take more",
        ),
        (
            {"inputs": "below,below", "filters": "3,4"},
            "all inputs must give the same number of filters and pixels; found 3x3x5, 4x3x5",
        ),
        (
            {"inputs": "below,below", "stride": "1,2"},
            "all inputs must give the same number of filters and pixels; found 3x3x5, 3x2x3",
        ),
    ],
)
def test_mistakes(kind: str, keys: dict[str, Any], text: str) -> None:
    assert layer_errors(between(windows(kind, **keys)))[0] == text


def test_kernel_tuning_keys_do_nothing() -> None:
    graph = make_graph(between(windows("conv", partialSum=7, sumWidth=3)))
    assert graph["top"].shape.as_tuple() == (3, 3, 5)
