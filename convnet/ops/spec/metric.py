"""Metric learning: arguments, shapes and formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod

from convnet.ops.roles import In, Out


class MetricOps(ABC):
    """This part of Ops."""

    @abstractmethod
    def l2norm_fprop(self, inputs: In, eps: float, acts: Out) -> None:
        """acts(k,n) = x(k,n) / r(n), r(n) = sqrt(sum over k of x(k,n)^2 + eps): (rows,N)."""

    @abstractmethod
    def l2norm_bprop(
        self, inputs: In, acts_grad: In, eps: float, inputs_grad: Out, add: bool = False
    ) -> None:
        """inputs_grad = (g - u sum over k of u g) / r, with g = acts_grad and u = x / r."""
