"""Soft LIF neurons in numpy: firing rates, their slopes, and rates seen through spikes.

Letters as in Ops.noisy_neuron_fprop; m, t, r, a, g and n or s are the neuron's parameters.
"""

from __future__ import annotations

import numpy as np

from convnet.ops.roles import Array


def _period(x: Array, t: float, r: float, a: float, g: float) -> Array:
    """p = t + r log(1 + 1/j): the time between spikes."""
    j, log_j, _ = _current(x, a, g)
    return t + r * (np.log1p(j) - log_j)


def _current(x: Array, a: float, g: float) -> tuple[Array, Array, Array]:
    """j = g softrelu(a x / g), its logarithm, and its slope divided by a j.

    Far below 0, where j is g exp(a x / g), the last two are finite even if j is too small for the
    type of number.
    """
    u = a * x / g
    low, high = u < -20, u > 4
    softrelu = np.where(high, u, np.log1p(np.exp(u)))
    log_j = np.log(g) + np.where(low, u, np.log(np.where(low, 1, softrelu)))
    slope = np.where(high, 1, 1 / (1 + np.exp(-u)))
    return g * softrelu, log_j, np.where(low, 1, slope / np.where(low, 1, softrelu)) / g


def rate(x: Array, m: float, t: float, r: float, a: float, g: float, _: float) -> Array:
    """y = m / p."""
    return m / _period(x, t, r, a, g)


def slope(x: Array, m: float, t: float, r: float, a: float, g: float, _: float) -> Array:
    """dy/dx."""
    j, _, relative = _current(x, a, g)
    return m * r * a * relative / (_period(x, t, r, a, g) ** 2 * (j + 1))


def with_noise(
    x: Array, normal: Array, m: float, t: float, r: float, a: float, g: float, n: float
) -> Array:
    """softlif while training."""
    y = rate(x, m, t, r, a, g, n)
    return np.where(a * x > 0, np.maximum(0, y + m * n * normal), y)


def through_alpha(
    x: Array, uniform: Array, m: float, t: float, r: float, a: float, g: float, s: float
) -> Array:
    """softlifalpha while training."""
    p = _period(x, t, r, a, g)
    return m * _alpha(p, uniform * p, s)


def through_alpha_and_lowpass(
    x: Array, uniform: Array, m: float, t: float, r: float, a: float, g: float, s: float
) -> Array:
    """softlifalpharc while training."""
    p = _period(x, t, r, a, g)
    since, d = uniform * p, r - s
    slow = np.exp(-since / r) / -np.expm1(-p / r)
    fast = np.exp(-since / s) / -np.expm1(-p / s)
    return m * (r * (slow - fast) / d**2 - _alpha(p, since, s) * s / d)


def _alpha(p: Array, since: Array, s: float) -> Array:
    """The output of an alpha synapse, `since` after the last of spikes that come every p."""
    e = np.exp(-p / s)
    return np.exp(-since / s) * (since + (p - since) * e) / (s * -np.expm1(-p / s)) ** 2
