"""The operations on a GPU: CUDA kernels of our own, on float32 numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convnet.ops.base import Ops
from convnet.ops.cuda.batchnorm_ops import CudaBatchnormOps
from convnet.ops.cuda.costs_ops import CudaCostOps
from convnet.ops.cuda.device_ops import CudaDeviceOps, DryDriver
from convnet.ops.cuda.driver import Driver
from convnet.ops.cuda.elementwise_ops import CudaElementwiseOps
from convnet.ops.cuda.launch import LANES, TEAMS, checked
from convnet.ops.cuda.metric_ops import CudaMetricOps
from convnet.ops.cuda.random_ops import CudaRandomOps
from convnet.ops.cuda.rankings_ops import CudaRankingOps
from convnet.ops.cuda.windows_ops import CudaWindowOps
from convnet.ops.cuda.winograd_ops import CudaWinogradOps
from convnet.ops.roles import In, InOut
from convnet.precision import Precision


class CudaOps(
    CudaWinogradOps,
    CudaWindowOps,
    CudaBatchnormOps,
    CudaElementwiseOps,
    CudaRandomOps,
    CudaCostOps,
    CudaRankingOps,
    CudaDeviceOps,
    CudaMetricOps,
    Ops,
):
    """Operations on the arrays of a device, real or emulated.

    Kernels are compiled when they are first used. Results repeat bit for bit.

    Raises: ShapeError from every operation that is given an array of another dtype or size.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, driver: Driver, precision: Precision = Precision.FP32) -> None:
        """
        Args:
            precision: of the factors of conv, local and fc; everything else is float32.

        Raises:
            DeviceError: the device does not have this precision.
        """
        super().__init__(driver, precision)
        self.name = f"cuda ({driver.name})"

    def scratch_size(self, run: Callable[[Ops], None]) -> int:
        like_ours = DryDriver(self._driver.arch, self._driver.multiprocessors)
        dry = CudaOps(like_ours, self._precision)
        run(dry)
        return 0 if dry._held is None else int(dry._held.size)

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
            self._on_device(float(rate) if isinstance(rate, int) else rate),
            float(cases),
            float(decay),
        )

    def clip_norm(self, gradients: InOut, squares: In, limit: float) -> None:
        size, square = gradients.size, self._scratch(1)
        self._sum_rows(checked("squares", squares, squares.size), 1, square)
        gradients = checked("gradients", gradients, size)
        self._numbers("sgd", "clip_norm", size, gradients, square, float(limit))

    def bound_columns(
        self, weights: InOut, modules: int, low: float, high: float, centred: bool
    ) -> None:
        F = weights.shape[-1]
        rows = weights.size // F // modules
        self._launch(
            "sgd",
            "bound_columns",
            (-(-F // LANES) * modules,),
            (LANES, TEAMS),
            checked("weights", weights, modules, rows, F),
            float(low),
            float(high),
            centred,
            *(rows, F),
        )
