"""crossent, bce and dce: values, fusing, gradients, reports, mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from convnet import report
from convnet.api import read_graph
from convnet.config.reader import Source
from convnet.errors import BatchError, Problems
from convnet.layer_types.base import TRAIN
from convnet.layer_types.cost import CostLayer
from convnet.net import Net
from convnet.train.testing import reported
from tests import reference_costs
from tests.helpers import (
    BELOW,
    SHAPES,
    assert_gradients,
    config_error,
    layer,
    layer_errors,
    make_batch,
    make_net,
    parameter_file,
)

CLASSES = 5
WITH_TARGETS = (*SHAPES, (CLASSES, 1, 1))
INPUTS = layer("data", "data", dataIdx=0) + layer("targets", "data", dataIdx=2) + BELOW
SCORES = layer("scores", "fc", "below", outputs=CLASSES, initW=0.1)
SOFTMAX = SCORES + layer("probs", "softmax", "scores")
LOGISTIC = layer("probs", "fc", "below", outputs=CLASSES, initW=0.1, neuron="logistic")


def batch(cases: int = 4) -> list[np.ndarray]:
    """Images, labels, and a matrix of labels: none, one or several per image, and soft ones."""
    images, labels, _ = make_batch(WITH_TARGETS, cases)
    rng = np.random.default_rng(3)
    targets = (rng.random((CLASSES, cases)) < 0.4).astype(np.float32)
    targets[:, -1] = rng.random(CLASSES)
    return [images, labels, targets]


def net_of(text: str, extra: str = "", *keep: str) -> Net:
    return make_net(INPUTS + text, extra, shapes=WITH_TARGETS, keep=keep)


def backward_ops(text: str, extra: str = "") -> list[str]:
    """The first operations of the backward pass of a training step."""
    recording = net_of(text, extra).recording(TRAIN)
    calls = recording.program.calls[recording.program.marks["backward"] :]
    return [call.op for call in calls[: 2 + text.count("type=cost")]]


def cost(name: str, kind: str, **keys: object) -> str:
    return layer(name, f"cost.{kind}", "targets,probs", **keys)


SQUARES = layer("squares", "cost.sum2", "probs")


@pytest.mark.parametrize("kind", ["crossent", "ce"])
def test_crossent(kind: str) -> None:
    text = SOFTMAX + cost("cost", kind)
    assert backward_ops(text)[0] == "softmax_crossent_bprop"
    net = net_of(text, "[cost]\ncoeff=0.75\n", "probs")
    assert_gradients(net, batch())
    values = net.forward(batch())["cost"]
    probs = net.activity("probs")[:, 0, 0]
    np.testing.assert_allclose(values, reference_costs.crossent_cost(batch()[2], probs))


@pytest.mark.parametrize("kind", ["bce", "dce"])
@pytest.mark.parametrize("weight", [1, 2.5])
def test_bce_and_dce(kind: str, weight: float) -> None:
    text = LOGISTIC + cost("cost", kind)
    extra = f"[cost]\ncoeff=0.75\nposWeight={weight}\n"
    assert backward_ops(text, extra)[0] == "logistic_bce_bprop"
    net = net_of(text, extra, "probs")
    assert_gradients(net, batch())
    values = net.forward(batch())["cost"]
    probs = net.activity("probs")[:, 0, 0]
    expected = getattr(reference_costs, f"{kind}_cost")(batch()[2], probs, weight)
    np.testing.assert_allclose(values, expected)


@pytest.mark.parametrize(
    ("text", "unfused", "fused"),
    [
        (SOFTMAX + cost("cost", "crossent"), "crossent_bprop", "softmax_crossent_bprop"),
        (LOGISTIC + cost("cost", "bce"), "bce_bprop", "logistic_bce_bprop"),
    ],
)
@pytest.mark.parametrize("at_end", [True, False])
def test_probabilities_with_another_user(text: str, unfused: str, fused: str, at_end: bool) -> None:
    text = text + SQUARES if at_end else text.replace("[cost]", SQUARES + "[cost]")
    assert unfused in backward_ops(text)
    assert fused not in backward_ops(text)
    assert_gradients(net_of(text), batch())


def test_bce_of_a_neuron_layer_of_its_own_on_images() -> None:
    """Targets of the shape of images, as of an autoencoder."""
    shapes = ((2, 5, 7), (1, 1, 1))
    text = layer("data", "data", dataIdx=0) + layer(
        "code", "conv", "data", channels=2, filters=3, filterSize=3, padding=1, initW=0.3
    )
    text += layer("back", "conv", "code", channels=3, filters=2, filterSize=3, padding=1)
    text += layer("probs", "neuron", "back", neuron="logistic")
    text += layer("cost", "cost.bce", "data,probs")
    net = make_net(text, shapes=shapes)
    images, labels = make_batch(shapes)
    assert_gradients(net, [1 / (1 + np.exp(-images)), labels])


def test_bce_without_logistic_neuron_is_warned_of() -> None:
    problems = Problems()
    definition = INPUTS + SOFTMAX + cost("cost", "bce")
    read_graph(
        Source("net.cfg", definition),
        Source("params.cfg", parameter_file(definition)),
        WITH_TARGETS,
        problems=problems,
    )
    assert problems.warnings == [
        "net.cfg:23: Layer 'cost': input 'probs' has no neuron=logistic; its values are taken as "
        "probabilities all the same"
    ]
    assert_gradients(net_of(SOFTMAX + cost("cost", "bce")), batch())


# --- what is reported ---------------------------------------------------------------------------


def test_children() -> None:
    """Each counts in the objective with its own coefficient; reported is their sum."""
    text = LOGISTIC + cost("a", "bce") + cost("b", "bce") + cost("c", "bce", children="a")
    text += cost("cost", "bce", children="c,b")
    net = net_of(text, "[a]\ncoeff=0.5\nposWeight=2\n[b]\ncoeff=-0.25\n")
    assert_gradients(net, batch())
    costs = net.forward(batch())
    assert {name: len(values) for name, values in costs.items()} == dict.fromkeys(
        ("a", "b", "c", "cost"), 1
    )
    total = reported(net, costs)
    assert list(total) == ["cost"]
    np.testing.assert_allclose(total["cost"], sum(costs.values()))


def test_children_of_logreg_keep_all_values() -> None:
    text = layer("labels", "data", dataIdx=1) + SOFTMAX
    text += layer("child", "cost.logreg", "labels,probs")
    text += layer("cost", "cost.logreg", "labels,probs", children="child")
    net = make_net(INPUTS.replace("targets", "unused") + text + layer(
        "use", "cost.sum2", "unused"), shapes=WITH_TARGETS)  # fmt: skip
    costs = net.forward(batch())
    total = reported(net, costs)
    np.testing.assert_allclose(total["cost"], 2 * costs["child"])
    assert list(total) == ["cost", "use"]


def test_detection_is_printed_as_precision_and_recall() -> None:
    net = net_of(LOGISTIC + cost("cost", "dce"))
    values = [8.0, 2.0, 4, 2, 1, 0, 3, 0, 5, 0, 0, 1, 1, 1, 2, 4, 2]
    assert len(values) == len(net.forward(batch())["cost"])
    assert report.cost_text({"cost": values}, 4, net.graph, ["cat", "dog"]) == (
        "cost:  (crossent) 2.000000, (err) 0.500000, (cat) 0.250000, 0.500000, "
        "(dog) inf, 0.000000, (2) 0.000000, inf, (3) 1.000000, 1.000000, (4) 1.000000, 0.500000"
    )


def test_names_of_values_are_as_many_as_values() -> None:
    text = LOGISTIC + cost("one", "bce") + cost("two", "dce")
    net = net_of(text)
    costs = net.forward(batch())
    for layer_ in net.graph.values():
        if isinstance(layer_, CostLayer):
            assert len(layer_.value_names) == len(costs[layer_.name])


# --- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            LOGISTIC + layer("cost", "cost.bce", "data,probs") + cost("use", "bce"),
            "first input must be a matrix of labels, a data layer of the size of "
            "'probs_neuron', 5; found 'data' of type 'data' with 70",
        ),
        (
            LOGISTIC + layer("cost", "cost.dce", "probs,targets"),
            "first input must be a matrix of labels, a data layer of the size of "
            "'targets', 5; found 'probs_neuron' of type 'neuron' with 5",
        ),
        (
            LOGISTIC + cost("cost", "crossent"),
            "second input must be a softmax layer; found 'probs_neuron' of type 'neuron'",
        ),
        (
            LOGISTIC + cost("other", "dce")
            + cost("cost", "bce", children="other"),
            "children: 'other' must be a layer of type 'cost.bce' defined above",
        ),
        (
            LOGISTIC + cost("cost", "bce", children="nobody"),
            "children: 'nobody' must be a layer of type 'cost.bce' defined above",
        ),
        (
            LOGISTIC + cost("other", "dce") + cost("cost", "dce", children="other"),
            "values of 'other', a detection cross-entropy cost, cannot be added up",
        ),
    ],
)  # fmt: skip
def test_mistakes(text: str, error: str) -> None:
    assert layer_errors(INPUTS + text, shapes=WITH_TARGETS) == [error]


def test_weight_of_positives_must_not_be_negative() -> None:
    text = INPUTS + LOGISTIC + cost("cost", "bce")
    error = config_error(text, "[cost]\nposWeight=-1\n", WITH_TARGETS)
    assert error.endswith("parameter 'posWeight' is '-1': expected a finite number >= 0")


@pytest.mark.parametrize("value", [-1, 2, np.nan])
def test_labels_outside_0_to_1(value: float) -> None:
    images, labels, targets = batch()
    targets[2, 1] = value
    with pytest.raises(BatchError) as caught:
        net_of(LOGISTIC + cost("cost", "bce")).forward([images, labels, targets])
    assert str(caught.value) == (
        f"labels of 'cost' must be numbers from 0 to 1, one per class and image; found {value:g}"
    )
