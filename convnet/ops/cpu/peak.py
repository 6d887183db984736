"""What this machine reaches with the threads in use, for the kernels to be measured against."""

from __future__ import annotations

import time
from collections.abc import Callable

import numba
import numpy as np
from numba import prange

from convnet.ops.cpu import elementwise
from convnet.ops.cpu.jit import LANES, ONE, aligned, parallel
from convnet.ops.cpu.vectors import FPROP_COLUMNS, ROWS, fprop_tile
from convnet.ops.roles import Array

REPEATS = 7
DEPTH, TILES = 128, 20_000  # sums of a tile, whose operands stay in the L1 cache; tiles a thread
LENGTH = 1 << 24  # floats of an array that is in no cache: 64 MiB


def flops_per_second() -> float:
    """Multiplications and additions per second, in the micro-kernel of the convolutions."""
    panel, source = (np.ones(DEPTH * n, np.float32) for n in (ROWS, LANES))
    offsets = np.arange(DEPTH, dtype=np.int32) * LANES
    starts = np.zeros(FPROP_COLUMNS, np.int64)
    sums = np.zeros((numba.get_num_threads(), ROWS * FPROP_COLUMNS * LANES), np.float32)
    work = 2 * TILES * DEPTH * sums.size
    return work / _fastest(lambda: _multiply(panel, source, starts, offsets, TILES, sums))


def bytes_per_second() -> float:
    """Bytes read and bytes written per second, together, in a pass over memory."""
    source, target = aligned(LENGTH), aligned(LENGTH)
    source.fill(1)
    return 2 * source.nbytes / _fastest(lambda: elementwise.scale(source, ONE, target))


def _fastest(run: Callable[[], None]) -> float:
    """Seconds of the fastest of several runs; the first, which may compile, does not count."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times[1:])


@parallel
def _multiply(
    panel: Array, source: Array, starts: Array, offsets: Array, tiles: int, sums: Array
) -> None:
    for thread in prange(sums.shape[0]):
        for _ in range(tiles):
            fprop_tile(panel, 0, source, starts, 0, offsets, sums[thread], 0)
