"""Soft LIF neurons: as convnet.ops.reference.lif, one element at a time in float32."""

from __future__ import annotations

from math import exp, expm1, log, log1p
from typing import Any

import numpy as np
from numba.extending import register_jitable

from convnet.ops.cpu.jit import ONE, ZERO

_LOW, _HIGH = np.float32(-20), np.float32(4)


@register_jitable
def _softrelu(u: Any) -> Any:
    return u if u > _HIGH else log1p(exp(u))


@register_jitable
def _period(x: Any, t: Any, r: Any, a: Any, g: Any) -> Any:
    u = a * x / g
    softrelu = _softrelu(u)
    log_softrelu = u if u < _LOW else log(softrelu)
    return t + r * (log1p(g * softrelu) - log(g) - log_softrelu)


@register_jitable
def rate(x: Any, m: Any, t: Any, r: Any, a: Any, g: Any, _: Any) -> Any:
    """y = m / p."""
    return m / _period(x, t, r, a, g)


@register_jitable
def slope(x: Any, m: Any, t: Any, r: Any, a: Any, g: Any, _: Any) -> Any:
    """dy/dx."""
    u, p = a * x / g, _period(x, t, r, a, g)
    softrelu = _softrelu(u)
    relative = ONE / softrelu if u > _HIGH else ONE / ((ONE + exp(-u)) * softrelu)
    if u < _LOW:
        relative = ONE
    return m * r * a * relative / (g * p * p * (g * softrelu + ONE))


@register_jitable
def with_noise(x: Any, normal: Any, m: Any, t: Any, r: Any, a: Any, g: Any, n: Any) -> Any:
    """softlif while training."""
    y = m / _period(x, t, r, a, g)
    return max(ZERO, y + m * n * normal) if a * x > ZERO else y


@register_jitable
def _alpha(p: Any, since: Any, s: Any) -> Any:
    norm = s * -expm1(-p / s)
    return exp(-since / s) * (since + (p - since) * exp(-p / s)) / (norm * norm)


@register_jitable
def through_alpha(x: Any, uniform: Any, m: Any, t: Any, r: Any, a: Any, g: Any, s: Any) -> Any:
    """softlifalpha while training."""
    p = _period(x, t, r, a, g)
    return m * _alpha(p, uniform * p, s)


@register_jitable
def through_alpha_and_lowpass(
    x: Any, uniform: Any, m: Any, t: Any, r: Any, a: Any, g: Any, s: Any
) -> Any:
    """softlifalpharc while training."""
    p = _period(x, t, r, a, g)
    since, d = uniform * p, r - s
    slow = exp(-since / r) / -expm1(-p / r)
    fast = exp(-since / s) / -expm1(-p / s)
    return m * (r * (slow - fast) / (d * d) - _alpha(p, since, s) * s / d)
