"""How the kernels of this backend are compiled.

Nothing is compiled before its first call, and numba keeps what it compiled on disk, in
NUMBA_CACHE_DIR or beside the source (in the user's cache where that is read-only), for this
processor only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core.codegen import get_host_cpu_features

# Sums may be reordered, so that they vectorise, but NaN and infinity must come through.
_OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "arcp", "nsz"},
}

ZERO: Any = np.float32(0)  # a plain 0.0 would turn float32 arithmetic into float64
ONE: Any = np.float32(1)

# float32 numbers per vector register; 32 such registers with AVX-512, else 16.
AVX512 = "+avx512f" in get_host_cpu_features()
LANES = 16 if AVX512 else 8

BLOCK = 4096  # elements that an elementwise kernel treats at a time: 16 KiB, half an L1 cache


def parallel(function: Callable[..., Any]) -> Any:
    """Compiles a kernel whose `prange` loops run on all threads."""
    return numba.njit(parallel=True, **_OPTIONS)(function)


def serial(function: Callable[..., Any]) -> Any:
    """Compiles a function for one thread: a small kernel, or a part of a parallel one."""
    return numba.njit(**_OPTIONS)(function)


def aligned(size: int) -> np.ndarray:
    """An array of `size` float32, content undefined, at an address that is a multiple of 64."""
    memory = np.empty(size + 15, np.float32)
    start = -memory.ctypes.data % 64 // 4
    return memory[start : start + size]
