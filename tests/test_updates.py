"""Updates that wait until all gradients of a minibatch are there, or for several minibatches."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.errors import ConfigError, NonFiniteError
from convnet.layer_types.base import CHECK
from convnet.net import Net
from convnet.updates import Updates
from tests.helpers import (
    BACKENDS,
    CLASSIFIER,
    DATA,
    EVERYTHING,
    SHAPES,
    layer,
    make_batch,
    make_net,
    ops_of,
)

TWO = (
    DATA
    + layer("low", "fc", "data", outputs=6, initW=0.2, neuron="relu")
    + layer("top", "fc", "low", outputs=5, initW=0.2)
    + CLASSIFIER
)


def train(net: Net, first: int = 0, steps: int = 4) -> None:
    for step in range(first, first + steps):
        net.train_step(make_batch(SHAPES, net.batch_size, seed=step))


def assert_same(one: Net, two: Net) -> None:
    for name, values in two.state().items():
        np.testing.assert_array_equal(one.state()[name], values, name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_waiting_changes_no_bits(backend: str) -> None:
    definition = TWO if backend == "emulated" else EVERYTHING
    parameters = "[low]\nupdatePeriod=2\n" if backend == "emulated" else ""
    nets = [
        make_net(definition, parameters, ops=ops_of(backend), updates=updates)
        for updates in (Updates(), Updates(checked=True))
    ]
    for net in nets:
        train(net)
    assert_same(*nets)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_first_bad_gradient_is_named(backend: str) -> None:
    """First in the order of computing, from the cost downwards; nothing has learned from it."""
    huge = "1e300" if backend == "reference" else "3e38"
    parameters = f"[cost]\ncoeff={huge}\n[low]\nepsB=0\n"
    net = make_net(TWO, parameters, ops=ops_of(backend), updates=Updates(checked=True))
    before = net.state()
    for _ in range(3):  # a device captures the second step and replays the third
        with pytest.raises(NonFiniteError, match=r"^Layer 'scores': the gradient of scores\.wei"):
            net.train_step(make_batch())
    for name, values in net.state().items():
        np.testing.assert_array_equal(values, before[name], name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bad_weights_are_named(backend: str) -> None:
    """A relu hides them from the cost, so the loss alone would not show it."""
    net = make_net(TWO, ops=ops_of(backend), updates=Updates(checked=True))
    biases = net.get_weights("low.biases")
    biases[0, 3] = -np.inf
    net.set_weights("low.biases", biases)
    with pytest.raises(NonFiniteError, match=r"^Layer 'low': low\.biases holds a NaN or infinity"):
        net.train_step(make_batch())


def test_sums_over_minibatches_are_forgotten() -> None:
    """A bad gradient in a sum would spoil all that is added to it."""
    net = make_net(TWO, "[top]\nupdatePeriod=3\n", updates=Updates(checked=True))
    train(net, steps=1)
    assert net.state()["top.weights.0.grad"].any()
    biases = net.get_weights("low.biases")
    net.set_weights("low.biases", np.full_like(biases, -np.inf))
    with pytest.raises(NonFiniteError):
        train(net, first=1, steps=1)
    assert not net.state()["top.weights.0.grad"].any()


@pytest.mark.parametrize("updates", [Updates(checked=True), Updates(clip_norm=1.0)], ids=str)
def test_a_net_of_several_levels_cannot_wait(updates: Updates) -> None:
    definition = TWO.replace("[low]\n", "[low]\ngpu=0,1\n").replace("[top]\n", "[top]\ngpu=0\n")
    net = make_net(definition, updates=updates)
    with pytest.raises(ConfigError, match="need layers that all learn at the same time"):
        net.train_step(make_batch())


# --- clipping -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "accumulate"), [("reference", 1), ("reference", 2), ("cpu", 2), ("emulated", 2)]
)
def test_gradients_are_clipped_together(backend: str, accumulate: int) -> None:
    """All are scaled by one factor, the weight decay is not."""
    parameters = "[DEFAULT]\nmomW=0\nmomB=0\n"
    ops = ops_of(backend)
    for limit in (0.05, 1e3):
        net = make_net(
            TWO, parameters, ops=ops, updates=Updates(clip_norm=limit, accumulate=accumulate)
        )
        plain = make_net(TWO, parameters, ops=ops)
        plain.load_state({n: v for n, v in net.state().items() if not n.endswith(".grad")})
        before = plain.state()
        sums = dict.fromkeys(net.parameters, np.float64(0))
        for seed in range(accumulate):
            plain.forward(make_batch(seed=seed), CHECK)
            plain.backward()
            for name in sums:
                sums[name] = sums[name] + plain.gradient(name).astype(np.float64)
        cases = 4 * accumulate
        norm = np.sqrt(sum((g**2).sum() for g in sums.values())) / cases
        assert (norm > limit) == (limit == 0.05)
        train(net, steps=accumulate)
        for name, gradient in sums.items():
            rate, decay = (0.2, 0.0) if name.endswith(".biases") else (0.1, 0.01)
            step = gradient / cases * min(1, limit / norm) + decay * before[name]
            np.testing.assert_allclose(
                net.get_weights(name), before[name] - rate * step, rtol=0, atol=1e-6, err_msg=name
            )


def test_clipping_needs_one_period() -> None:
    net = make_net(TWO, "[top]\nupdatePeriod=3\n", updates=Updates(clip_norm=1.0))
    with pytest.raises(ConfigError, match="give them all the same updatePeriod, or none"):
        net.train_step(make_batch())


# --- accumulating -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_add_up_to_a_larger_one(backend: str) -> None:
    small = make_net(TWO, ops=ops_of(backend), batch_size=4, updates=Updates(accumulate=3))
    large = make_net(TWO, ops=ops_of(backend), batch_size=12)
    tolerance = 1e-12 if backend == "reference" else 1e-6
    for step in range(4):  # a device captures, and replays, sums that begin, go on and end
        batch = make_batch(SHAPES, 12, seed=step)
        costs = [
            small.train_step([m[:, first : first + 4] for m in batch])["cost"]
            for first in (0, 4, 8)
        ]
        expected = large.train_step(batch)["cost"]
        assert np.sum(costs, axis=0) == pytest.approx(expected, abs=1e-5)
    for name, values in large.state().items():
        np.testing.assert_allclose(small.state()[name], values, rtol=0, atol=tolerance)


def test_a_period_of_a_layer_is_multiplied() -> None:
    net = make_net(TWO, "[top]\nupdatePeriod=2\n", updates=Updates(accumulate=2))
    before = net.state()
    learned = []
    for step in range(4):
        train(net, step, 1)
        state = net.state()
        names = ("top.weights.0", "low.weights.0")
        learned.append([bool((state[name] != before[name]).any()) for name in names])
        before = state
    assert learned == [[False, False], [False, True], [False, False], [True, True]]
