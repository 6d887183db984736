"""Central differences against analytic gradients, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

STEP = 1e-5
TOLERANCE = 1e-7
SAMPLES = 12


def check_gradient(
    forward: Callable[..., np.ndarray],
    arguments: dict[str, np.ndarray],
    acts_grad: np.ndarray,
    gradients: dict[str, np.ndarray],
) -> None:
    """Asserts that `gradients` are those of E = sum(acts_grad * forward(**arguments)).

    Compares the slope along one random direction, which every element takes part in, and along
    some single elements of each argument that has a gradient.
    """
    rng = np.random.default_rng(0)

    def slope(name: str, direction: np.ndarray) -> float:
        up, down = (
            np.sum(acts_grad * forward(**{**arguments, name: arguments[name] + h * direction}))
            for h in (STEP, -STEP)
        )
        return float((up - down) / (2 * STEP))

    def compare(name: str, where: Any, direction: np.ndarray) -> None:
        expected, got = slope(name, direction), float(np.sum(gradients[name] * direction))
        assert abs(got - expected) <= TOLERANCE * max(1, abs(expected)), (
            f"gradient of {name} at {where}: expected {expected:.10g}, got {got:.10g}"
        )

    for name, value in arguments.items():
        if name not in gradients:
            continue
        assert gradients[name].shape == value.shape, f"shape of the gradient of {name}"
        direction = rng.standard_normal(value.shape)
        for number in rng.permutation(value.size)[:SAMPLES]:
            index = tuple(int(i) for i in np.unravel_index(number, value.shape))
            element = np.zeros_like(value)
            element[index] = 1
            compare(name, index, element)
        compare(name, "a random direction", direction / np.linalg.norm(direction))
