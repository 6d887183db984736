"""Batch normalisation: checks arrays, calls the CPU kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from convnet.neurons import Neuron
from convnet.ops.cpu import batchnorm
from convnet.ops.cpu.arrays import checked
from convnet.ops.cpu.elementwise_ops import parameters
from convnet.ops.layout import channels_of
from convnet.ops.roles import Array, In, InOut, Out
from convnet.ops.spec.batchnorm import BatchnormOps

_f32: Any = np.float32


class CpuBatchnormOps(BatchnormOps):
    """This part of CpuOps."""

    def batchnorm_stats(self, images: In, statistics: Out) -> None:
        shape = channels_of(images)
        batchnorm.stats(
            checked("images", images, *shape), checked("statistics", statistics, 2, shape[0])
        )

    def batchnorm_fprop(
        self,
        images: In,
        statistics: In,
        gammas: In,
        betas: In,
        eps: float,
        neuron: Neuron,
        acts: Out,
        others: In | None = None,
    ) -> None:
        shape = channels_of(images)
        batchnorm.fprop(neuron.kind, others is not None)(
            *_layer(images, statistics, gammas, betas, eps),
            parameters(neuron),
            checked("others", images if others is None else others, *shape),
            checked("acts", acts, *shape),
        )

    def batchnorm_sums(
        self,
        images: In,
        statistics: In,
        gammas: In,
        betas: In,
        eps: float,
        acts_grad: In,
        sums: Out,
        relu: bool = False,
    ) -> None:
        shape = channels_of(images)
        batchnorm.sums(
            *_layer(images, statistics, gammas, betas, eps),
            checked("acts_grad", acts_grad, *shape),
            relu,
            checked("sums", sums, 2, shape[0]),
        )

    def batchnorm_dgrad(
        self,
        images: In,
        statistics: In,
        gammas: In,
        betas: In,
        eps: float,
        sums: In | None,
        acts_grad: In,
        images_grad: Out,
        relu: bool = False,
        add: bool = False,
    ) -> None:
        C, numbers = shape = channels_of(images)
        batchnorm.dgrad(
            *_layer(images, statistics, gammas, betas, eps),
            checked("sums", statistics if sums is None else sums, 2, C),
            0.0 if sums is None else 1 / numbers,
            checked("acts_grad", acts_grad, *shape),
            relu,
            checked("images_grad", images_grad, *shape),
            add,
        )

    def batchnorm_track(self, statistics: In, rate: float, count: int, running: InOut) -> None:
        new = checked("statistics", statistics, 2, statistics.size // 2)
        old = checked("running", running, *new.shape)
        old[0] += _f32(rate) * (new[0] - old[0])
        old[1] += _f32(rate) * (_f32(count / max(1, count - 1)) * new[1] - old[1])


def _layer(
    images: Array, statistics: Array, gammas: Array, betas: Array, eps: float
) -> tuple[Any, ...]:
    """What most kernels begin with."""
    C, numbers = channels_of(images)
    return (
        checked("images", images, C, numbers),
        checked("statistics", statistics, 2, C),
        checked("gammas", gammas, C),
        checked("betas", betas, C),
        eps,
    )
