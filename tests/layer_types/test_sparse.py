"""Random sparse connectivity, and cccp."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convnet.layer_types.conv import ConvLayer
from convnet.net import Net
from convnet.ops.cpu import CpuOps
from tests.helpers import (
    assert_gradients,
    between,
    config_error,
    layer,
    layer_errors,
    make_batch,
    make_net,
)

# 6 channels in 4 groups that see 3 each: every channel is seen twice.
WIDE = layer("wide", "conv", "below", channels=4, filters=6, filterSize=3, padding=1, initW=0.3)
KEYS: dict[str, Any] = {"channels": 6, "filters": 2, "filterSize": 3, "padding": 1, "initW": 0.3}
SPARSE = KEYS | {"groups": 4, "randSparse": "true", "filterChannels": 3}
GIVEN = "5,0,2,1,3,4,0,1,2,5,4,3"


def sparse(kind: str = "conv", name: str = "top", **keys: Any) -> str:
    return layer(name, kind, "wide", **SPARSE | keys)


def connections(net: Net, name: str = "top") -> tuple[int, ...]:
    found = net.graph[name].connections[0]  # type: ignore[attr-defined]
    assert found is not None
    return found


@pytest.mark.parametrize("kind", ["conv", "local"])
def test_random_connections(kind: str) -> None:
    net = make_net(between(WIDE + sparse(kind, neuron="tanh[1,1]")))
    assert net.graph["top"].shape.as_tuple() == (8, 5, 7)
    taps = 3 * 9 * (35 if kind == "local" else 1)
    assert net.get_weights("top.weights.0").shape == (taps, 8)
    drawn = connections(net)
    assert sorted(drawn[:6]) == sorted(drawn[6:]) == list(range(6))
    assert_gradients(net)


def test_each_group_sees_its_channels() -> None:
    """As a dense convolution whose filters are 0 for all other channels."""
    net = make_net(between(WIDE + sparse(filterConns=GIVEN)), keep=["top"])
    assert ",".join(map(str, connections(net))) == GIVEN
    dense = make_net(between(WIDE + layer("top", "conv", "wide", **KEYS | {"filters": 8})),
                     keep=["top"])  # fmt: skip
    for name in net.parameters:
        if name != "top.weights.0":
            dense.set_weights(name, net.get_weights(name))
    filters = np.zeros((6, 9, 8))
    own = net.get_weights("top.weights.0").reshape(3, 9, 4, 2)
    for place, channel in enumerate(connections(net)):
        group, c = divmod(place, 3)
        filters[channel, :, 2 * group : 2 * group + 2] = own[c, :, group]
    dense.set_weights("top.weights.0", filters.reshape(54, 8))
    for each in (net, dense):
        each.forward(make_batch())
    np.testing.assert_allclose(net.activity("top"), dense.activity("top"), rtol=1e-9, atol=1e-12)


def test_connections_depend_on_the_name_alone() -> None:
    text = between(WIDE + sparse())
    first = connections(make_net(text, seed=1))
    assert connections(make_net(text, seed=2, ops=CpuOps())) == first
    again = text.replace("[top]", "[other]").replace("top", "other")
    assert connections(make_net(again), "other") != first


def test_the_stream_of_connections_stays_as_it_is() -> None:
    """Checkpoints hold the layer files only: another draw would make old ones worthless."""
    assert connections(make_net(between(WIDE + sparse()))) == (
        3, 5, 2, 0, 4, 1, 4, 5, 2, 3, 1, 0,
    )  # fmt: skip


def test_several_inputs() -> None:
    """One of them sparse, one in blocks, the first one once more."""
    keys = SPARSE | {"randSparse": "1,0,1", "filterChannels": "3,0,6", "groups": "2,2,2",
                     "channels": "6,4,6"}  # fmt: skip
    text = WIDE + layer("top", "conv", "wide,below,wide", **keys)
    net = make_net(between(text))
    top = net.graph["top"]
    assert isinstance(top, ConvLayer)
    assert [c and len(c) for c in top.connections] == [6, None, 12]
    assert_gradients(net)


def test_shared_filters_see_the_same_channels() -> None:
    again = layer("again", "conv", "top_in", **SPARSE | {"filters": 2, "weightSource": "first"})
    text = WIDE + sparse(name="first") + layer("six", "conv", "first", channels=8, filters=6,
                                               filterSize=1, initW=0.3)  # fmt: skip
    text += again.replace("top_in", "six") + layer("top", "eltsum", "first,again")
    net = make_net(between(text))
    assert connections(net, "again") == connections(net, "first")
    assert_gradients(net)


def test_one_user_wants_no_gradient() -> None:
    top = layer("top", "conv", "data,wide", **SPARSE | {
        "channels": "2,6", "groups": "2,4", "filters": "4,2", "filterChannels": "2,3"})  # fmt: skip
    assert_gradients(make_net(between(WIDE + top)))


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"groups": 1, "filters": 8}, "randSparse needs more than one group; found groups=1"),
        (
            {"filterChannels": 4},
            "randSparse needs channels to be a multiple of filterChannels, and groups * "
            "filterChannels a multiple of channels; found channels=6, groups=4, filterChannels=4",
        ),
        (
            {"filterChannels": 1},
            "randSparse needs channels to be a multiple of filterChannels, and groups * "
            "filterChannels a multiple of channels; found channels=6, groups=4, filterChannels=1",
        ),
        (
            {"groups": 8, "filters": 1, "filterChannels": 0},
            "randSparse needs channels to be a multiple of filterChannels, and groups * "
            "filterChannels a multiple of channels; found channels=6, groups=8, filterChannels=0",
        ),
        (
            {"randSparse": "false", "groups": 2, "filters": 4, "filterChannels": 6},
            "filterChannels without randSparse is channels / groups, 3; found 6",
        ),
        (
            {"filterConns": "0,1,2"},
            "filterConns must have groups * filterChannels numbers for each input with "
            "randSparse, 12 in all; found 3",
        ),
        (
            {"filterConns": "0,1,2,3,4,5,0,1,2,3,4,4"},
            "filterConns: numbers 6 to 11 must be the channels 0 to 5, each once; "
            "found 0,1,2,3,4,4",
        ),
        (
            {"weightSource": "dense", "filterChannels": 3},
            "weightSource 'dense' must have the same randSparse, groups and filterChannels",
        ),
    ],
)
def test_mistakes(keys: dict[str, Any], error: str) -> None:
    dense = layer("dense", "conv", "wide", **KEYS | {"groups": 2, "filters": 4})
    used = layer("use", "cost.sum2", "dense")
    assert layer_errors(between(WIDE + dense + sparse(**keys)) + used) == [error]


def test_filter_conns_are_numbers() -> None:
    error = config_error(between(WIDE + sparse(filterConns="0,-1")))
    assert "expected a comma-separated list of integers >= 0" in error


def test_functions_that_draw_are_refused() -> None:
    error = config_error(between(WIDE + sparse(initCFunc="module.draw(1)")))
    assert error.endswith(
        "parameter 'initCFunc' is 'module.draw(1)': expected filterConns with what the function "
        "returns"
    )


# --- cccp ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [1, 2])
def test_cccp(groups: int) -> None:
    keys = {"channels": groups, "in_nodes": 6 // groups, "out_nodes": 5, "initW": 0.3}
    net = make_net(between(WIDE + layer("top", "cccp", "wide", **keys)), keep=["wide", "top"])
    assert net.graph["top"].shape.as_tuple() == (5 * groups, 5, 7)
    assert net.get_weights("top.weights.0").shape == (6 // groups, 5 * groups)
    assert net.get_weights("top.biases").shape == (1, 5 * groups)
    assert_gradients(net)
    net.forward(make_batch())
    x = net.activity("wide").reshape(groups, 6 // groups, -1)
    weights = net.get_weights("top.weights.0").reshape(6 // groups, groups, 5)
    expected = np.einsum("gip,igo->gop", x, weights).reshape(5 * groups, 5, 7, -1)
    expected += net.get_weights("top.biases").reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(net.activity("top"), expected, rtol=1e-9, atol=1e-12)


def test_cccp_of_several_inputs_with_a_neuron() -> None:
    keys = {"channels": 2, "in_nodes": 2, "out_nodes": 3, "initW": 0.3}
    assert_gradients(make_net(between(layer("top", "cccp", "below,below", neuron="relu", **keys))))


def test_nodes_of_cccp_must_fit() -> None:
    keys = {"channels": 1, "in_nodes": 3, "out_nodes": 3}
    assert layer_errors(between(layer("top", "cccp", "below", **keys))) == [
        "input 'below' is 4x5x7 (140 numbers), not interpretable as 3-channel images"
    ]
