"""Neurons, sums, maxima, concatenation and dropout: values, mistakes, gradients."""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from convnet.layer_types.base import TEST, TRAIN, Mode
from convnet.net import Net
from convnet.neurons import Neuron
from convnet.ops.base import RandomKey
from convnet.ops.philox import normal, uniform
from convnet.plan import Clock
from tests import reference_lif
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
from tests.ops.neuron_examples import NEURONS, POSITIVE

CONV = {"channels": 4, "filterSize": 1, "initW": 0.6}
A = layer("a", "conv", "below", filters=4, **CONV)
B = layer("b", "conv", "below", filters=4, **CONV)
USED = layer("also", "cost.sum2", "a") + layer("too", "cost.sum2", "b")


# --- neurons ------------------------------------------------------------------------------------


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_neuron_after_a_layer(neuron: Neuron) -> None:
    """Its own layer in the graph, and in the program part of the convolution where it can be."""
    if neuron.kind in POSITIVE:  # of positive numbers only
        top = layer("positive", "neuron", "below", neuron="logistic")
        top += layer("top", "eltsum", "positive", neuron=neuron)
    else:
        top = layer("top", "fc", "below", outputs=6, neuron=neuron)
    net = make_net(between(top))
    assert net.graph["top_neuron"].inputs == (net.graph["top"],)
    assert net.graph["scores"].inputs == (net.graph["top_neuron"],)
    assert_gradients(net)


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_neuron_beside_another_user(neuron: Neuron) -> None:
    """Neither fused nor in place: its input is used again, and gets a second gradient."""
    positive = layer("pre", "neuron", "below", neuron="logistic")
    top = layer("mid", "neuron", "pre", neuron=neuron) + layer("top", "eltsum", "mid,pre,pre")
    assert_gradients(make_net(between(positive + top)))


def trained(neuron: str, clock: Clock) -> tuple[np.ndarray, np.ndarray, Net]:
    """Input and output of a neuron while training."""
    text = between(layer("top", "neuron", "below", neuron=neuron))
    # With another user `below` stands for itself.
    text += layer("also", "cost.sum2", "below")
    net = make_net(text, "[also]\ncoeff=0\n", keep=["below", "top"])
    net.forward(make_batch(), MASKED, clock)
    return net.activity("below"), net.activity("top"), net


def test_dropout_neuron() -> None:
    clock = Clock(seed=5, epoch=2, batch=3, minibatch=1)
    x, y, net = trained("dropout[0.3]", clock)
    key = RandomKey(5, zlib.crc32(b"top"), 2, 3, 1)
    kept = uniform(key, x.size).reshape(x.shape) < np.float32(0.7)
    np.testing.assert_array_equal(y, x * kept)
    assert_gradients_with_mask(net, clock)
    net.forward(make_batch())
    np.testing.assert_allclose(net.activity("top"), 0.7 * x, rtol=1e-12)


def test_noisy_neuron() -> None:
    clock = Clock(seed=5, epoch=2, batch=3, minibatch=1)
    neuron = "softlif[0.063,0.002,0.05,0.825,0.5,2]"
    x, y, net = trained(neuron, clock)
    net.forward(make_batch())
    rates = net.activity("top")
    noise = normal(RandomKey(5, zlib.crc32(b"top"), 2, 3, 1), x.size).reshape(x.shape)
    expected = np.where(x > 0, np.maximum(0, rates + 0.063 * 2 * noise), rates)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    assert (y != rates).mean() > 0.2


def test_gradient_of_a_noisy_neuron_is_that_of_its_rate() -> None:
    _, _, net = trained("softlifalpha[0.063,0.002,0.05,0.825,0.5,0.01]", Clock())
    net.backward()
    x, dy = net.activity("below"), net.gradient("top")
    slope = np.reshape([reference_lif.slope(v, 0.063, 0.002, 0.05, 0.825, 0.5) for v in x.flat],
                       x.shape)  # fmt: skip
    np.testing.assert_allclose(net.gradient("below"), slope * dy, rtol=1e-9)


# --- sums and maxima ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "keys"),
    [
        ("a,b", {}),
        ("a,b,below", {"coeffs": "2,-0.5,0.25"}),
        ("a,a", {"coeffs": "1,3"}),
        ("a,b,a", {}),
        ("a", {"coeffs": "-2"}),
        ("a,b", {"neuron": "relu"}),
    ],
)
def test_eltsum(inputs: str, keys: dict[str, Any]) -> None:
    net = make_net(between(A + B + USED + layer("top", "eltsum", inputs, **keys)))
    assert net.graph["top"].shape.as_tuple() == (4, 5, 7)
    assert_gradients(net)


def test_coefficients_of_eltsum() -> None:
    text = between(A + B + layer("top", "eltsum", "a,b", coeffs="2,-3"))
    in_definition = make_net(text, keep=["a", "b", "top"])
    in_definition.forward(make_batch())
    a, b, top = (in_definition.activity(name) for name in ("a", "b", "top"))
    np.testing.assert_allclose(top, 2 * a - 3 * b, rtol=1e-12)

    prevailing = make_net(text, "[top]\ncoeffs=1,1\n", keep=["top"])
    prevailing.forward(make_batch())
    np.testing.assert_allclose(prevailing.activity("top"), a + b, rtol=1e-12)


@pytest.mark.parametrize("inputs", ["a,b", "a,b,below", "b,below,a"])
def test_eltmax(inputs: str) -> None:
    net = make_net(
        between(A + B + USED + layer("top", "eltmax", inputs)), keep=["top", *inputs.split(",")]
    )
    net.forward(make_batch())
    expected = np.max([net.activity(name) for name in inputs.split(",")], axis=0)
    np.testing.assert_array_equal(net.activity("top"), expected)
    assert_gradients(net)


def test_equal_inputs_of_eltmax_all_get_the_gradient() -> None:
    net = make_net(between(A + layer("top", "eltmax", "a,a")), keep=["a", "top"])
    net.forward(make_batch(), TRAIN)
    net.backward()
    np.testing.assert_array_equal(net.gradient("a"), 2 * net.gradient("top"))


@pytest.mark.parametrize("kind", ["eltsum", "eltmax"])
def test_inputs_of_another_shape_but_equal_size(kind: str) -> None:
    flat = layer("flat", "fc", "below", outputs=140, initW=0.1)
    net = make_net(between(flat + layer("top", kind, "below,flat")))
    assert net.graph["top"].shape.as_tuple() == (4, 5, 7)
    assert_gradients(net)


@pytest.mark.parametrize("kind", ["eltsum", "eltmax"])
def test_inputs_of_another_size(kind: str) -> None:
    small = layer("small", "fc", "below", outputs=3)
    assert layer_errors(between(small + layer("top", kind, "below,small"))) == [
        "inputs must have equal sizes; found 'below' 4x5x7 and 'small' 3x1x1"
    ]


def test_number_of_coefficients() -> None:
    too_few, too_many = ("coeffs must have one entry per input, 2; found " + n for n in "13")
    assert layer_errors(between(layer("top", "eltsum", "below,below", coeffs="1"))) == [too_few]
    top = make_net(between(layer("top", "eltsum", "below,below", coeffs="1,2,3"))).graph["top"]
    assert top.warnings == [f"{too_many}, of which the last are ignored"]


# --- concatenation ------------------------------------------------------------------------------


def test_concat_of_images() -> None:
    b = layer("b", "conv", "below", filters=3, **CONV)
    top = layer("top", "concat", "b,below,b", neuron="tanh[1,1]")
    net = make_net(between(b + top), keep=["b", "below", "top"])
    assert net.graph["top"].shape.as_tuple() == (10, 5, 7)
    net.forward(make_batch())
    parts = [net.activity(name) for name in ("b", "below", "b")]
    np.testing.assert_array_equal(net.activity("top"), np.tanh(np.concatenate(parts)))
    assert_gradients(net)


def test_concat_of_numbers() -> None:
    layers = layer("a", "fc", "below", outputs=4, initW=0.3) + layer("top", "concat", "a,below")
    net = make_net(between(layers))
    assert net.graph["top"].shape.as_tuple() == (144, 1, 1)
    assert_gradients(net)


def test_concat_with_an_input_that_wants_no_gradient() -> None:
    assert_gradients(make_net(between(layer("top", "concat", "data,below,labels,data"))))


# --- dropout ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dropout", "dropout2"])
def test_gradients_of_dropout(kind: str) -> None:
    layers = layer("mid", kind, "below", neuron="tanh[1,1]") + layer("top", "eltsum", "mid,below")
    net = make_net(between(layers), "[mid]\nkeep=0.6\n")
    assert_gradients(net)
    assert_gradients_with_mask(net, Clock(seed=5, epoch=2, batch=3, minibatch=1))


def dropped(kind: str, extra: str, mode: Mode, clock: Clock) -> tuple[np.ndarray, np.ndarray]:
    """Input and output of a dropout layer."""
    net = make_net(between(layer("top", kind, "below")), extra, keep=["below", "top"])
    net.forward(make_batch(), mode, clock)
    return net.activity("below"), net.activity("top")


@pytest.mark.parametrize(
    ("kind", "kept_factor", "test_factor", "disabled_factor"),
    [("dropout", 1 / 0.7, 1, 1), ("dropout2", 1, 0.7, 0.7)],
)
def test_values_of_dropout(
    kind: str, kept_factor: float, test_factor: float, disabled_factor: float
) -> None:
    x, y = dropped(kind, "[top]\nkeep=0.7\n", TRAIN, Clock())
    kept = y != 0
    assert 0.6 < kept.mean() < 0.8
    np.testing.assert_allclose(y[kept], kept_factor * x[kept], rtol=1e-12)

    x, y = dropped(kind, "[top]\nkeep=0.7\n", TEST, Clock())
    np.testing.assert_allclose(y, test_factor * x, rtol=1e-12)

    for mode in (TRAIN, TEST):
        x, y = dropped(kind, "[top]\nkeep=0.7\nenable=false\n", mode, Clock())
        np.testing.assert_allclose(y, disabled_factor * x, rtol=1e-12)


def test_masks_differ_from_step_to_step_and_repeat() -> None:
    clocks = [Clock(), Clock(seed=1), Clock(epoch=2), Clock(batch=1), Clock(minibatch=1), Clock()]
    masks = [dropped("dropout", "", TRAIN, clock)[1] == 0 for clock in clocks]
    assert all((a != b).any() for a, b in pairwise(masks))
    np.testing.assert_array_equal(masks[0], masks[-1])


def test_two_dropout_layers_have_masks_of_their_own() -> None:
    layers = layer("one", "dropout", "below") + layer("two", "dropout", "below")
    net = make_net(between(layers + layer("top", "eltsum", "one,two")), keep=["one", "two"])
    net.forward(make_batch(), TRAIN)
    assert ((net.activity("one") == 0) != (net.activity("two") == 0)).any()


def test_keep_must_be_a_probability() -> None:
    for text in ("0", "1.5"):
        (error,) = layer_errors(between(layer("top", "dropout", "below")), f"[top]\nkeep={text}\n")
        assert error.endswith(
            f"parameter 'keep' is '{text}': expected a finite number > 0 and <= 1"
        )
