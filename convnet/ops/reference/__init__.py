"""The operations in plain numpy, written from their formulas.

Slow, and right in any float dtype: gradients are checked on it in float64, and every other
backend is tested against it. Shapes and formulas: see convnet.ops.base.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from convnet.ops.base import Ops
from convnet.ops.reference.batchnorm import ReferenceBatchnormOps
from convnet.ops.reference.convolution import ReferenceConvolutionOps
from convnet.ops.reference.costs import ReferenceCostOps
from convnet.ops.reference.elementwise import ReferenceElementwiseOps
from convnet.ops.reference.images import ReferenceImageOps
from convnet.ops.reference.metric import ReferenceMetricOps
from convnet.ops.reference.random import ReferenceRandomOps
from convnet.ops.reference.windows import ReferenceWindowOps
from convnet.ops.roles import Array, In, InOut, Out


class ReferenceOps(
    ReferenceConvolutionOps,
    ReferenceWindowOps,
    ReferenceBatchnormOps,
    ReferenceImageOps,
    ReferenceElementwiseOps,
    ReferenceRandomOps,
    ReferenceCostOps,
    ReferenceMetricOps,
    Ops,
):
    """Operations on numpy arrays of any float dtype."""

    name = "reference"

    def __init__(self, dtype: DTypeLike = np.float64) -> None:
        self.dtype = np.dtype(dtype)

    def empty(self, size: int) -> Array:
        # NaN, so that reading what was never written shows.
        return np.full(size, np.nan, self.dtype)

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
        increments *= momentum
        increments -= rate / cases * gradients + decay * rate * weights
        weights += increments

    def clip_norm(self, gradients: InOut, squares: In, limit: float) -> None:
        norm = np.sqrt(squares.sum())
        if norm > limit:
            gradients *= limit / norm

    def bound_columns(
        self, weights: InOut, modules: int, low: float, high: float, centred: bool
    ) -> None:
        columns = weights.reshape(modules, -1, weights.shape[-1])
        mean = columns.mean(axis=1, keepdims=True) if centred else 0
        norms = np.sqrt(((columns - mean) ** 2).sum(axis=1, keepdims=True))
        norms /= columns.shape[1] if centred else 1
        columns *= np.where(norms > 0, np.clip(norms, low, high) / np.where(norms, norms, 1), 1)
