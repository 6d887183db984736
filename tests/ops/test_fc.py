"""Fully connected layers."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.neurons import IDENT, Neuron, parse_neuron
from convnet.ops.base import Ops
from tests import reference
from tests.ops.check import apply, assert_close, check, numbers
from tests.ops.neuron_examples import NEURONS

# Inputs, outputs, images.
sizes = pytest.mark.parametrize(
    ("k", "f", "n"), [(1, 1, 1), (5, 3, 7), (3, 17, 33), (64, 16, 16), (70, 71, 130)]
)


@sizes
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("with_biases", [False, True])
@pytest.mark.parametrize("neuron", [IDENT, parse_neuron("relu")], ids=str)
def test_fprop(
    ops: Ops, k: int, f: int, n: int, add: bool, with_biases: bool, neuron: Neuron
) -> None:
    rng = np.random.default_rng(1)
    inputs, weights, held = numbers(rng, k, n), numbers(rng, k, f), numbers(rng, f, n)
    biases = numbers(rng, f, 1) if with_biases else None
    total = reference.biased(reference.fc_fprop(inputs, weights) + add * held, biases)
    got = apply(
        ops,
        "fc_fprop",
        inputs=inputs,
        weights=weights,
        biases=biases,
        neuron=neuron,
        acts=held,
        add=add,
    )
    assert_close(ops, got["acts"], reference.neuron_fprop(neuron, total), "fc_fprop")


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_fprop_with_each_neuron(ops: Ops, neuron: Neuron) -> None:
    rng = np.random.default_rng(2)
    # All positive, within the domain of every neuron.
    inputs, weights, biases = (np.abs(numbers(rng, *s)) for s in ((3, 5), (3, 2), (2, 1)))
    total = reference.biased(reference.fc_fprop(inputs, weights), biases)
    arguments = {"inputs": inputs, "weights": weights, "biases": biases, "neuron": neuron}
    got = apply(ops, "fc_fprop", **arguments, acts=total.shape)
    assert_close(ops, got["acts"], reference.neuron_fprop(neuron, total), str(neuron))


@sizes
def test_dgrad(ops: Ops, k: int, f: int, n: int) -> None:
    rng = np.random.default_rng(3)
    weights, acts_grad = numbers(rng, k, f), numbers(rng, f, n)
    expected = reference.fc_dgrad(weights, acts_grad)
    check(ops, "fc_dgrad", expected, weights=weights, acts_grad=acts_grad)


@sizes
def test_wgrad(ops: Ops, k: int, f: int, n: int) -> None:
    rng = np.random.default_rng(4)
    inputs, acts_grad = numbers(rng, k, n), numbers(rng, f, n)
    expected = reference.fc_wgrad(inputs, acts_grad)
    check(ops, "fc_wgrad", expected, inputs=inputs, acts_grad=acts_grad)


@sizes
def test_bias_grad(ops: Ops, k: int, f: int, n: int) -> None:
    acts_grad = numbers(np.random.default_rng(5), f, n)
    expected = reference.bias_grad(acts_grad, f).reshape(f, 1)
    check(ops, "bias_grad", expected, acts_grad=acts_grad)


def test_bias_grad_of_long_rows(ops: Ops) -> None:
    acts_grad = numbers(np.random.default_rng(6), 3, 5, 19, 129)
    expected = reference.bias_grad(acts_grad, 3).reshape(3, 1)
    check(ops, "bias_grad", expected, acts_grad=acts_grad)
