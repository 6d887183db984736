"""From sections to connected layers: neurons as layers, mistakes, what a name stands for."""

from __future__ import annotations

import pytest

from convnet.graph import consumers, feature_layer
from tests.helpers import between, config_error, layer, make_graph

FC = layer("top", "fc", "below", outputs=4, neuron="relu")


def test_a_neuron_becomes_a_layer_between() -> None:
    graph = make_graph(between(FC))
    assert list(graph) == [
        "data", "labels", "below", "top", "top_neuron", "scores", "probs", "cost",
    ]  # fmt: skip
    neuron = graph["top_neuron"]
    assert neuron.type_name == "neuron"
    assert neuron.inputs == (graph["top"],)
    assert neuron.where == graph["top"].where
    assert consumers(graph, graph["top"]) == [neuron]
    assert consumers(graph, neuron) == [graph["scores"]]


def test_a_taken_name_gets_a_number() -> None:
    taken = layer("top_neuron", "neuron", "top", neuron="logistic")
    also = layer("top_neuron.1", "cost.sum2", "top_neuron")
    graph = make_graph(between(FC) + taken + also)
    assert graph["top_neuron"].inputs == (graph["top_neuron.2"],)
    assert graph["top_neuron.2"].inputs == (graph["top"],)


def test_a_layer_that_is_a_neuron_gets_no_second_one() -> None:
    graph = make_graph(between(layer("top", "neuron", "below", neuron="relu")))
    assert "top_neuron" not in graph


def test_an_input_named_twice_is_connected_twice() -> None:
    graph = make_graph(between(layer("top", "eltsum", "below,below")))
    assert graph["top"].inputs == (graph["below"],) * 2
    assert consumers(graph, graph["below"]) == [graph["top"]]


def test_every_layer_in_error_is_reported_once() -> None:
    """Those above a layer in error are not."""
    bad_pool = layer("p", "pool", "below", channels=4, sizeX=3, stride=4, pool="max")
    above = layer("q", "pool", "p", channels=4, sizeX=99, stride=1, pool="max")
    bad_norm = layer("top", "cmrnorm", "below", channels=4, size=9)
    text = config_error(between(bad_pool + above + bad_norm) + layer("c", "cost.sum2", "q"))
    assert text.splitlines() == [
        "net.cfg:15: Layer 'p': stride must be at most sizeX, 3; found stride=4",
        "net.cfg:29: Layer 'top': size must be at most 4; found size=9",
    ]


MAX = layer("top", "pool", "below", channels=4, sizeX=2, stride=2, pool="max", neuron="relu")
AVG = MAX.replace("pool=max", "pool=avg")
NORM = layer("top", "cmrnorm", "below", channels=4, size=3, neuron="relu")


@pytest.mark.parametrize(
    ("layers", "features"),
    [
        (FC, "top_neuron"),  # the neuron overwrites its input
        (AVG, "top_neuron"),
        (layer("top", "eltsum", "below", neuron="logistic"), "top_neuron"),
        (layer("top", "concat", "below", neuron="tanh[1,1]"), "top_neuron"),
        (layer("top", "nailbed", "below", channels=4, stride=2, neuron="relu"), "top_neuron"),
        (FC.replace("relu", "abs"), "top"),  # the derivative of abs needs its input
        (FC.replace("relu", "square"), "top"),
        (FC.replace("relu", "log[1]"), "top"),
        (FC.replace("relu", "drelu[1]"), "top"),
        (MAX, "top"),  # these need their own output
        (MAX.replace("pool=max", "pool=maxabs"), "top"),
        (NORM, "top"),
        (NORM.replace("cmrnorm", "cnorm"), "top"),
        (layer("top", "href", "below", channels=4, neuron="relu"), "top"),
        (layer("top", "eltmax", "below,below", neuron="relu"), "top"),
        (FC.replace("neuron=relu\n", ""), "top"),
        (
            layer("top", "fc", "below", outputs=4) + layer("n", "neuron", "top", neuron="relu"),
            "top",  # it has other users
        ),
    ],
)
def test_what_the_features_of_a_layer_are(layers: str, features: str) -> None:
    text = between(layers)
    if "[n]" in layers:
        text += layer("c", "cost.sum2", "n")
    assert feature_layer(make_graph(text), "top").name == features


def test_features_of_a_neuron_are_its_own() -> None:
    assert feature_layer(make_graph(between(FC)), "top_neuron").name == "top_neuron"


def test_features_of_a_neuron_below_a_neuron_are_its_own() -> None:
    layers = FC.replace("top", "a") + layer("top", "neuron", "a", neuron="logistic")
    graph = make_graph(between(layers))
    assert feature_layer(graph, "a").name == "a_neuron"
    assert feature_layer(graph, "a_neuron").name == "a_neuron"


def test_no_features_of_an_unknown_layer() -> None:
    with pytest.raises(KeyError):
        feature_layer(make_graph(between(FC)), "nobody")
