"""Batch normalisation: arguments, shapes and formulas.

Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
Covariate Shift" (2015).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from convnet.neurons import Neuron
from convnet.ops.roles import In, InOut, Out


class BatchnormOps(ABC):
    """This part of Ops.

    Images x are (C,H,W,N). `statistics` is (2,C): the mean m of each channel over H, W and N, and
    its variance v, divided by their number n. `gammas` and `betas` are (1,C), a factor and an
    addend for each channel. With r = 1 / sqrt(v + eps) a channel is normalised to z = (x - m) r.
    """

    @abstractmethod
    def batchnorm_stats(self, images: In, statistics: Out) -> None:
        """statistics = m and v of the images; accurate also where m is far larger than sqrt(v)."""

    @abstractmethod
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
        """acts = f(gamma z + beta + others), with the neuron f. In place on images.

        `others`, if given, is (C,H,W,N).
        """

    @abstractmethod
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
        """sums = the gradients of gammas and betas: sum of g z, sum of g; (2,C), over H, W and N.

        g is acts_grad. If `relu`, acts_grad is the gradient of relu(gamma z + beta) instead, and
        g is acts_grad where gamma z + beta > 0, else 0.
        """

    @abstractmethod
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
        """images_grad = gamma r (g - sum of g / n - z sum of g z / n). In place on acts_grad.

        With `sums` and `relu` of batchnorm_sums. Without sums the statistics are constants and not
        those of the images: images_grad = gamma r g.
        """

    @abstractmethod
    def batchnorm_track(self, statistics: In, rate: float, count: int, running: InOut) -> None:
        """running = (1 - rate) running + rate statistics, (2,C), of n = `count` numbers.

        Of the variances the unbiased ones are taken: v n / (n - 1), or v if n = 1.
        """
