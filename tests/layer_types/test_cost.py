"""Softmax and costs: values, mistakes, gradients with and without fusing."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.layer_types.base import CHECK, TRAIN
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

TOP = layer("top", "fc", "below", outputs=5, initW=0.05, neuron="tanh[1,1]")
SECOND_COST = layer("second", "cost.logreg", "labels,probs")
SQUARES = layer("squares", "cost.sum2", "probs")


def backward_ops(text: str, extra: str = "") -> list[str]:
    """The operations on softmax and costs in the backward pass of a training step."""
    recording = make_net(text, extra).recording(TRAIN)
    calls = recording.program.calls[recording.program.marks["backward"] :]
    return [c.op for c in calls if c.op.split("_")[0] in ("softmax", "logreg", "add")]


def test_softmax_with_logreg_is_fused() -> None:
    assert backward_ops(between(TOP)) == ["softmax_logreg_bprop"]
    assert_gradients(make_net(between(TOP)))


@pytest.mark.parametrize(
    "costs",
    [SECOND_COST, SQUARES, SQUARES + SECOND_COST, SECOND_COST + layer("also", "cost.sum2", "top")],
)
@pytest.mark.parametrize("at_end", [True, False])
def test_softmax_with_several_users(costs: str, at_end: bool) -> None:
    """Not fused, in whatever order the gradients come together."""
    text = between(TOP)
    text = text + costs if at_end else text.replace("[cost]", costs + "[cost]")
    assert "softmax_bprop" in backward_ops(text)
    assert "softmax_logreg_bprop" not in backward_ops(text)
    assert_gradients(make_net(text, "[second]\ncoeff=0.5\n" if "second" in costs else ""))


def test_two_classifiers_on_one_layer() -> None:
    again = CLASSIFIER.replace("scores", "s2").replace("probs", "p2").replace("[cost]", "[c2]")
    net = make_net(between(TOP) + again, "[c2]\ncoeff=-0.25\n")
    assert_gradients(net)


def test_softmax_below_another_layer() -> None:
    text = between(layer("top", "softmax", "below") + layer("also", "cost.sum2", "top"))
    assert make_net(text).graph["top"].shape.as_tuple() == (140, 1, 1)
    assert_gradients(make_net(text))


def test_values() -> None:
    net = make_net(between(TOP) + SQUARES, "[cost]\ncoeff=3\ntopk=2\n", keep=["probs"])
    matrices = make_batch()
    costs = net.forward(matrices)
    probs, labels = net.activity("probs")[:, 0, 0], matrices[1][0].astype(int)
    expected = [0.0, 0.0, 0.0]
    for n, label in enumerate(labels):
        ranking = sorted(range(3), key=lambda k: -probs[k, n])
        expected[0] -= np.log(probs[label, n])
        expected[1] += label != ranking[0]
        expected[2] += label not in ranking[:2]
    np.testing.assert_allclose(costs["cost"], expected, rtol=1e-12)
    np.testing.assert_allclose(costs["squares"], [(probs**2).sum()], rtol=1e-12)


def test_topk_may_stand_in_either_file() -> None:
    text = between(TOP)
    in_definition = make_net(text + "topk=2\n").forward(make_batch())["cost"]
    in_parameters = make_net(text, "[cost]\ntopk=2\n").forward(make_batch())["cost"]
    np.testing.assert_array_equal(in_definition, in_parameters)


def test_coefficient_zero_is_only_reported() -> None:
    text = between(TOP) + SQUARES
    off, without = make_net(text, "[squares]\ncoeff=0\n"), make_net(between(TOP))
    assert "squares" in off.forward(make_batch())
    for net in (off, without):
        net.train_step(make_batch())
    for name, values in without.state().items():
        np.testing.assert_array_equal(off.state()[name], values)


def test_nothing_learns_if_all_coefficients_are_zero() -> None:
    net = make_net(between(TOP), "[cost]\ncoeff=0\n")
    before = net.state()
    net.train_step(make_batch())
    for name, values in net.state().items():
        np.testing.assert_array_equal(before[name], values)
    assert not net.recording(CHECK).program.calls[net.recording(CHECK).program.marks["backward"] :]


def test_costs_directly_on_data() -> None:
    probs = layer("probs", "softmax", "data")
    net = make_net(DATA + probs + layer("cost", "cost.logreg", "labels,probs"), shapes=LINEAR)
    net.train_step(make_batch(LINEAR))


LINEAR = ((3, 1, 1), (1, 1, 1))


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (
            TOP + layer("bad", "cost.logreg", "data,probs"),
            "first input must be the labels, a data layer with one number per image; "
            "found 'data' of type 'data' with 70",
        ),
        (
            layer("top", "fc", "below", outputs=1) + layer("bad", "cost.logreg", "top,probs"),
            "first input must be the labels, a data layer with one number per image; "
            "found 'top' of type 'fc' with 1",
        ),
        (
            TOP + layer("bad", "cost.logreg", "labels,scores"),
            "second input must be a softmax layer; found 'scores' of type 'fc'",
        ),
    ],
)
def test_mistakes(layers: str, text: str) -> None:
    layers, bad = layers.split("[bad]")
    assert layer_errors(between(layers) + "[bad]" + bad) == [text]


def test_more_best_classes_than_there_are() -> None:
    net = make_net(between(TOP), "[cost]\ntopk=4\n")
    assert net.graph["cost"].warnings == ["the top-k error is always 0 for topk=4 of 3 classes"]
    assert net.forward(make_batch())["cost"][2] == 0


def test_coeff_is_required_in_the_parameter_file() -> None:
    (error,) = layer_errors(between(TOP) + "coeff=1\n")
    assert error == "parameter 'coeff' belongs in the parameter file"
