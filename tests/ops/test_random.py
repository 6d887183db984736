"""Dropout, noisy neurons and dropconnect."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convnet.neurons import parse_neuron
from convnet.ops.base import Ops, RandomKey
from convnet.ops.philox import normal, uniform
from convnet.ops.reference import ReferenceOps
from tests import reference_lif
from tests.ops.check import apply, check, numbers

shapes = pytest.mark.parametrize("shape", [(1, 1), (5, 33), (70, 2, 1, 130)], ids=str)
KEY = RandomKey(seed=2**40 + 5, stream=3, epoch=7, batch=11, minibatch=13)


@shapes
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.5, 1.0])
def test_dropout(ops: Ops, shape: tuple[int, ...], keep: float) -> None:
    inputs = numbers(np.random.default_rng(7), *shape)
    kept = [u < keep for u in uniform(KEY, inputs.size).tolist()]
    expected = np.where(np.reshape(kept, shape), 1.5 * inputs, 0)
    check(ops, "dropout", expected, inputs=inputs, keep=keep, scale=1.5, key=KEY)


def test_dropout_keeps_only_what_is_below(ops: Ops) -> None:
    """Exact to the last bit, on every backend."""
    draw = uniform(KEY, 50)
    inputs = np.ones((1, 50))
    for i in (0, 7, 49):
        for keep, acts in ((draw[i], 0), (np.nextafter(draw[i], np.float32(2)), 1)):
            arguments = {"keep": float(keep), "scale": 1.0, "key": KEY}
            got = apply(ops, "dropout", inputs=inputs, **arguments, acts=(1, 50))
            assert got["acts"][0, i] == acts


def test_dropout_of_nan_drops_it(ops: Ops) -> None:
    inputs = np.full((1, 50), np.nan)
    got = apply(ops, "dropout", inputs=inputs, keep=0.5, scale=1.0, key=KEY, acts=(1, 50))
    assert np.array_equal(np.isnan(got["acts"][0]), uniform(KEY, 50) < 0.5)


# --- noisy neurons ------------------------------------------------------------------------------

NOISY = {
    "softlif[0.063,0.002,0.05,0.825,0.5,2]": (normal, reference_lif.with_noise),
    "softlif[0.063,0.001,0.05,0.825,0.02,10]": (normal, reference_lif.with_noise),
    "softlifalpha[0.063,0.002,0.05,0.825,0.5,0.01]": (uniform, reference_lif.through_alpha),
    "softlifalpharc[0.063,0.002,0.05,0.825,0.5,0.01]": (
        uniform, reference_lif.through_alpha_and_lowpass,
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", NOISY)
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (5, 2, 1, 33)], ids=str)
def test_noisy_neurons(ops: Ops, text: str, shape: tuple[int, ...]) -> None:
    neuron, (draw, function) = parse_neuron(text), NOISY[text]
    inputs = numbers(np.random.default_rng(1), *shape)
    drawn = draw(KEY, inputs.size).tolist()
    acts = [function(x, z, *neuron.parameters) for x, z in zip(inputs.flat, drawn, strict=True)]
    expected = np.reshape(acts, shape)
    check(ops, "noisy_neuron_fprop", expected, neuron=neuron, inputs=inputs, key=KEY)


@pytest.mark.parametrize("text", NOISY)
def test_the_mean_of_a_noisy_neuron_is_its_rate(text: str) -> None:
    neuron = parse_neuron(text)
    inputs = np.full((1, 200_000), 3.0)
    arguments = {"neuron": neuron, "inputs": inputs, "acts": inputs.shape}
    noisy = apply(ReferenceOps(np.float64), "noisy_neuron_fprop", **arguments, key=KEY)["acts"]
    rate = apply(ReferenceOps(np.float64), "neuron_fprop", **arguments)["acts"][0, 0]
    assert noisy.std() > 0.005 * rate
    assert abs(noisy.mean() - rate) < 0.01 * rate


@pytest.mark.parametrize("text", NOISY)
def test_lif_far_below_its_threshold(ops: Ops, text: str) -> None:
    """Where the current is too small for a number, the rate is m g / (r a |x|)."""
    neuron, inputs = parse_neuron(text), np.array([[-1e4, -1e3, -3e2]])
    m, _, r, a, g, _ = neuron.parameters
    x = inputs[0]
    rate = apply(ops, "neuron_fprop", neuron=neuron, inputs=inputs, acts=(1, 3))["acts"][0]
    np.testing.assert_allclose(rate, m * g / (r * a * -x), rtol=2e-2)
    arguments = {"values": inputs, "acts_grad": np.ones((1, 3)), "inputs_grad": (1, 3)}
    slope = apply(ops, "neuron_bprop", neuron=neuron, **arguments)["inputs_grad"][0]
    np.testing.assert_allclose(slope, -rate / x, rtol=2e-2)


# --- dropconnect --------------------------------------------------------------------------------

OTHER_KEY = KEY._replace(stream=4)
connections = pytest.mark.parametrize(("k", "f", "n"), [(1, 1, 1), (5, 3, 7), (70, 9, 130)])


def masked(k: int, f: int, n: int, keep: float) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the weights (K,F,N) and of the biases (F,N)."""
    weights = [u < keep for u in uniform(KEY, k * f * n).tolist()]
    biases = [u < keep for u in uniform(OTHER_KEY, f * n).tolist()]
    return np.reshape(weights, (k, f, n)), np.reshape(biases, (f, n))


@connections
@pytest.mark.parametrize("keep", [0.3, 1.0])
def test_dropconnect(ops: Ops, k: int, f: int, n: int, keep: float) -> None:
    rng = np.random.default_rng(2)
    inputs, weights, biases, acts_grad = (
        numbers(rng, *shape) for shape in ((k, n), (k, f), (f, 1), (f, n))
    )
    mask, bias_mask = masked(k, f, n, keep)
    acts = bias_mask * biases
    inputs_grad, weights_grad = np.zeros((k, n)), np.zeros((k, f))
    for i in range(k):
        for j in range(f):
            acts[j] += mask[i, j] * weights[i, j] * inputs[i]
            inputs_grad[i] += mask[i, j] * weights[i, j] * acts_grad[j]
            weights_grad[i, j] = np.sum(mask[i, j] * inputs[i] * acts_grad[j])
    rule: dict[str, Any] = {"keep": keep, "weights_key": KEY}
    forward = {"inputs": inputs, "weights": weights, "biases": biases, "biases_key": OTHER_KEY}
    check(ops, "dropconnect_fprop", acts, **forward, **rule)
    arguments = {"weights": weights, "acts_grad": acts_grad, **rule}
    check(ops, "dropconnect_dgrad", inputs_grad, **arguments)
    arguments = {"inputs": inputs, "acts_grad": acts_grad, **rule}
    check(ops, "dropconnect_wgrad", weights_grad, **arguments)
