"""Batch normalisation layers: statistics in training and tests, what lasts, mistakes, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convnet.errors import NonFiniteError
from convnet.layer_types.base import CHECK, TEST, TRAIN
from convnet.net import Net
from convnet.plan import Clock
from tests import reference_batchnorm as formulas
from tests.helpers import (
    assert_gradients,
    between,
    layer,
    layer_errors,
    make_batch,
    make_net,
)

MID = layer("mid", "neuron", "below", neuron="softrelu")
RATE = 0.3


def text(**keys: Any) -> str:
    return between(MID + layer("top", "batchnorm", "mid", **keys))


def net_of(extra: str = "", definition: str = "", **arguments: Any) -> Net:
    section = f"[top]\nstatsRate={RATE}\n{extra}"
    return make_net(definition or text(), section, keep=("mid", "top"), **arguments)


def tracked(running: np.ndarray, images: np.ndarray) -> np.ndarray:
    means, variances = formulas.stats(images)
    count = images[0].size
    new = np.array([means, variances * count / (count - 1)])
    return (1 - RATE) * running + RATE * new


@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_training_normalises_by_the_minibatch_and_tests_by_what_was_tracked(eps: float) -> None:
    net = net_of(definition=text(eps=eps))
    running = np.array([np.zeros(4), np.ones(4)])
    for step in range(3):
        state, cases = net.state(), 4 - step
        np.testing.assert_allclose(state["top.running"], running, rtol=1e-12)
        net.train_step(make_batch(seed=step, cases=cases))
        gammas, betas = state["top.weights.0"], state["top.biases"]
        x = net.activity("mid")
        expected = formulas.fprop(x, formulas.stats(x), gammas, betas, eps)
        np.testing.assert_allclose(net.activity("top"), expected, rtol=1e-10, atol=1e-12)
        running = tracked(running, x)
    for mode in (TEST, CHECK):
        net.forward(make_batch(seed=5), mode)
    state = net.state()
    np.testing.assert_allclose(state["top.running"], running, rtol=1e-12)
    net.forward(make_batch(seed=6), TEST)
    expected = formulas.fprop(
        net.activity("mid"), running, state["top.weights.0"], state["top.biases"], eps
    )
    np.testing.assert_allclose(net.activity("top"), expected, rtol=1e-10, atol=1e-12)


def test_gammas_begin_with_one_and_betas_with_zero() -> None:
    net = net_of()
    assert (net.get_weights("top.weights.0") == 1).all()
    assert (net.get_weights("top.biases") == 0).all()
    assert net.get_weights("top.weights.0").shape == (1, 4)
    assert net.parameters["top.weights.0"].decay == 0.01  # wc of the parameter file


def test_numbers_are_channels_where_there_are_no_images() -> None:
    fc = layer("mid", "fc", "below", outputs=6, initW=0.3, neuron="tanh[1,1]")
    net = make_net(between(fc + layer("top", "batchnorm", "mid")), keep=("top",))
    net.forward(make_batch(), CHECK)
    acts = net.activity("top").reshape(6, 4)
    np.testing.assert_allclose(acts.mean(axis=1), 0, atol=1e-12)
    assert net.state()["top.running"].shape == (2, 6)


@pytest.mark.parametrize("extra", ["", "frozen=1\n", "epsW=0\n"])
@pytest.mark.parametrize("keys", [{}, {"neuron": "logistic"}, {"eps": 0.5}])
def test_gradients(extra: str, keys: dict[str, Any]) -> None:
    assert_gradients(net_of(extra, text(**keys)))


def test_frozen_layers_use_the_running_averages_and_leave_all_as_it_is() -> None:
    net = net_of("frozen=1\n")
    running = np.array([np.full(4, 0.25), np.full(4, 2.0)])
    before = net.state() | {"top.running": running}
    net.load_state(before)
    net.train_step(make_batch())
    x = net.activity("mid")
    expected = formulas.fprop(x, running, np.ones(4), np.zeros(4), 1e-5)
    np.testing.assert_allclose(net.activity("top"), expected, rtol=1e-10, atol=1e-12)
    after = net.state()
    for name in ("top.running", "top.weights.0", "top.biases"):
        np.testing.assert_array_equal(after[name], before[name])
    assert (after["below.weights.0"] != before["below.weights.0"]).any()
    ops = {call.op for call in net.recording(TRAIN).program.calls if call.layer == "top"}
    assert ops == {"batchnorm_fprop", "batchnorm_dgrad"}


def test_gammas_without_a_rate_stay_one() -> None:
    net = net_of("epsW=0\n")
    net.train_step(make_batch())
    assert (net.get_weights("top.weights.0") == 1).all()
    assert (net.get_weights("top.biases") != 0).any()


def test_a_step_that_is_not_taken_leaves_no_trace() -> None:
    net = net_of()
    net.set_weights("scores.biases", np.full((1, 3), np.nan))
    before = net.state()
    with pytest.raises(NonFiniteError):
        net.train_step(make_batch())
    np.testing.assert_array_equal(net.state()["top.running"], before["top.running"])


def test_each_part_of_a_hybrid_net_has_its_own_statistics() -> None:
    """Four devices below, two above: the layer sees half of the minibatch at a time."""
    definition = text(gpu="0,1").replace("initW=0.3\n", "initW=0.3\ngpu=0,1,2,3\n", 1)
    net = net_of(definition=definition, batch_size=7)
    net.train_step(make_batch(cases=7), Clock())
    x = net.activity("mid")
    running = np.array([np.zeros(4), np.ones(4)])
    for part in (x[..., :4], x[..., 4:]):
        running = tracked(running, part)
    np.testing.assert_allclose(net.state()["top.running"], running, rtol=1e-10)


def test_averages_move_in_each_minibatch_of_a_period() -> None:
    net = net_of("updatePeriod=3\n")
    running = np.array([np.zeros(4), np.ones(4)])
    for step in range(2):
        net.train_step(make_batch(seed=step), Clock(steps=step))
        running = tracked(running, net.activity("mid"))
    np.testing.assert_allclose(net.state()["top.running"], running, rtol=1e-12)
    assert (net.get_weights("top.weights.0") == 1).all()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"eps": 0}, "parameter 'eps' is '0': expected a finite number > 0"),
        ({"eps": "x"}, "parameter 'eps' is 'x': expected a finite number > 0"),
    ],
)
def test_mistakes(keys: dict[str, Any], expected: str) -> None:
    assert layer_errors(text(**keys)) == [expected]


def test_mistakes_in_the_parameter_file() -> None:
    errors = layer_errors(text(), "[top]\nstatsRate=1.5\nfrozen=2\n")
    assert [error.partition(": Layer 'top': ")[2] for error in errors] == [
        "parameter 'statsRate' is '1.5': expected a finite number > 0 and <= 1",
        "parameter 'frozen' is '2': expected a boolean "
        "(true or false, yes or no, on or off, 1 or 0)",
    ]
