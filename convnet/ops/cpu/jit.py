"""How the kernels of this backend are compiled.

Nothing is compiled before its first call, and numba keeps what it compiled on disk, in
NUMBA_CACHE_DIR or beside the source (in the user's cache where that is read-only), for this
processor only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.codegen import get_host_cpu_features

from convnet.errors import OptionError

ZERO: Any = np.float32(0)  # a plain 0.0 would turn float32 arithmetic into float64
ONE: Any = np.float32(1)
INFINITY: Any = np.float32(np.inf)

# float32 numbers per vector register; 32 such registers with AVX-512, else 16.
AVX512 = "+avx512f" in get_host_cpu_features()
LANES = 16 if AVX512 else 8

BLOCK = 4096  # elements that an elementwise kernel treats at a time: 16 KiB, half an L1 cache

SHARED = 1 << 14  # elements of the largest array from which on waking other threads pays

# Idle threads of OpenMP shall sleep. By default they spin, and where other processes want the
# processor too a training step then takes three times as long. Read when numba loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# No fast math: it lets the compiler choose the order of sums, and a kernel that was just compiled
# then differs in the last bit from the same kernel loaded from the cache.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}

_HERE = Path(__file__).parent
_FILES = [*sorted(_HERE.glob("*.py")), _HERE.parent / "philox.py", _HERE.parent / "winograd.py"]
_STAMP = tuple((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in _FILES)


def set_threads(count: int) -> None:
    """Lets the kernels that this Python thread calls run on `count` threads.

    Raises:
        OptionError: less than one, or more than numba has (NUMBA_NUM_THREADS, one a core).
    """
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if not 1 <= count <= most:
        raise OptionError(f"--threads must be from 1 to {most}, one for each core; found {count}")
    numba.set_num_threads(count)


def parallel(function: Callable[..., Any]) -> Any:
    """Compiles a kernel whose `prange` loops run on all threads, or on one if all is small."""
    kernel = _stamped(numba.njit(parallel=True, **_OPTIONS)(function))

    @wraps(function)
    def run(*args: Any) -> None:
        if any(isinstance(arg, np.ndarray) and arg.size >= SHARED for arg in args):
            kernel(*args)
            return
        threads = numba.get_num_threads()
        numba.set_num_threads(1)
        try:
            kernel(*args)
        finally:
            numba.set_num_threads(threads)

    return run


def serial(function: Callable[..., Any]) -> Any:
    """Compiles a function for one thread: a small kernel, or a part of a parallel one."""
    return _stamped(numba.njit(**_OPTIONS)(function))


def _stamped(dispatcher: Any) -> Any:
    """Lets a change to any file that kernels are made of make what is cached on disk stale.

    numba looks at the file of the kernel alone, and would go on using one whose parts, inlined
    from other files, have changed.
    """
    # Private to numba, and absent where NUMBA_DISABLE_JIT is set: then there is no cache either.
    if cache := getattr(dispatcher, "_cache", None):
        cache._cache_file._source_stamp = _STAMP
    return dispatcher


def aligned(size: int) -> np.ndarray:
    """An array of `size` float32, content undefined, at an address that is a multiple of 64."""
    memory = np.empty(size + 15, np.float32)
    start = -memory.ctypes.data % 64 // 4
    return memory[start : start + size]
