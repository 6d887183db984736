"""hingeloss, gsinlabel and locrank: values, gradients, mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.errors import BatchError
from tests import reference_costs
from tests.helpers import (
    BELOW,
    DATA,
    SHAPES,
    assert_gradients,
    layer,
    layer_errors,
    make_batch,
    make_net,
)

SCORES = layer("scores", "fc", "below", outputs=3, initW=0.1)
HINGE = SCORES + layer("cost", "cost.hingeloss", "labels,scores")


def test_hingeloss() -> None:
    net = make_net(DATA + BELOW + HINGE, "[cost]\ncoeff=0.75\n", keep=["scores"])
    assert_gradients(net)
    values = net.forward(make_batch())["cost"]
    expected = reference_costs.hinge_cost(make_batch()[1], net.activity("scores")[:, 0, 0])
    np.testing.assert_allclose(values, expected)


def test_hingeloss_beside_another_user() -> None:
    assert_gradients(make_net(DATA + BELOW + HINGE + layer("squares", "cost.sum2", "scores")))


def test_labels_of_hingeloss_are_classes() -> None:
    images, labels = make_batch()
    labels[0, 2] = 3
    with pytest.raises(BatchError, match="labels must be whole numbers from 0 to 2"):
        make_net(DATA + BELOW + HINGE).forward([images, labels])


SPARSE = layer("cost", "cost.gsinlabel", "labels,below", channels=4, imgSize=9)


@pytest.mark.parametrize("neuron", ["", "relu"])
def test_gsinlabel(neuron: str) -> None:
    below = BELOW + (f"neuron={neuron}\n" if neuron else "")
    net = make_net(DATA + below + SPARSE, "[cost]\ncoeff=0.75\n", keep=["below"])
    assert_gradients(net)
    values = net.forward(make_batch())["cost"]
    inputs = net.activity("below").reshape(4, 35, -1)
    np.testing.assert_allclose(values, reference_costs.gsinlabel_cost(make_batch()[1], inputs))


def test_labels_of_gsinlabel_are_finite() -> None:
    images, labels = make_batch()
    labels[0, 2] = np.nan
    with pytest.raises(BatchError, match="labels of 'cost' must be finite numbers"):
        make_net(DATA + BELOW + SPARSE).forward([images, labels])


CODES = "".join(
    layer(name, "fc", "below", outputs=6, initW=0.2, initB=0.1 * i, neuron="logistic")
    for i, name in enumerate(("a", "b", "c"))
)
WEIGHTED = (*SHAPES, (1, 1, 1))
WEIGHTS = layer("weights", "data", dataIdx=2)
NO_LABELS = layer("data", "data", dataIdx=0)


@pytest.mark.parametrize("codes", ["a,b,c", "a,a,c", "b,c,a"])
def test_locrank(codes: str) -> None:
    text = NO_LABELS + WEIGHTS + BELOW + CODES + layer("cost", "cost.locrank", f"{codes},weights")
    used = layer("squares", "cost.sum2", "b")
    net = make_net(text + used, "[cost]\ncoeff=0.75\n", shapes=WEIGHTED, keep=["a", "b", "c"])
    matrices = make_batch(WEIGHTED)
    matrices[2] = np.array([[0.5, 0, 2, 1]], np.float32)
    assert_gradients(net, matrices)
    values = net.forward(matrices)["cost"]
    activities = [net.activity(name)[:, 0, 0] for name in codes.split(",")]
    expected = reference_costs.locrank_cost(activities, matrices[2], 5.0)
    np.testing.assert_allclose(values, expected)


def test_weights_of_locrank_must_not_be_negative() -> None:
    text = NO_LABELS + WEIGHTS + BELOW + CODES + layer("cost", "cost.locrank", "a,b,c,weights")
    images, labels, weights = make_batch(WEIGHTED)
    weights[0, 1] = -1
    with pytest.raises(BatchError) as caught:
        make_net(text, shapes=WEIGHTED).forward([images, labels, weights])
    assert str(caught.value) == ("weights of 'cost' must be finite numbers of at least 0; found -1")


USED = "".join(layer(f"use_{name}", "cost.sum2", name) for name in ("a", "b", "c"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            layer("one", "fc", "below", outputs=1) + layer("bad", "cost.hingeloss", "labels,one"),
            "'one' must have at least 2 classes; found 1",
        ),
        (
            layer("bad", "cost.gsinlabel", "labels,below", channels=3),
            "input 'below' has 140 numbers, not a multiple of channels=3",
        ),
        (
            CODES + USED + layer("bad", "cost.locrank", "a,b,below,labels"),
            "the first three inputs must have equal sizes; found [6, 6, 140]",
        ),
        (
            CODES + USED + layer("bad", "cost.locrank", "a,b,c,data"),
            "fourth input must be the weights of the images, a data layer with one number per "
            "image; found 'data' of type 'data' with 70",
        ),
    ],
)
def test_mistakes(text: str, error: str) -> None:
    used = layer("use", "cost.hingeloss", "labels,below")
    assert layer_errors(DATA + BELOW + text + used) == [error]
