"""Compares the gradients of a net with central differences, in float64 on the reference backend."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from convnet.layer_types.base import CHECK
from convnet.layer_types.data import Matrices
from convnet.net import Net
from convnet.plan import Clock

TOLERANCE = 1e-4
STEPS = (1e-5, 1e-6, 1e-7)
KINK = 2e-5
ROUNDING = 1e-14  # of the objective: smaller differences show nothing
SAMPLES = 6


@dataclass(frozen=True)
class Agreement:
    """How well the two gradients of one matrix agree.

    Attributes:
        error: |numeric - analytic| / max(|numeric|, |analytic|), over the tried directions.
        analytic, numeric: norms over the tried directions.
        worst: index of the element with the largest difference, with both values.
    """

    name: str
    shape: tuple[int, int]
    error: float
    analytic: float
    numeric: float
    worst: str

    @property
    def passed(self) -> bool:
        return self.error < TOLERANCE


def check_gradients(net: Net, matrices: Matrices, seed: int = 0) -> Iterator[Agreement]:
    """One result per weight matrix and bias vector.

    For each, the objective is differentiated along a random direction through all elements and
    along a sample of single elements: (E(w + h d) - E(w - h d)) / 2h. Where the second
    difference shows that a kink (of relu, of a maximum) lies between, a smaller step is taken.
    Random layers are in their test form. The objective is the sum over cost layers of coeff times
    the first value.

    The net is given new random weights first, of a size that keeps activities near 1, and images
    are scaled for the same: with tiny activities nearly every unit would sit on a kink, with large
    ones a logistic neuron would be saturated, and rounding would hide the rest.

    Args:
        net: on a float64 backend.
        matrices: one minibatch.
    """
    clock = Clock(seed)
    arrays = map(np.asarray, matrices)
    matrices = [m / max(1, m.std()) if len(m) > 1 else m for m in arrays]  # no single labels
    coeffs = {cost.name: cost.coeff for cost in net.costs}

    def objective() -> float:
        values = net.forward(matrices, CHECK, clock)
        return float(sum(coeff * values[name][0] for name, coeff in coeffs.items()))

    def derivative(name: str, original: np.ndarray, direction: np.ndarray) -> float:
        for step in STEPS:
            net.set_weights(name, original + step * direction)
            above = objective()
            net.set_weights(name, original - step * direction)
            below = objective()
            if abs(above - 2 * here + below) <= KINK * abs(above - below) + ROUNDING * abs(here):
                break
        net.set_weights(name, original)
        return (above - below) / (2 * step)

    generator = np.random.default_rng(seed)
    for name, parameter in net.parameters.items():
        noise = generator.standard_normal(parameter.shape)
        if parameter.fan_in:
            net.set_weights(name, parameter.fan_in**-0.5 * noise)
        else:
            # Biases stay near initB, which keeps the inputs of sqrt and log neurons positive.
            net.set_weights(name, net.get_weights(name) + 0.1 * noise)
    here = objective()
    net.backward()
    gradients = {name: net.gradient(name) for name in net.parameters if net.has_gradient(name)}
    for name, gradient in gradients.items():
        original = net.get_weights(name)
        directions = [generator.standard_normal(original.shape) / np.sqrt(original.size)]
        chosen = generator.choice(original.size, min(SAMPLES, original.size), replace=False)
        for index in chosen:
            direction = np.zeros(original.size)
            direction[index] = 1.0
            directions.append(direction.reshape(original.shape))
        numeric = [derivative(name, original, direction) for direction in directions]
        got = np.array([(gradient * direction).sum() for direction in directions])
        yield _compare(name, got, np.array(numeric), [-1, *chosen], original.shape)


def _compare(
    name: str,
    analytic: np.ndarray,
    numeric: np.ndarray,
    indices: list[int],
    shape: tuple[int, int],
) -> Agreement:
    size = max(float(np.linalg.norm(analytic)), float(np.linalg.norm(numeric)))
    difference = np.abs(numeric - analytic)
    at = int(difference.argmax())
    place = "direction" if at == 0 else str(tuple(map(int, np.unravel_index(indices[at], shape))))
    return Agreement(
        name,
        shape,
        float(np.linalg.norm(difference)) / size if size else 0.0,
        float(np.linalg.norm(analytic)),
        float(np.linalg.norm(numeric)),
        f"{place}: {analytic[at]:.6e}, expected {numeric[at]:.6e}",
    )
