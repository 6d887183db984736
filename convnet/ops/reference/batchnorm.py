"""Batch normalisation in numpy."""

from __future__ import annotations

import numpy as np

from convnet.neurons import Neuron
from convnet.ops.reference.common import store
from convnet.ops.reference.elementwise import neuron_value
from convnet.ops.roles import Array, In, InOut, Out
from convnet.ops.spec.batchnorm import BatchnormOps

_CASES = (1, 2, 3)  # axes


class ReferenceBatchnormOps(BatchnormOps):
    """This part of ReferenceOps."""

    def batchnorm_stats(self, images: In, statistics: Out) -> None:
        # In double precision, as numbers of one channel are many.
        store(statistics[0], images.mean(_CASES, np.float64))
        store(statistics[1], images.var(_CASES, np.float64))

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
        sums = _each(gammas) * _normalised(images, statistics, eps) + _each(betas)
        store(acts, neuron_value(neuron, sums if others is None else sums + others))

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
        z = _normalised(images, statistics, eps)
        grad = _masked(acts_grad, z, gammas, betas, relu)
        store(sums[0], (grad * z).sum(_CASES, np.float64))
        store(sums[1], grad.sum(_CASES, np.float64))

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
        z = _normalised(images, statistics, eps)
        grad = _masked(acts_grad, z, gammas, betas, relu)
        if sums is not None:
            n = images[0].size
            grad = grad - _each(sums[1]) / n - z * _each(sums[0]) / n
        store(images_grad, _each(gammas) / np.sqrt(_each(statistics[1]) + eps) * grad, add)

    def batchnorm_track(self, statistics: In, rate: float, count: int, running: InOut) -> None:
        unbiased = np.array([[1.0], [count / max(1, count - 1)]], statistics.dtype)
        running *= 1 - rate
        running += rate * unbiased * statistics


def _each(values: Array) -> Array:
    """A number for each channel, to be combined with images."""
    return values.reshape(-1, 1, 1, 1)


def _normalised(images: Array, statistics: Array, eps: float) -> Array:
    return (images - _each(statistics[0])) / np.sqrt(_each(statistics[1]) + eps)


def _masked(acts_grad: Array, z: Array, gammas: Array, betas: Array, relu: bool) -> Array:
    return acts_grad * (_each(gammas) * z + _each(betas) > 0) if relu else acts_grad
