"""Batch normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from convnet.config.keys import Bool, Float, Key
from convnet.config.layers import LayerSpec
from convnet.layer_types.base import (
    GPU_KEY,
    NEURON_KEY,
    Backward,
    Layer,
    Mode,
    Parameter,
    State,
)
from convnet.layer_types.weights import WeightLayer
from convnet.neurons import IDENT
from convnet.ops.base import Ops
from convnet.plan import Buffer, for_each_size

_LEARNING = ("epsW", "epsB", "momW", "momB", "wc", "updatePeriod")


class BatchnormLayer(Layer):
    """Batch normalisation: each channel gets a learned mean and standard deviation.

    y = gamma (x - m) / sqrt(v + eps) + beta, where m and v are the mean and the variance of the
    channel over the pixels and the images of the minibatch (in hybrid nets: of the part of it that
    the layer works on at a time). Tests use running averages of them instead. The weights are
    gamma, which begin with 1 and stay so if epsW is 0; the biases are beta, which begin with 0.
    Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
    Covariate Shift" (2015).
    """

    type_name = "batchnorm"
    title = "batch-normalization layer"
    keys = (
        NEURON_KEY,
        GPU_KEY,
        Key("eps", Float(above=0), "added to the variance", default=1e-5),
        Key(
            "statsRate",
            Float(above=0, max=1),
            "share of a minibatch in the running averages: r = (1 - statsRate) r + statsRate new",
            default=0.1,
            file="parameters",
        ),
        Key(
            "frozen",
            Bool(),
            "training too uses the running averages, which stay as they are, as do gamma and beta",
            default=False,
            file="parameters",
        ),
        *(key for key in WeightLayer.keys if key.name in _LEARNING),
    )
    needs_parameters = True

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        v = spec.values
        self.shape = inputs[0].shape
        self.eps: float = v["eps"]
        self.frozen = False
        C = self.shape.channels
        self.gammas = Parameter(
            self.name,
            "weights.0",
            (1, C),
            init_value=1.0,
            rate=v["epsW"][0] if v["epsW"] else None,
            momentum=v["momW"][0] if v["momW"] else 0.0,
            decay=v["wc"][0],
            period=v["updatePeriod"],
        )
        self.betas = Parameter(
            self.name,
            "biases",
            (1, C),
            rate=v["epsB"],
            momentum=v["momB"] or 0.0,
            period=v["updatePeriod"],
        )
        # Means, then unbiased variances.
        self.running = State(self.name, "running", (2, C), np.array([[0.0], [1.0]]))
        if v["frozen"]:
            self.freeze()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (self.gammas, self.betas)

    @property
    def states(self) -> tuple[State, ...]:
        return (self.running,)

    def freeze(self) -> None:
        super().freeze()
        self.frozen = True

    def _uses_running(self, mode: Mode) -> bool:
        return self.frozen or not mode.backward

    def _of_batch(self) -> Buffer:
        return self.temporary("statistics", self.running.shape, per_case=False)

    def _affine(self, mode: Mode) -> tuple[Buffer, Buffer, Buffer, float]:
        """What the operations take: statistics, gammas, betas and eps."""
        statistics = self.running.value if self._uses_running(mode) else self._of_batch()
        return statistics, self.gammas.value, self.betas.value, self.eps

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        if not self._uses_running(mode):
            ops.batchnorm_stats(x[0], self._of_batch())
        ops.batchnorm_fprop(x[0], *self._affine(mode), IDENT, y)

    def backward(self, ops: Ops, b: Backward) -> None:
        sums = self.temporary("sums", self.running.shape, per_case=False)
        trained = [p for p in self.parameters if p.is_trained(b.mode)]
        constant = self._uses_running(b.mode)
        if trained or not constant:
            ops.batchnorm_sums(b.x[0], *self._affine(b.mode), b.dy, sums)
        for parameter in trained:
            own = sums.rows(self.parameters.index(parameter), 1)
            ops.add_scaled(own, 1.0, parameter.gradient, b.adds_to(parameter))
        grad = b.dx[0]
        if grad is not None:
            ops.batchnorm_dgrad(
                b.x[0],
                *self._affine(b.mode),
                None if constant else sums,
                b.dy,
                grad.buffer,
                add=grad.add,
            )

    def update_states(self, ops: Ops, mode: Mode) -> None:
        if not self._uses_running(mode):
            part, pixels = self.part, prod(self.shape.as_tuple()[1:])
            count = for_each_size(lambda cases: part.cases(cases) * pixels)
            rate: float = self.values["statsRate"]
            ops.batchnorm_track(self._of_batch(), rate, count, self.running.value)
