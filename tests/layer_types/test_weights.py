"""fc, and what all layers with weights have in common: parameters, sharing, frozen matrices."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.api import read_graph
from convnet.config.reader import Source
from convnet.errors import ConfigError
from convnet.layer_types.base import CHECK, TRAIN
from convnet.net import Net
from convnet.ops.reference import ReferenceOps
from tests.helpers import (
    BELOW,
    CLASSIFIER,
    DATA,
    SHAPES,
    assert_gradients,
    between,
    config_error,
    layer,
    layer_errors,
    make_batch,
    make_graph,
    make_net,
)


def fc(name: str = "top", inputs: str = "below", outputs: int = 5, **keys: object) -> str:
    return layer(name, "fc", inputs, outputs=outputs, **{"initW": 0.3} | keys)


def ops_on(net: Net, name: str) -> list[str]:
    """The operations of a training step that touch the gradient of a matrix or an output."""
    return [
        call.op
        for call in net.recording(TRAIN).program.calls
        if any(storage.name == f"{name}.grad" for storage in call.storages())
    ]


# --- fc -----------------------------------------------------------------------------------------


def test_fc() -> None:
    net = make_net(between(fc(neuron="tanh[1,1]")))
    assert net.graph["top"].shape.as_tuple() == (5, 1, 1)
    assert net.graph["top"].multiply_adds == 140 * 5
    assert net.get_weights("top.weights.0").shape == (140, 5)
    assert net.get_weights("top.biases").shape == (1, 5)
    assert_gradients(net)


def test_fc_of_several_inputs_and_one_twice() -> None:
    net = make_net(between(fc("a", outputs=4) + fc(inputs="a,below,a", neuron="softrelu")))
    assert net.graph["top"].multiply_adds == (4 + 140 + 4) * 5
    assert_gradients(net)


def test_several_users_of_one_layer() -> None:
    layers = fc("a", neuron="logistic") + fc("b", "a") + fc("c", "a,b") + fc("top", "c,a,b")
    assert_gradients(make_net(between(layers)))


# --- initial values -----------------------------------------------------------------------------


def test_initial_values() -> None:
    net = make_net(between(fc(outputs=50, initW=0.25, initB=-1.5)))
    weights = net.get_weights("top.weights.0")
    assert abs(weights.std() - 0.25) < 0.01
    assert abs(weights.mean()) < 0.01
    assert (net.get_weights("top.biases") == -1.5).all()
    state = net.state()
    assert not any(state[name].any() for name in state if name.endswith(".inc"))


def test_initial_values_depend_on_seed_and_name_only() -> None:
    few = make_net(between(fc()), seed=3)
    more = make_net(between(fc("a") + fc(inputs="below,a")), seed=3)
    other = make_net(between(fc()), seed=4)
    name = "top.weights.0"
    np.testing.assert_array_equal(few.get_weights(name), more.get_weights(name))
    assert (few.get_weights(name) != other.get_weights(name)).all()
    assert (more.get_weights("a.weights.0") != few.get_weights(name)).any()


def test_without_parameter_file_everything_is_trainable() -> None:
    graph = read_graph(Source("net.cfg", between(fc())), None, SHAPES)
    assert_gradients(Net(graph, ReferenceOps(np.float64), batch_size=4))


# --- sharing ------------------------------------------------------------------------------------


def test_matrix_of_another_layer() -> None:
    layers = fc("a", neuron="tanh[1,1]") + fc("b", "a") + fc("top", "b,a", weightSource="b,b[0]")
    net = make_net(between(layers))
    assert [name for name in net.parameters if name.startswith("top")] == ["top.biases"]
    assert_gradients(net)


def test_matrix_of_an_earlier_input() -> None:
    layers = fc("a") + fc(inputs="a,below,a", weightSource=",,top")
    net = make_net(between(layers))
    assert [name for name in net.parameters if name.startswith("top")] == [
        "top.weights.0", "top.weights.1", "top.biases",
    ]  # fmt: skip
    assert_gradients(net)


def test_second_matrix_of_another_layer() -> None:
    layers = fc("a") + fc("b", "below,a") + fc("top", "b", weightSource="b[1]")
    assert_gradients(make_net(between(layers)))


def test_a_shared_matrix_is_updated_once_by_its_owner() -> None:
    layers = fc("a") + fc("b", "a") + fc("top", "a,b,b", weightSource=",b,top[0]")
    extra = "[b]\nepsW=0.5\nmomW=0.75\nwc=0.125\n"
    net = make_net(between(layers), extra)
    updates = [call for call in net.recording(TRAIN).program.calls if call.op == "sgd"]
    updated = [call.args["weights"].storage.name for call in updates]
    assert sorted(updated) == sorted(net.parameters)
    (update,) = (c for c in updates if c.args["weights"].storage.name == "b.weights.0")
    assert (update.args["momentum"], update.args["decay"]) == (0.75, 0.125)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("nobody", "weightSource 'nobody': no layer 'nobody' is defined above"),
        ("scores", "weightSource 'scores': no layer 'scores' is defined above"),
        (
            "below",
            "weightSource 'below' must be a layer of type 'fc'; 'below' is of type 'conv'",
        ),
        (
            "data",
            "weightSource 'data' must be a layer of type 'fc'; 'data' is of type 'data'",
        ),
        ("a[1]", "weightSource 'a[1]': 'a' has 1 weight matrices so far, numbered from 0"),
        ("top", "weightSource 'top': 'top' has 0 weight matrices so far, numbered from 0"),
        ("a", "weightSource 'a' has shape (140, 4); expected (140, 5)"),
        ("a,a", "weightSource must have one entry per input, 1; found 2"),
        ("a[x]", "weightSource 'a[x]': no layer 'a[x]' is defined above"),
    ],
)
def test_mistakes_of_sharing(source: str, text: str) -> None:
    layers = fc("a", outputs=4) + fc(weightSource=source)
    used = layer("square", "cost.sum2", "a")
    assert layer_errors(between(layers) + used)[0] == text


# --- learning rates of zero -----------------------------------------------------------------


def test_frozen_matrix_keeps_its_values() -> None:
    net = make_net(between(fc("mid") + fc("top", "mid")), "[mid]\nepsW=0\n")
    before = net.state()
    net.train_step(make_batch())
    changed = {name for name, value in net.state().items() if (value != before[name]).any()}
    assert changed == before.keys() - {"mid.weights.0", "mid.weights.0.inc"}
    assert ops_on(net, "mid.weights.0") == []
    assert ops_on(net, "mid.biases") == ["bias_grad", "sgd"]


def test_no_gradient_below_the_lowest_matrix_that_learns() -> None:
    frozen = "[below]\nepsW=0\nepsB=0\n[mid]\nepsW=0\nepsB=0\n"
    net = make_net(between(fc("mid") + fc("top", "mid")), frozen)
    assert ops_on(net, "top") == ["fc_dgrad", "bias_grad", "fc_wgrad"]
    assert ops_on(net, "mid") == []
    assert ops_on(net, "below") == []


def test_gradient_check_looks_at_frozen_matrices_too() -> None:
    frozen = "".join(f"[{name}]\nepsW=0\nepsB=0\n" for name in ("below", "top", "scores"))
    net = make_net(between(fc()), frozen)
    assert not [call for call in net.recording(TRAIN).program.calls if call.op == "sgd"]
    assert_gradients(net)
    assert net.recording(CHECK).gradients.keys() >= net.parameters.keys()


def test_frozen_owner_of_a_shared_matrix() -> None:
    layers = fc("a") + fc("b", "a") + fc("top", "b", weightSource="b")
    net = make_net(between(layers), "[b]\nepsW=0\n")
    assert ops_on(net, "b.weights.0") == []
    assert_gradients(net)


def test_owner_that_no_cost_depends_on() -> None:
    """The matrix learns from its other user alone."""
    layers = fc("a") + fc("b", "a") + fc("top", "a", weightSource="b")
    idle = layer("idle", "cost.sum2", "b")
    net = make_net(between(layers) + idle, "[idle]\ncoeff=0\n")
    assert ops_on(net, "b.weights.0") == ["fc_wgrad", "sgd"]
    assert ops_on(net, "b.biases") == []


# --- the keys of the parameter file -------------------------------------------------------------


def test_required_keys() -> None:
    definition = DATA + BELOW.replace("below", "top") + CLASSIFIER
    parameters = "[top]\n[scores]\nepsW=1\nepsB=1\nmomW=0\nmomB=0\n[cost]\ncoeff=1\n"
    with pytest.raises(ConfigError) as caught:
        read_graph(Source("net.cfg", definition), Source("params.cfg", parameters), SHAPES)
    assert str(caught.value).splitlines() == [
        f"params.cfg:1: Layer 'top': required parameter '{key}' missing"
        for key in ("epsW", "epsB", "momW", "momB")
    ]


def test_weight_decay_is_zero_if_not_given() -> None:
    graph = make_graph(between(fc()))
    assert [p.decay for p in graph["top"].parameters] == [0.01, 0]  # PARAMETERS give it


def test_momentum_must_not_be_negative() -> None:
    text = config_error(between(fc()), "[top]\nmomW=-0.5\n")
    assert text.endswith("Layer 'top': parameter 'momW' is '-0.5': expected a finite number >= 0")


# --- bounds of the norms ------------------------------------------------------------------------


def columns_after_training(text: str, extra: str, name: str = "top.weights.0") -> np.ndarray:
    """Norms (modules, F) of the columns of a matrix after two minibatches."""
    net = make_net(between(text), extra)
    for seed in range(2):
        net.train_step(make_batch(seed=seed))
    weights = net.get_weights(name)
    modules = net.graph["top"].shape.height * net.graph["top"].shape.width if "local" in text else 1
    return np.linalg.norm(weights.reshape(modules, -1, weights.shape[1]), axis=1)


WINDOW = {"channels": 4, "filters": 3, "filterSize": 3, "initW": 0.3}


@pytest.mark.parametrize(
    "text", [fc(), layer("top", "conv", "below", **WINDOW)], ids=["fc", "conv"]
)
def test_wball_is_the_norm_of_every_column(text: str) -> None:
    norms = columns_after_training(text, "[top]\nwball=0.5\n")
    np.testing.assert_allclose(norms, 0.5, rtol=1e-12)


def test_wball_of_local_layers_is_an_upper_bound() -> None:
    text = layer("top", "local", "below", **WINDOW)
    free, bound = (columns_after_training(text, f"[top]\nwball={b}\n") for b in (0, 1.8))
    assert free.max() > 1.8 > free.min()
    assert bound.max() <= 1.8 + 1e-12
    assert bound.min() < 1.7


def test_norms_of_centred_filters() -> None:
    text = layer("top", "conv", "below", **WINDOW)
    net = make_net(between(text), "[top]\nwcNormMin=0.02\nwcNormMax=0.03\n")
    net.train_step(make_batch())
    weights = net.get_weights("top.weights.0")
    norms = np.linalg.norm(weights - weights.mean(axis=0), axis=0) / len(weights)
    assert (norms >= 0.02 - 1e-12).all()
    assert (norms <= 0.03 + 1e-12).all()


def test_bounds_are_per_input_and_not_for_frozen_matrices() -> None:
    net = make_net(between(fc(inputs="below,data")), "[top]\nwball=0,0.5\nepsW=0.1,0\n")
    before = net.get_weights("top.weights.1")
    net.train_step(make_batch())
    np.testing.assert_array_equal(net.get_weights("top.weights.1"), before)


def test_bounds_that_exclude_each_other() -> None:
    text = between(layer("top", "conv", "below", **WINDOW))
    assert layer_errors(text, "[top]\nwcNormMin=2\nwcNormMax=1\n") == [
        "wcNormMin must be at most wcNormMax; found wcNormMin=2, wcNormMax=1"
    ]


@pytest.mark.parametrize("kind", ["fc", "conv", "local", "cccp", "sfc"])
def test_layers_without_biases(kind: str) -> None:
    keys = {
        "fc": {"outputs": 5, "neuron": "relu"},
        "conv": {"channels": 4, "filters": 3, "filterSize": 3, "neuron": "relu"},
        "local": {"channels": 4, "filters": 3, "filterSize": 3},
        "cccp": {"channels": 2, "in_nodes": 2, "out_nodes": 3},
        "sfc": {"outputs": 5, "parts": 4},
    }[kind]
    net = make_net(between(layer("top", kind, "below", initW=0.3, biases=0, **keys)))
    assert [name for name in net.parameters if name.startswith("top")] == ["top.weights.0"]
    assert_gradients(net)
    assert "bias_grad" not in {c.op for c in net.recording(TRAIN).program.calls if c.layer == "top"}


def test_dropconnect_has_biases() -> None:
    text = between(layer("top", "fcdropc", "below", outputs=5, rate=0.5, biases=0))
    assert layer_errors(text) == ["biases=0: layers with dropconnect have biases"]
