"""sfc, and fc with dropout of outputs or connections: values, gradients, mistakes."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from convnet.layer_types.base import TRAIN
from convnet.net import Net
from convnet.ops.base import RandomKey
from convnet.ops.philox import uniform
from convnet.plan import Clock
from tests.helpers import (
    MASKED,
    assert_gradients,
    assert_gradients_with_mask,
    between,
    layer,
    layer_errors,
    make_batch,
    make_net,
)

CLOCK = Clock(seed=5, epoch=2, batch=3, minibatch=1)


# --- sfc ----------------------------------------------------------------------------------------


def sfc(name: str = "top", inputs: str = "below", **keys: object) -> str:
    return layer(name, "sfc", inputs, **{"outputs": 3, "parts": 5, "initW": 0.3} | keys)


def test_sfc() -> None:
    net = make_net(between(sfc()), keep=["below", "top"])
    assert net.graph["top"].shape.as_tuple() == (15, 1, 1)
    assert net.graph["top"].multiply_adds == 140 * 3
    assert net.get_weights("top.weights.0").shape == (140, 3)
    assert net.get_weights("top.biases").shape == (1, 15)
    assert_gradients(net)
    net.forward(make_batch())
    x, y = net.activity("below").reshape(140, -1), net.activity("top")[:, 0, 0]
    weights, biases = net.get_weights("top.weights.0"), net.get_weights("top.biases")
    for k in range(5):
        block, rows = slice(28 * k, 28 * (k + 1)), slice(3 * k, 3 * (k + 1))
        expected = weights[block].T @ x[block] + biases[0, rows, None]
        np.testing.assert_allclose(y[rows], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("neuron", ["relu", "tanh[1,1]"])
def test_sfc_of_several_inputs_with_a_neuron(neuron: str) -> None:
    layers = layer("a", "fc", "below", outputs=10, initW=0.3)
    net = make_net(between(layers + sfc(inputs="a,below,a", weightSource=",,top", neuron=neuron)))
    assert_gradients(net)


def test_sfc_of_one_part_is_fc() -> None:
    split = make_net(between(sfc(parts=1, outputs=4)), keep=["scores"])
    whole = make_net(between(layer("top", "fc", "below", outputs=4, initW=0.3)), keep=["scores"])
    for net in (split, whole):
        net.train_step(make_batch(), CLOCK)
    for name, values in whole.state().items():
        np.testing.assert_array_equal(split.state()[name], values)


def test_parts_must_divide_the_input() -> None:
    assert layer_errors(between(sfc(parts=3))) == [
        "input 'below' has 140 numbers, not a multiple of parts=3"
    ]


# --- dropout of outputs -------------------------------------------------------------------------


def dropped(kind: str, **keys: object) -> str:
    return layer("top", kind, "below", **{"outputs": 7, "rate": 0.3, "initW": 0.3} | keys)


def mask(name: str, *shape: int) -> np.ndarray:
    """What stays at CLOCK, in the draw of a name."""
    key = RandomKey(5, zlib.crc32(name.encode()), 2, 3, 1)
    return (uniform(key, int(np.prod(shape))) < np.float32(0.7)).reshape(shape)


def linear(net: Net) -> np.ndarray:
    """The weights of `top` times its input, plus biases, before anything is dropped: (7, N)."""
    x = net.activity("below").reshape(140, -1)
    return net.get_weights("top.weights.0").T @ x + net.get_weights("top.biases").T


@pytest.mark.parametrize("kind", ["fcdropo", "fcdrop"])
def test_dropped_outputs(kind: str) -> None:
    """As with the key `dropout`; the neuron comes after."""
    net = make_net(between(dropped(kind, neuron="tanh[1,1]")), keep=["below", "top"])
    assert list(net.graph)[3:6] == ["top", "top_dropout", "top_neuron"]
    assert_gradients(net)
    assert_gradients_with_mask(net, CLOCK)
    net.forward(make_batch(), TRAIN, CLOCK)
    expected = np.tanh(linear(net) * mask("top_dropout", 7, 4))
    np.testing.assert_allclose(net.activity("top")[:, 0, 0], expected, rtol=1e-9, atol=1e-12)
    net.forward(make_batch())
    expected = np.tanh(0.7 * linear(net))
    np.testing.assert_allclose(net.activity("top")[:, 0, 0], expected, rtol=1e-9, atol=1e-12)


def test_rate_and_dropout_together() -> None:
    net = make_net(between(dropped("fcdropo")), "[top]\ndropout=0.5\n")
    assert net.graph["top_dropout"].values["keep"] == pytest.approx(0.35)


# --- dropped connections ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fcdropc", "fcdropcf"])
@pytest.mark.parametrize("neuron", ["ident", "tanh[1,1]"])
def test_dropped_connections(kind: str, neuron: str) -> None:
    """Weights and biases are missing for each image by itself."""
    f = np.tanh if neuron != "ident" else lambda x: x
    net = make_net(between(dropped(kind, neuron=neuron)), keep=["below", "top"])
    assert_gradients(net)
    assert_gradients_with_mask(net, CLOCK)

    net.forward(make_batch(), MASKED, CLOCK)
    x = net.activity("below").reshape(140, -1)
    weights, biases = net.get_weights("top.weights.0"), net.get_weights("top.biases")
    expected = mask("top.biases", 7, 4) * biases.T
    expected += np.einsum("kfn,kf,kn->fn", mask("top.weights", 140, 7, 4), weights, x)
    np.testing.assert_allclose(net.activity("top")[:, 0, 0], f(expected), rtol=1e-9, atol=1e-12)

    net.forward(make_batch())
    expected = f(0.7 * linear(net))
    np.testing.assert_allclose(net.activity("top")[:, 0, 0], expected, rtol=1e-9, atol=1e-12)


def test_frozen_and_shared_matrices_with_dropped_connections() -> None:
    frozen = make_net(between(dropped("fcdropc")), "[top]\nepsW=0\nepsB=0\n")
    before = frozen.state()
    frozen.train_step(make_batch())
    changed = {name for name, values in frozen.state().items() if (values != before[name]).any()}
    assert not any(name.startswith("top") for name in changed)

    layers = layer("a", "fcdropc", "below", outputs=7, rate=0.3, initW=0.3)
    layers += layer("b", "fcdropc", "a", outputs=7, rate=0.3, initW=0.3)
    layers += layer("top", "fcdropc", "b", outputs=7, rate=0.2, weightSource="b")
    shared = make_net(between(layers))
    assert_gradients(shared)
    assert_gradients_with_mask(shared, CLOCK)


@pytest.mark.parametrize("kind", ["fcdropo", "fcdropc"])
def test_one_input_only(kind: str) -> None:
    errors = layer_errors(between(layer("top", kind, "below,data", outputs=3, rate=0.5)))
    assert errors == [f"type '{kind}' takes 1 inputs, found 2"]


# --- the key dropout ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "top",
    [
        layer("top", "fc", "below", outputs=7, initW=0.3, neuron="tanh[1,1]"),
        layer("top", "pool", "below", channels=4, sizeX=3, stride=2, pool="max"),
        layer("top", "neuron", "below", neuron="tanh[1,1]"),
        layer("top", "eltsum", "below,below", neuron="abs"),
    ],
)
def test_dropout_of_any_layer(top: str) -> None:
    net = make_net(between(top), "[top]\ndropout=0.4\n")
    assert net.graph["top_dropout"].inputs == (net.graph["top"],)
    assert_gradients(net)
    assert_gradients_with_mask(net, CLOCK)


def test_dropout_of_data() -> None:
    text = between(layer("top", "fc", "below", outputs=3))
    net = make_net(text, "[data]\ndropout=0.25\n", keep=["data"])
    net.forward(make_batch(), TRAIN, CLOCK)
    assert 0.1 < (net.activity("data") == 0).mean() < 0.4
    assert net.graph["below"].inputs == (net.graph["data_dropout"],)


def test_dropout_is_not_a_key_of_costs() -> None:
    errors = layer_errors(between(layer("top", "fc", "below", outputs=3)), "[cost]\ndropout=0.5\n")
    assert "unknown parameter 'dropout'" in errors[0]


def test_features_of_a_layer_with_dropout() -> None:
    """After its dropout, and after its neuron if that overwrites the layer's output."""
    for neuron, name in (("relu", "top_neuron"), ("abs", "top_dropout")):
        text = between(layer("top", "fc", "below", outputs=3, neuron=neuron))
        net = make_net(text, "[top]\ndropout=0.5\n", keep=["top", name])
        net.forward(make_batch())
        np.testing.assert_array_equal(net.activity("top"), net.activity(name))


# --- layer types under other names, or refused --------------------------------------------------


def test_union_and_pass_are_concat() -> None:
    for kind in ("union", "pass"):
        net = make_net(between(layer("top", kind, "below,data", neuron="tanh[1,1]")))
        assert net.graph["top"].shape.as_tuple() == (6, 5, 7)
        assert_gradients(net)


def test_union_takes_two_inputs() -> None:
    errors = layer_errors(between(layer("top", "union", "below,data,data")))
    assert errors == ["type 'union' takes 2 inputs, found 3"]


def test_sum_is_refused() -> None:
    errors = layer_errors(between(layer("top", "sum", "below")))
    assert errors == ["type 'sum' never ran in cuda-convnet's engine; use eltsum, or fc"]
