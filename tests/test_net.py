"""A net: checks of its data, what can be read, learning, NaN, both backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convnet.errors import BatchError, NonFiniteError, OptionError, ShapeError
from convnet.layer_types.base import CHECK, TEST, TRAIN, Mode
from convnet.net import Net
from convnet.nonfinite import REMEDY
from convnet.ops.base import Ops
from convnet.ops.cpu import CpuOps
from convnet.ops.reference import ReferenceOps
from convnet.plan import Clock
from tests.helpers import CLASSIFIER, DATA, EVERYTHING, between, layer, make_batch, make_net

FC = layer("top", "fc", "below", outputs=4, initW=0.3, neuron="relu")
BACKENDS = pytest.mark.parametrize(
    "ops", [ReferenceOps(np.float64), CpuOps()], ids=lambda ops: ops.name
)
# All gradients in the training form, without an update.
MASKED = Mode(train=True, backward=True, all_gradients=True)


# --- data ---------------------------------------------------------------------------------------


def set_label(batch: list[np.ndarray], value: float) -> list[np.ndarray]:
    batch[1][0, 2] = value
    return batch


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda b: b[:1], "layer 'labels' wants matrix 1; the batch has 1 matrices"),
        (
            lambda b: [b[0].astype(np.float64), b[1]],
            "matrix 0 must be float32 (numbers, images); found float64 (70, 4)",
        ),
        (
            lambda b: [b[0], b[1][0]],
            "matrix 1 must be float32 (numbers, images); found float32 (4,)",
        ),
        (
            lambda b: [b[0][:69], b[1]],
            "matrix 0 must have 70 numbers per image for layer 'data'; found 69",
        ),
        (
            lambda b: [b[0], b[1][:, :3]],
            "matrices must have the same number of images, at least 1; found 4, 3",
        ),
        (
            lambda b: [m[:, :0] for m in b],
            "matrices must have the same number of images, at least 1; found 0, 0",
        ),
        *(
            (
                lambda b, label=label: set_label(b, label),
                f"labels must be whole numbers from 0 to 2, the classes of 'probs'; found {label}",
            )
            for label in (3, -1, 0.5, np.nan, np.inf)
        ),
    ],
)
def test_data_that_do_not_fit(
    spoil: Callable[[list[np.ndarray]], list[np.ndarray]], text: str
) -> None:
    net = make_net(between(FC))
    batch = spoil(make_batch())
    for use in (net.check_data, net.forward, net.train_step):
        with pytest.raises(BatchError) as caught:
            use(batch)
        assert str(caught.value) == text


def test_too_many_images() -> None:
    net = make_net(between(FC))
    assert net.check_data(make_batch(cases=9)) == 9  # a batch may be cut into minibatches
    with pytest.raises(BatchError) as caught:
        net.forward(make_batch(cases=5))
    assert str(caught.value) == "a minibatch holds at most batch_size=4 images; found 5"


def test_data_in_any_memory_order() -> None:
    net = make_net(between(FC))
    batch = make_batch()
    transposed = [np.asfortranarray(m) for m in batch]
    strided = [np.repeat(m, 2, axis=1)[:, ::2] for m in batch]
    for same in (transposed, strided):
        np.testing.assert_array_equal(net.forward(same)["cost"], net.forward(batch)["cost"])


@BACKENDS
def test_smaller_minibatch(ops: Ops) -> None:
    """Sums over images do not depend on what the larger minibatches before left in memory."""
    net = make_net(EVERYTHING, ops=ops, batch_size=5)
    exact = make_net(EVERYTHING, ops=ops, batch_size=3)
    for cases in (5, 3):
        costs = net.forward(make_batch(cases=cases), CHECK)
        net.backward()
    expected = exact.forward(make_batch(cases=3), CHECK)
    exact.backward()
    for name, values in costs.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-6)
    for name in net.parameters:
        np.testing.assert_allclose(net.gradient(name), exact.gradient(name), rtol=1e-4, atol=1e-5)


# --- reading ------------------------------------------------------------------------------------


def test_a_kept_layer_stands_for_its_neuron() -> None:
    net = make_net(between(FC), keep=["top", "below"])
    net.forward(make_batch())
    weights, biases = net.get_weights("top.weights.0"), net.get_weights("top.biases")
    sums = weights.T @ net.activity("below").reshape(140, 4) + biases.T
    assert net.activity("top").shape == (4, 1, 1, 4)
    np.testing.assert_allclose(net.activity("top")[:, 0, 0], np.maximum(sums, 0), rtol=1e-12)
    np.testing.assert_array_equal(net.activity("top_neuron"), net.activity("top"))


def test_a_neuron_that_needs_its_input_is_named_apart() -> None:
    net = make_net(between(FC.replace("relu", "abs")), keep=["top", "top_neuron"])
    net.forward(make_batch())
    assert (net.activity("top") < 0).any()
    np.testing.assert_array_equal(np.abs(net.activity("top")), net.activity("top_neuron"))


def test_max_pooling_is_read_before_its_neuron() -> None:
    pool = layer("top", "pool", "below", channels=4, sizeX=1, stride=1, pool="max", neuron="relu")
    net = make_net(between(pool), keep=["top", "below"])
    net.forward(make_batch())
    np.testing.assert_array_equal(net.activity("top"), net.activity("below"))


def test_gradients_of_outputs() -> None:
    net = make_net(between(FC), keep=["scores", "probs", "top"])
    net.forward(make_batch(), CHECK)
    net.backward()
    labels = make_batch()[1][0]
    probs, target = net.activity("probs")[:, 0, 0], np.arange(3)[:, None] == labels
    np.testing.assert_allclose(net.gradient("scores")[:, 0, 0], probs - target, rtol=1e-9)
    np.testing.assert_allclose(
        net.gradient("probs")[:, 0, 0], np.where(target, -1 / probs, 0), rtol=1e-9
    )
    expected = net.get_weights("scores.weights.0") @ (probs - target)
    np.testing.assert_allclose(net.gradient("top")[:, 0, 0], expected, rtol=1e-9)


def test_gradients_of_matrices_are_kept_by_name() -> None:
    net = make_net(between(FC), keep=["top.weights.0", "below"])
    batch = make_batch()
    net.forward(batch, CHECK)
    net.backward()
    expected = net.gradient("top.weights.0")
    net.train_step(batch)
    np.testing.assert_array_equal(net.gradient("top.weights.0"), expected)
    with pytest.raises(ShapeError):
        net.gradient("top.biases")


def test_nothing_to_read_before_a_pass() -> None:
    net = make_net(between(FC), keep=["top"])
    with pytest.raises(ShapeError, match=r"^'top' has no values yet: run a pass first$"):
        net.activity("top")
    with pytest.raises(ShapeError, match=r"^the last pass computed no gradient of 'top'$"):
        net.gradient("top")


def test_gradients_come_with_the_backward_pass() -> None:
    net = make_net(between(FC), keep=["top"])
    for mode in (TRAIN, TEST):
        net.forward(make_batch(), mode)
        assert not net.has_gradient("top.biases")
        with pytest.raises(ShapeError, match=r"^the last pass computed no gradient of 'top'$"):
            net.gradient("top")
    net.train_step(make_batch())
    assert net.has_gradient("top.biases")
    assert net.gradient("top").shape == (4, 1, 1, 4)


def test_no_gradient_of_the_data_or_of_frozen_matrices() -> None:
    net = make_net(between(FC), "[below]\nepsW=0\n", keep=["data", "below.weights.0"])
    net.train_step(make_batch())
    for name in ("data", "below.weights.0"):
        with pytest.raises(ShapeError, match=f"^the last pass computed no gradient of '{name}'$"):
            net.gradient(name)


def test_what_is_not_kept_cannot_be_read() -> None:
    net = make_net(between(FC), keep=["scores"])
    net.train_step(make_batch())
    for name, read in (("top", net.activity), ("top", net.gradient), ("top.biases", net.gradient)):
        with pytest.raises(ShapeError) as caught:
            read(name)
        text = f"'{name}' is not kept: name it in `keep` when building the net"
        assert str(caught.value) == text


def test_unknown_names() -> None:
    net = make_net(between(FC))
    for read in (net.activity, net.gradient, net.keep, net.get_weights):
        with pytest.raises(KeyError):
            read("nobody")
    with pytest.raises(KeyError):
        make_net(between(FC), keep=["nobody"])


def test_keep_applies_to_later_passes() -> None:
    """Programs compiled before are forgotten, and never taken for one of the new."""
    net = make_net(between(FC))
    batch = make_batch()
    expected = net.forward(batch)["cost"]
    for name in ("below", "top", "scores", "probs"):
        net.keep(name)
        with pytest.raises(ShapeError, match="has no values yet"):
            net.activity(name)
        np.testing.assert_array_equal(net.forward(batch)["cost"], expected)
        assert np.isfinite(net.activity(name)).all()


def test_backward_follows_one_forward_pass_of_its_mode() -> None:
    net = make_net(between(FC))
    before = net.state()
    text = "^backward must follow a forward pass in TRAIN or CHECK mode$"
    with pytest.raises(ShapeError, match=text):
        net.backward()
    net.forward(make_batch(), TEST)
    with pytest.raises(ShapeError, match=text):
        net.backward()
    for name, values in net.state().items():
        np.testing.assert_array_equal(values, before[name])
    net.forward(make_batch(), TRAIN)
    net.backward()
    with pytest.raises(ShapeError, match=text):
        net.backward()


# --- weights ------------------------------------------------------------------------------------


def test_weights_are_copies() -> None:
    net = make_net(between(FC))
    net.get_weights("top.biases")[:] = 7
    assert not net.get_weights("top.biases").any()
    net.set_weights("top.biases", np.full((1, 4), 7.0))
    assert (net.get_weights("top.biases") == 7).all()


def test_weights_of_another_shape() -> None:
    net = make_net(between(FC))
    with pytest.raises(ShapeError) as caught:
        net.set_weights("top.biases", np.zeros((4, 1)))
    assert str(caught.value) == "'top.biases' has shape (1, 4); found (4, 1)"


def test_state_goes_from_net_to_net() -> None:
    net, other = make_net(between(FC)), make_net(between(FC), seed=2)
    net.train_step(make_batch())
    other.load_state(net.state())
    for step in (net, other):
        step.train_step(make_batch(seed=1))
    for name, values in net.state().items():
        np.testing.assert_array_equal(values, other.state()[name])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s: s.pop("top.biases.inc"), "without 'top.biases.inc'"),
        (
            lambda s: (s.pop("top.biases"), s.pop("below.biases")),
            "without 'below.biases' and 1 more",
        ),
        (lambda s: s.update(x=np.zeros(1)), "with unknown 'x'"),
        (
            lambda s: s.update(x=s.pop("top.biases"), y=np.zeros(1)),
            "without 'top.biases', with unknown 'x' and 1 more",
        ),
        (
            lambda s: s.update({"top.biases": np.zeros((1, 5))}),
            "'top.biases' has shape (1, 5); expected (1, 4)",
        ),
    ],
)
def test_state_of_another_net(change: Callable[[dict[str, np.ndarray]], object], text: str) -> None:
    net = make_net(between(FC))
    before = net.state()
    state = {name: values + 1 for name, values in before.items()}
    change(state)
    with pytest.raises(ShapeError) as caught:
        net.load_state(state)
    assert str(caught.value) == f"weights do not belong to this net: {text}"
    for name, values in net.state().items():
        np.testing.assert_array_equal(values, before[name])


# --- learning -----------------------------------------------------------------------------------

LINEAR = DATA + CLASSIFIER.replace("inputs=top", "inputs=data")


@BACKENDS
def test_three_steps_by_hand(ops: Ops) -> None:
    """The rule, the schedules, and the nominal divisor of a last minibatch that is smaller."""
    shapes, batch_size = ((4, 1, 1), (1, 1, 1)), 5
    rates = "[scores]\nepsW=exp[base=0.5;tgtFactor=4]\nepsB=linear[base=0.25;tgtFactor=10]\n"
    net = make_net(LINEAR, rates, shapes=shapes, ops=ops, batch_size=batch_size)
    w, b = net.get_weights("scores.weights.0").astype(float), np.zeros(3)
    w_inc, b_inc = np.zeros_like(w), np.zeros_like(b)

    for step, (cases, progress) in enumerate([(5, 0.0), (5, 0.5), (2, 0.75)]):
        x, labels = make_batch(shapes, cases, seed=step)
        w_grad, b_grad, cost = np.zeros_like(w), np.zeros_like(b), 0.0
        for n in range(cases):
            powers = np.exp(w.T @ x[:, n] + b)
            probs = powers / powers.sum()
            cost -= np.log(probs[int(labels[0, n])])
            for k in range(3):
                error = probs[k] - (k == labels[0, n])
                w_grad[:, k] += x[:, n] * error
                b_grad[k] += error
        w_rate = 0.5 / 4**progress
        b_rate = 0.25 * (1 - progress) + 0.025 * progress
        w_inc = 0.5 * w_inc - w_rate / batch_size * w_grad - 0.01 * w_rate * w
        b_inc = 0.25 * b_inc - b_rate / batch_size * b_grad
        w, b = w + w_inc, b + b_inc

        costs = net.train_step([x, labels], Clock(progress=progress))
        np.testing.assert_allclose(costs["cost"][0], cost, rtol=1e-5)
        state = net.state()
        tolerance = 1e-12 if ops.dtype == np.float64 else 1e-6
        for name, expected in (("weights.0", w), ("weights.0.inc", w_inc), ("biases", b[None]),
                               ("biases.inc", b_inc[None])):  # fmt: skip
            np.testing.assert_allclose(state[f"scores.{name}"], expected, atol=tolerance)


# --- NaN ----------------------------------------------------------------------------------------


def spoil_weights(net: Net, batch: list[np.ndarray]) -> None:
    weights = net.get_weights("top.weights.0")
    weights[3, 1] = np.nan
    net.set_weights("top.weights.0", weights)


def spoil_data(net: Net, batch: list[np.ndarray]) -> None:
    batch[0][5, 1] = np.inf


def make_large(net: Net, batch: list[np.ndarray]) -> None:
    net.set_weights("scores.weights.0", 1e6 * net.get_weights("scores.weights.0"))


def make_negative(net: Net, batch: list[np.ndarray]) -> None:
    net.set_weights("top.biases", np.full((1, 4), -1e3))


@BACKENDS
@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (spoil_weights, "Layer 'top': top.weights.0 holds a NaN or infinity; " + REMEDY),
        (spoil_data, "Layer 'data': its data holds a NaN or infinity; mend the data"),
        (
            make_negative,
            "Layer 'top_neuron': its output holds a NaN or infinity; " + REMEDY,
        ),  # a root
        (make_large, "Layer 'cost': its output holds a NaN or infinity; " + REMEDY),  # p = 0
    ],
)
def test_nan_is_explained_and_nothing_learned(
    ops: Ops, spoil: Callable[[Net, list[np.ndarray]], None], text: str
) -> None:
    net = make_net(between(FC.replace("relu", "sqrt") + "initB=20\n"), ops=ops)
    net.train_step(make_batch())
    batch = make_batch()
    spoil(net, batch)
    before = net.state()
    with pytest.raises(NonFiniteError) as caught:
        net.train_step(batch)
    assert str(caught.value) == text
    for name, values in net.state().items():
        np.testing.assert_array_equal(values, before[name])


def test_nothing_to_explain() -> None:
    net = make_net(between(FC))
    text = "a cost was NaN or infinite, but every layer's output is finite now"
    assert net.explain_non_finite(make_batch(), TRAIN) == text


# --- backends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [CHECK, MASKED], ids=str)
@pytest.mark.parametrize("cases", [1, 7, 16])
def test_backends_agree(mode: Mode, cases: int) -> None:
    reference = make_net(EVERYTHING, batch_size=16)
    cpu = make_net(EVERYTHING, batch_size=16, ops=CpuOps())
    batch, clock = make_batch(cases=cases), Clock(seed=3, epoch=2, batch=4, minibatch=1)
    for net in (reference, cpu):
        net.keep(*net.parameters, *net.graph.keys() - {"cost", "squares"})
    expected, got = (net.forward(batch, mode, clock) for net in (reference, cpu))
    for name, values in expected.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-5, err_msg=name)
    for name in reference.graph.keys() - {"cost", "squares"}:
        values = reference.activity(name)
        atol = 1e-5 * np.abs(values).max()
        np.testing.assert_allclose(cpu.activity(name), values, atol=atol, err_msg=name)
    for net in (reference, cpu):
        net.backward()
    for name in reference.parameters:
        values = reference.gradient(name)
        atol = 2e-5 * np.abs(values).max()
        np.testing.assert_allclose(cpu.gradient(name), values, atol=atol, err_msg=name)


@pytest.mark.parametrize(
    "arguments", [{"batch_size": 0}, {"batch_size": 2.5}, {"seed": -1}, {"keep": "top"}]
)
def test_arguments_out_of_range(arguments: dict[str, Any]) -> None:
    graph = make_net(between(FC)).graph
    with pytest.raises(OptionError, match=r"^expected batch_size a whole number of at least 1"):
        Net(graph, ReferenceOps(np.float64), **({"batch_size": 4} | arguments))


def test_a_graph_serves_one_net() -> None:
    graph = make_net(between(FC)).graph
    with pytest.raises(ShapeError, match=r"^this graph serves another net already"):
        Net(graph, ReferenceOps(np.float64), batch_size=4)


def test_matrices_must_be_arrays() -> None:
    images, labels = make_batch()
    says = r"^matrix 0 must be a numpy array or ByteImages; found list$"
    with pytest.raises(BatchError, match=says):
        make_net(between(FC)).forward([images.tolist(), labels])


def test_data_must_be_a_list_of_matrices() -> None:
    with pytest.raises(BatchError, match=r"^expected a list of matrices; found NoneType$"):
        make_net(between(FC)).forward(None)
