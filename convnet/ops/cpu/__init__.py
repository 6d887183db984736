"""The operations on a CPU: numba kernels in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from convnet.ops.base import Ops
from convnet.ops.cpu import elementwise
from convnet.ops.cpu.arrays import checked
from convnet.ops.cpu.batchnorm_ops import CpuBatchnormOps
from convnet.ops.cpu.convolution_ops import CpuConvolutionOps
from convnet.ops.cpu.costs_ops import CpuCostOps
from convnet.ops.cpu.elementwise_ops import CpuElementwiseOps
from convnet.ops.cpu.images_ops import CpuImageOps
from convnet.ops.cpu.jit import aligned
from convnet.ops.cpu.metric_ops import CpuMetricOps
from convnet.ops.cpu.random_ops import CpuRandomOps
from convnet.ops.cpu.windows_ops import CpuWindowOps
from convnet.ops.roles import Array, In, InOut, Out

_f32: Any = np.float32


class CpuOps(
    CpuConvolutionOps,
    CpuWindowOps,
    CpuBatchnormOps,
    CpuImageOps,
    CpuElementwiseOps,
    CpuRandomOps,
    CpuCostOps,
    CpuMetricOps,
    Ops,
):
    """Operations on numpy arrays in float32.

    Arrays must be C-contiguous. Results do not depend on the number of threads, which is
    numba's (NUMBA_NUM_THREADS, numba.set_num_threads).

    Raises: ShapeError from every operation that is given an array of another dtype or size.
    """

    name = "cpu"
    dtype = np.dtype(np.float32)

    def empty(self, size: int) -> Array:
        # NaN, so that reading what was never written shows.
        array = aligned(size)
        array.fill(np.nan)
        return array

    def upload(self, source: np.ndarray, target: Out) -> None:
        target[...] = source

    def download(self, source: In) -> np.ndarray:
        return np.array(source)

    def sgd(
        self,
        weights: InOut,
        increments: InOut,
        gradients: In,
        momentum: float,
        rate: float,
        decay: float,
        cases: float,
    ) -> None:
        size = weights.size
        elementwise.sgd(
            checked("weights", weights, size),
            checked("increments", increments, size),
            checked("gradients", gradients, size),
            _f32(momentum),
            _f32(rate / cases),
            _f32(decay * rate),
        )

    def clip_norm(self, gradients: InOut, squares: In, limit: float) -> None:
        norm = np.sqrt(checked("squares", squares, squares.size).sum(dtype=np.float64))
        if norm > limit:
            gradients *= _f32(limit / norm)

    def bound_columns(
        self, weights: InOut, modules: int, low: float, high: float, centred: bool
    ) -> None:
        rows, columns = weights.size // weights.shape[-1], weights.shape[-1]
        elementwise.bound_columns(
            checked("weights", weights, modules, rows // modules, columns), low, high, centred
        )
