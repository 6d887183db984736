"""Soft LIF neurons, one number at a time, from their formulas; see tests/reference.py.

The rates through spikes are simulated: the kernels of the synapse and of the low-pass filter,
added up over the spikes of the past.
"""

from __future__ import annotations

from math import exp, log1p

import numpy as np

SPIKES = 4000


def current(x: float, a: float, g: float) -> float:
    """The soft current: linear where cuda-convnet's softrelu is."""
    return a * x if a * x > 4 * g else g * log1p(exp(a * x / g))


def period(x: float, t: float, r: float, a: float, g: float) -> float:
    return t + r * log1p(1 / current(x, a, g))


def rate(x: float, m: float, t: float, r: float, a: float, g: float, _: float = 0) -> float:
    return m / period(x, t, r, a, g)


def slope(x: float, m: float, t: float, r: float, a: float, g: float, _: float = 0) -> float:
    """By the chain rule: m / p, p(j), j(x)."""
    j, p = current(x, a, g), period(x, t, r, a, g)
    dp_dj = r / (1 + 1 / j) * -1 / j**2
    dj_dx = a if a * x > 4 * g else a * exp(a * x / g) / (1 + exp(a * x / g))
    return -m / p**2 * dp_dj * dj_dx


def with_noise(
    x: float, normal: float, m: float, t: float, r: float, a: float, g: float, n: float
) -> float:
    y = rate(x, m, t, r, a, g)
    return max(0, y + m * n * normal) if a * x > 0 else y


def alpha_kernel(time: np.ndarray, s: float) -> np.ndarray:
    return time / s**2 * np.exp(-time / s)


def alpha_lowpass_kernel(time: np.ndarray, s: float, r: float) -> np.ndarray:
    """The convolution of the alpha kernel with exp(-t / r) / r."""
    k = 1 / s - 1 / r
    grown = (1 - np.exp(-k * time) * (1 + k * time)) / k**2
    return np.exp(-time / r) * grown / (r * s**2)


def through_alpha(
    x: float, uniform: float, m: float, t: float, r: float, a: float, g: float, s: float
) -> float:
    p = period(x, t, r, a, g)
    times = p * (uniform + np.arange(SPIKES))
    return float(m * alpha_kernel(times, s).sum())


def through_alpha_and_lowpass(
    x: float, uniform: float, m: float, t: float, r: float, a: float, g: float, s: float
) -> float:
    p = period(x, t, r, a, g)
    times = p * (uniform + np.arange(SPIKES))
    return float(m * alpha_lowpass_kernel(times, s, r).sum())
