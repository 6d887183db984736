"""The operations on a GPU: CUDA kernels of our own in float32."""

from __future__ import annotations

import numpy as np

from convnet.ops.base import Ops
from convnet.ops.cuda.costs_ops import CudaCostOps
from convnet.ops.cuda.driver import Driver
from convnet.ops.cuda.elementwise_ops import CudaElementwiseOps
from convnet.ops.cuda.images_ops import CudaImageOps
from convnet.ops.cuda.launch import LANES, TEAMS, checked
from convnet.ops.cuda.random_ops import CudaRandomOps
from convnet.ops.cuda.rankings_ops import CudaRankingOps
from convnet.ops.cuda.windows_ops import CudaWindowOps
from convnet.ops.cuda.winograd_ops import CudaWinogradOps
from convnet.ops.roles import Array, In, InOut, Out


class CudaOps(
    CudaWinogradOps,
    CudaWindowOps,
    CudaImageOps,
    CudaElementwiseOps,
    CudaRandomOps,
    CudaCostOps,
    CudaRankingOps,
    Ops,
):
    """Operations on the arrays of a device, real or emulated.

    Kernels are compiled when they are first used. Results repeat bit for bit.

    Raises: ShapeError from every operation that is given an array of another dtype or size.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self.name = f"cuda ({driver.name})"

    def empty(self, size: int) -> Array:
        return self._driver.empty(size)

    def upload(self, source: np.ndarray, target: Out) -> None:
        self._driver.upload(source, target)

    def download(self, source: In) -> np.ndarray:
        return self._driver.download(source)

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
        self._numbers(
            "sgd",
            "sgd",
            size,
            checked("weights", weights, size),
            checked("increments", increments, size),
            checked("gradients", gradients, size),
            float(momentum),
            float(rate / cases),
            float(decay * rate),
        )

    def bound_columns(
        self, weights: InOut, modules: int, low: float, high: float, centred: bool
    ) -> None:
        F = weights.shape[-1]
        rows = weights.size // F // modules
        self._launch(
            "sgd",
            "bound_columns",
            (-(-F // LANES), modules),
            (LANES, TEAMS),
            checked("weights", weights, modules, rows, F),
            float(low),
            float(high),
            centred,
            *(rows, F),
        )
