"""Layers of nets that compare images: unit vectors, cosines, prelu, and gradients that stop."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.layer_types.base import CHECK, TRAIN
from tests.helpers import (
    assert_gradients,
    between,
    layer,
    layer_errors,
    make_batch,
    make_net,
)


def test_each_image_has_length_one() -> None:
    net = make_net(between(layer("top", "l2norm", "below")), keep=("below", "top"))
    net.forward(make_batch(), CHECK)
    below, top = (net.activity(name).reshape(-1, 4) for name in ("below", "top"))
    np.testing.assert_allclose(np.linalg.norm(top, axis=0), 1, rtol=1e-9)
    np.testing.assert_allclose(top * np.linalg.norm(below, axis=0), below, rtol=1e-9)
    assert net.graph["top"].shape == net.graph["below"].shape


def test_cosines_do_not_depend_on_lengths() -> None:
    text = between(layer("top", "cosfc", "below", outputs=5, initW=0.3))
    net = make_net(text, keep=("below", "top"))
    matrices = make_batch()
    weights = net.get_weights("top.weights.0")
    assert net.parameters.keys().isdisjoint({"top.biases"})
    net.forward(matrices, CHECK)
    below, top = net.activity("below").reshape(-1, 4), net.activity("top").reshape(5, 4)
    for f, n in np.ndindex(5, 4):
        w, x = weights[:, f], below[:, n]
        cosine = (w @ x) / (np.linalg.norm(w) * np.linalg.norm(x))
        assert abs(top[f, n] - cosine) < 1e-9
    net.set_weights("top.weights.0", 7 * weights)
    net.forward(matrices, CHECK)
    np.testing.assert_allclose(net.activity("top").reshape(5, 4), top, rtol=1e-9)


def test_weights_of_cosines_are_shared() -> None:
    text = between(
        layer("a", "cosfc", "below", outputs=5, initW=0.3)
        + layer("b", "cosfc", "below", outputs=5, weightSource="a", neuron="square")
        + layer("top", "concat", "a,b")
    )
    net = make_net(text)
    assert "b.weights.0" not in net.parameters
    assert_gradients(net)


def test_slopes_begin_as_the_key_says_and_learn() -> None:
    net = make_net(between(layer("top", "prelu", "below", slope=0.5)), keep=("below", "top"))
    net.forward(make_batch(), CHECK)
    x = net.activity("below")
    np.testing.assert_allclose(net.activity("top"), np.where(x > 0, x, 0.5 * x))
    assert net.get_weights("top.weights.0").shape == (1, 4)
    net.train_step(make_batch())
    assert (net.get_weights("top.weights.0") != 0.5).all()


def test_no_gradient_passes_a_stop() -> None:
    """With the stop, `below` gets what it gets from the other way alone."""
    gradients = []
    ways = (layer("way", "neuron", "below", neuron="ident"), layer("way", "stopgrad", "below"))
    for way in ways:
        text = between(way + layer("top", "eltsum", "below,way", coeffs="1,-1"))
        net = make_net(text, keep=("way", "below"))
        net.forward(make_batch(), CHECK)
        np.testing.assert_array_equal(net.activity("way"), net.activity("below"))
        net.backward()
        gradients.append(net.gradient("below.weights.0"))
    assert (gradients[0] == 0).all()
    assert (gradients[1] != 0).any()


def test_what_lies_below_stops_alone_has_no_backward_pass() -> None:
    net = make_net(between(layer("top", "stopgrad", "below")))
    ops = {call.op for call in net.recording(TRAIN).program.calls if call.layer == "below"}
    assert ops == {"conv_fprop"}
    before = net.state()
    net.train_step(make_batch())
    after = net.state()
    np.testing.assert_array_equal(after["below.weights.0"], before["below.weights.0"])
    assert (after["scores.weights.0"] != before["scores.weights.0"]).any()


@pytest.mark.parametrize(
    ("kind", "keys", "expected"),
    [
        ("l2norm", {"eps": 0}, "parameter 'eps' is '0': expected a finite number > 0"),
        ("prelu", {"slope": "x"}, "parameter 'slope' is 'x': expected a finite number"),
        ("cosfc", {}, "required parameter 'outputs' missing"),
    ],
)
def test_mistakes(kind: str, keys: dict[str, str], expected: str) -> None:
    assert layer_errors(between(layer("top", kind, "below", **keys))) == [expected]


def test_cosines_have_one_input() -> None:
    (error,) = layer_errors(between(layer("top", "cosfc", "below,data", outputs=2)))
    assert error == "type 'cosfc' takes 1 inputs, found 2"
