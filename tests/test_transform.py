"""--conv-to-local and --unshare-weights: other layers, the same outputs."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.api import read_graph
from convnet.config.reader import Source
from convnet.errors import OptionError
from convnet.net import Net
from convnet.ops.reference import ReferenceOps
from convnet.transform import transform
from tests.helpers import CLASSIFIER, DATA, SHAPES, layer, make_batch, parameter_file

WINDOW = {"filters": 4, "filterSize": 3, "padding": 1, "initW": 0.3}
SPARSE = WINDOW | {"filters": 1, "groups": 4, "randSparse": 1, "filterChannels": 2}
TEXT = (
    DATA
    + layer("a", "conv", "data", channels=2, neuron="tanh[1,1]", **WINDOW)
    + layer("b", "conv", "a", channels=4, **WINDOW)
    + layer("c", "conv", "b,a", channels="4,4", weightSource="b,", sharedBiases=0, **WINDOW)
    + layer("f", "conv", "c", channels=4, **SPARSE)
    + layer("g", "conv", "f", channels=4, weightSource="f", **SPARSE)
    + layer("d", "fc", "g", outputs=5, initW=0.1)
    + layer("e", "fc", "g", outputs=5, weightSource="d")
    + layer("top", "concat", "d,e")
    + CLASSIFIER
)


def build(definition: Source, extra: str = "") -> Net:
    parameters = Source("params.cfg", parameter_file(TEXT, extra))
    graph = read_graph(definition, parameters, SHAPES)
    return Net(graph, ReferenceOps(np.float64), batch_size=4, keep=["probs"])


@pytest.fixture(scope="module")
def net() -> Net:
    """A net that has learned for two steps, so that biases and increments are not zero."""
    net = build(Source("net.cfg", TEXT))
    for seed in range(2):
        net.train_step(make_batch(seed=seed))
    return net


def transformed(net: Net, **what: list[str]) -> Net:
    definition, state = transform(Source("net.cfg", TEXT), net.graph, net.state(), **what)
    new = build(definition)
    new.load_state(state)
    return new


def assert_same_outputs(net: Net, other: Net) -> None:
    for n in (net, other):
        n.forward(make_batch(seed=5))
    np.testing.assert_allclose(other.activity("probs"), net.activity("probs"), rtol=1e-10)


def types(net: Net) -> dict[str, str]:
    return {name: layer.type_name for name, layer in net.graph.items() if name in "abcde"}


def test_a_convolution_becomes_local(net: Net) -> None:
    local = transformed(net, conv_to_local=["a"])
    assert types(local) == {"a": "local", "b": "conv", "c": "conv", "d": "fc", "e": "fc"}
    assert local.parameters["a.weights.0"].shape == (5 * 7 * 18, 4)
    assert local.parameters["a.biases"].shape == (4 * 5 * 7, 1)
    assert_same_outputs(net, local)
    assert not local.state()["a.weights.0.inc"].any()
    np.testing.assert_array_equal(local.state()["b.weights.0.inc"], net.state()["b.weights.0.inc"])


def test_a_convolution_without_biases_becomes_local() -> None:
    text = TEXT.replace("[a]\n", "[a]\nbiases=0\n")
    net = build(Source("net.cfg", text))
    definition, state = transform(
        Source("net.cfg", text), net.graph, net.state(), conv_to_local=["a"]
    )
    local = build(definition)
    local.load_state(state)
    assert "a.biases" not in local.parameters
    assert_same_outputs(net, local)


@pytest.mark.parametrize("name", ["b", "c"])
def test_layers_that_share_filters_become_local_together(net: Net, name: str) -> None:
    local = transformed(net, conv_to_local=[name])
    assert types(local) == {"a": "conv", "b": "local", "c": "local", "d": "fc", "e": "fc"}
    assert "c.weights.0" not in local.parameters
    assert_same_outputs(net, local)


@pytest.mark.parametrize("name", ["e", "e[0]"])
def test_shared_weights_are_parted(net: Net, name: str) -> None:
    parted = transformed(net, unshare=[name])
    np.testing.assert_array_equal(
        parted.get_weights("e.weights.0"), parted.get_weights("d.weights.0")
    )
    assert not parted.state()["e.weights.0.inc"].any()
    assert_same_outputs(net, parted)
    parted.train_step(make_batch())
    assert (parted.get_weights("e.weights.0") != parted.get_weights("d.weights.0")).any()


def test_parted_weights_are_not_converted_with_their_source(net: Net) -> None:
    new = transformed(net, unshare=["c[0]"], conv_to_local=["b"])
    assert types(new) == {"a": "conv", "b": "local", "c": "conv", "d": "fc", "e": "fc"}
    assert_same_outputs(net, new)


@pytest.mark.parametrize("what", [{"unshare": ["c[0]"]}, {"conv_to_local": ["b"]}])
def test_sums_of_gradients_are_left_behind(what: dict[str, list[str]]) -> None:
    extra = "".join(f"[{name}]\nupdatePeriod=2\n" for name in "bc")
    net = build(Source("net.cfg", TEXT), extra)
    net.train_step(make_batch())
    definition, state = transform(Source("net.cfg", TEXT), net.graph, net.state(), **what)
    new = build(definition, extra)
    new.load_state(state)
    assert net.state()["b.weights.0.grad"].any()
    changed = "b" if "conv_to_local" in what else "c"
    assert not new.state()[f"{changed}.weights.0.grad"].any()
    assert_same_outputs(net, new)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"conv_to_local": ["d"]}, "--conv-to-local: no convolutional layer 'd'"),
        ({"conv_to_local": ["x"]}, "--conv-to-local: no convolutional layer 'x'"),
        ({"unshare": ["probs"]}, "--unshare-weights: no layer with weights 'probs'"),
        ({"unshare": ["d"]}, "--unshare-weights: 'd' shares no weights with others"),
        ({"unshare": ["c[1]"]}, "--unshare-weights: 'c[1]' shares no weights with others"),
    ],
)
def test_mistakes(net: Net, what: dict[str, list[str]], says: str) -> None:
    with pytest.raises(OptionError) as caught:
        transformed(net, **what)
    assert str(caught.value) == says


@pytest.mark.parametrize("what", [{"unshare": ["g"]}, {"conv_to_local": ["f"]}])
def test_filters_go_on_seeing_the_same_channels(net: Net, what: dict[str, list[str]]) -> None:
    assert_same_outputs(net, transformed(net, **what))
