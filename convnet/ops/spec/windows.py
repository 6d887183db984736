"""Pooling and normalisation: arguments, shapes and formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod

from convnet.geometry import Norm, Pool
from convnet.ops.roles import In, Out


class WindowOps(ABC):
    """This part of Ops."""

    @abstractmethod
    def pool_max_fprop(self, g: Pool, images: In, acts: Out, magnitude: bool = False) -> None:
        """acts = maximum of each window. Shapes: see Pool.

        If `magnitude`, the number whose magnitude is largest; of several the last, row by row.
        """

    @abstractmethod
    def pool_max_bprop(
        self,
        g: Pool,
        images: In,
        acts: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        """Each pixel gets acts_grad of every window whose output it equals: ties all get it."""

    @abstractmethod
    def pool_avg_fprop(self, g: Pool, divide: bool, images: In, acts: Out) -> None:
        """acts = mean over the existing pixels of each window, or their sum if not `divide`."""

    @abstractmethod
    def pool_avg_bprop(
        self, g: Pool, divide: bool, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        """Each pixel gets acts_grad (divided likewise) of every window that holds it."""

    @abstractmethod
    def pool_l2_fprop(self, g: Pool, images: In, acts: Out) -> None:
        """acts = sqrt of the sum of images^2 over the existing pixels of each window."""

    @abstractmethod
    def pool_l2_bprop(
        self,
        g: Pool,
        images: In,
        acts: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        """images_grad = images * sum of acts_grad / acts over the windows that hold the pixel.

        Windows of zeros, where the root has no slope, count for nothing.
        """

    @abstractmethod
    def rnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        """acts = images * denoms^-power, denoms = D of Norm; all (C,H,W,N); over pixels."""

    @abstractmethod
    def rnorm_bprop(
        self,
        norm: Norm,
        images: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        """images_grad_i = g_i D_i^-power - 2 power scale x_i sum over j of g_j x_j D_j^(-power-1)

        where j runs over the elements whose neighbourhood holds i, and g is acts_grad.
        """

    @abstractmethod
    def cmrnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        """As rnorm_fprop, over channels."""

    @abstractmethod
    def cmrnorm_bprop(
        self,
        norm: Norm,
        images: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        """As rnorm_bprop, over channels."""

    @abstractmethod
    def cnorm_fprop(self, norm: Norm, images: In, diffs: Out, denoms: Out, acts: Out) -> None:
        """acts = images * denoms^-power, where denoms = min_div + scale * sum of diffs^2.

        diffs = images - the mean over the pixel's window. All (C,H,W,N); windows as for rnorm.
        """

    @abstractmethod
    def cnorm_bprop(
        self,
        norm: Norm,
        images: In,
        diffs: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        """images_grad_i = g_i D_i^-power + e_i - sum over j of e_j / n_j

        where e_i = -2 power scale d_i sum over j of g_j x_j D_j^(-power-1) is the gradient of
        diffs d, j runs over the pixels whose window holds i, n_j counts the pixels of j's window.
        """
