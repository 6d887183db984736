"""Softmax and costs: arguments, shapes and formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod

from convnet.ops.roles import In, Out


class CostOps(ABC):
    """This part of Ops."""

    @abstractmethod
    def softmax_fprop(self, inputs: In, acts: Out) -> None:
        """acts(k,n) = exp(x(k,n) - max) / sum over k: (rows, N). In place."""

    @abstractmethod
    def softmax_bprop(self, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        """inputs_grad = acts * (acts_grad - sum over rows of acts_grad * acts)."""

    @abstractmethod
    def logreg_cost(self, labels: In, probs: In, top: int, values: Out) -> None:
        """Multinomial logistic regression: labels (1,N), probs (classes,N) -> values (3,).

        values = [-sum log p(label), number wrong, number wrong among the `top` best].
        Wrong counts 1 if some class beats the label, and 1 - 1/t if t classes tie for the
        maximum with it. Top-k: slots = top - #(p > p(label)), t = #(p == p(label)); the
        label earns 0 if slots <= 0, 1 if t <= slots, else slots/t.
        """

    @abstractmethod
    def logreg_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        """probs_grad = -coeff / p at the label, else 0."""

    @abstractmethod
    def softmax_logreg_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        """The two gradients above in one: coeff * (p - 1[label]) into the softmax's input."""

    @abstractmethod
    def sum2_cost(self, inputs: In, values: Out) -> None:
        """values[0] = sum of inputs^2."""
