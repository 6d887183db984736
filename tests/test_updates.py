"""Updates that wait until all gradients of a minibatch are there."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.errors import ConfigError, NonFiniteError
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


def train(net: Net, first: int = 0, steps: int = 5) -> None:
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


def test_a_net_of_several_levels_cannot_wait() -> None:
    definition = TWO.replace("[low]\n", "[low]\ngpu=0,1\n").replace("[top]\n", "[top]\ngpu=0\n")
    net = make_net(definition, updates=Updates(checked=True))
    with pytest.raises(ConfigError, match="needs layers that all learn at the same time"):
        net.train_step(make_batch())
