"""Batch normalisation: kernels/batchnorm.cu."""

from __future__ import annotations

from typing import Any

from convnet.neurons import Neuron
from convnet.ops.cuda.launch import BLOCK, LANES, TEAMS, checked, parts_of_rows
from convnet.ops.cuda.neurons import NeuronLauncher, neuron_arguments
from convnet.ops.layout import channels_of
from convnet.ops.roles import Array, In, InOut, Out
from convnet.ops.spec.batchnorm import BatchnormOps


class CudaBatchnormOps(NeuronLauncher, BatchnormOps):
    """This part of CudaOps."""

    def batchnorm_stats(self, images: In, statistics: Out) -> None:
        C, length = channels_of(images)
        parts = parts_of_rows(C, length)
        scratch = self._scratch(3 * C * parts)
        self._blocks("part_stats", C, parts, checked("images", images, C, length), scratch, length)
        self._numbers(
            "batchnorm",
            "join_stats",
            C,
            *(images, length, scratch, parts),
            checked("statistics", statistics, 2, C),
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
        C, length = channels_of(images)
        self._blocks(
            "batchnorm_fprop",
            C,
            _parts(length),
            *_layer(images, statistics, gammas, betas, eps),
            *neuron_arguments(neuron),
            checked("others", images if others is None else others, C, length),
            others is not None,
            checked("acts", acts, C, length),
            length,
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
        C, length = channels_of(images)
        parts = parts_of_rows(C, length)
        scratch = self._scratch(2 * C * parts)
        self._blocks(
            "batchnorm_sums",
            C,
            parts,
            *_layer(images, statistics, gammas, betas, eps),
            checked("acts_grad", acts_grad, C, length),
            relu,
            scratch,
            length,
        )
        self._sum_rows(scratch, 2 * C, checked("sums", sums, 2, C))

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
        C, length = channels_of(images)
        self._blocks(
            "batchnorm_dgrad",
            C,
            _parts(length),
            *_layer(images, statistics, gammas, betas, eps),
            checked("sums", statistics if sums is None else sums, 2, C),
            0.0 if sums is None else 1 / length,
            checked("acts_grad", acts_grad, C, length),
            relu,
            checked("images_grad", images_grad, C, length),
            add,
            length,
        )

    def batchnorm_track(self, statistics: In, rate: float, count: int, running: InOut) -> None:
        size = statistics.size
        self._numbers(
            "batchnorm",
            "batchnorm_track",
            size,
            checked("statistics", statistics, size),
            float(rate),
            count / max(1, count - 1),
            checked("running", running, size),
        )

    def _blocks(self, name: str, C: int, parts: int, *args: Any) -> None:
        """Blocks for the parts of each channel."""
        self._launch("batchnorm", name, (C, parts), (LANES, TEAMS), *args)


def _parts(length: int) -> int:
    """Blocks for a channel; each thread has four numbers or more."""
    return min(1024, -(-length // (4 * BLOCK)))


def _layer(
    images: Array, statistics: Array, gammas: Array, betas: Array, eps: float
) -> tuple[Any, ...]:
    """What most kernels begin with."""
    C, length = channels_of(images)
    return (
        checked("images", images, C, length),
        checked("statistics", statistics, 2, C),
        checked("gammas", gammas, C),
        checked("betas", betas, C),
        float(eps),
    )
