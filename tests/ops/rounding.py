"""The formats of tensor cores: numbers rounded as a GPU does, and how far that can be off."""

from __future__ import annotations

import numpy as np

from convnet.precision import Precision

# The largest relative error of a number: half a unit of 10 and 7 bits of fraction.
UNIT = {Precision.FP32: 0.0, Precision.TF32: 2.0**-11, Precision.BF16: 2.0**-8}


def rounded(values: np.ndarray, precision: Precision) -> np.ndarray:
    """To the nearest; of two that are as near, tf32 takes the larger one, bf16 the even one.

    By arithmetic on the significand, not on bits as the kernels do it.
    """
    if precision == Precision.FP32:
        return values
    significand, exponent = np.frexp(np.asarray(values, np.float64))  # 0.5 <= |significand| < 1
    scaled = np.abs(significand) / UNIT[precision]  # whole numbers are what the format holds
    whole = np.floor(scaled + 0.5) if precision == Precision.TF32 else np.rint(scaled)
    return np.copysign(np.ldexp(whole * UNIT[precision], exponent), significand)
