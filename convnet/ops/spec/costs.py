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
        label earns 0 if slots <= 0, 1 if t <= slots, else slots/t. Images with a label below 0 do
        not count.
        """

    @abstractmethod
    def softmax_logreg_fprop(
        self, labels: In, inputs: In, top: int, acts: Out, values: Out
    ) -> None:
        """softmax_fprop and logreg_cost in one; acts are the probabilities. In place."""

    @abstractmethod
    def logreg_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        """probs_grad = -coeff / p at the label, else 0; 0 if that is below 0."""

    @abstractmethod
    def softmax_logreg_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        """The two gradients above in one: coeff * (p - 1[label]) into the softmax's input; 0 for
        images with a label below 0.
        """

    @abstractmethod
    def sum2_cost(self, inputs: In, values: Out) -> None:
        """values[0] = sum of inputs^2."""

    @abstractmethod
    def crossent_cost(self, labels: In, probs: In, values: Out) -> None:
        """Cross-entropy with a matrix of labels t: both (classes,N) -> values (2,).

        values = [-sum t log p, number wrong], with log p = -50 where p <= 0. Wrong counts 1 if no
        class of the largest p has t > 0, else 1 - 1/(number of classes of the largest p).
        """

    @abstractmethod
    def crossent_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        """probs_grad = -coeff t / p, 0 where p <= 0."""

    @abstractmethod
    def softmax_crossent_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        """That and the softmax's gradient in one: coeff * (p * sum over classes of t - t)."""

    @abstractmethod
    def bce_cost(self, labels: In, probs: In, pos_weight: float, values: Out) -> None:
        """Binomial cross-entropy: labels t and probs y, both (rows,N) -> values (3,).

        values = [-sum of pos_weight t log y + (1 - t) log(1 - y), number of (y > 0.5) != t / rows,
        N - (what the rows of an image's largest y have of t, on average)]. A log of what is not
        positive is -50.
        """

    @abstractmethod
    def bce_bprop(
        self,
        labels: In,
        probs: In,
        pos_weight: float,
        coeff: float,
        probs_grad: Out,
        add: bool = False,
    ) -> None:
        """probs_grad = coeff * ((1 - t) / (1 - y) - pos_weight t / y).

        The first term is 0 where y >= 1, the second where y <= 0.
        """

    @abstractmethod
    def logistic_bce_bprop(
        self,
        labels: In,
        probs: In,
        pos_weight: float,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        """That and the gradient of a logistic neuron in one:
        coeff * ((1 - t) y - pos_weight t (1 - y)).
        """

    @abstractmethod
    def dce_cost(self, labels: In, probs: In, pos_weight: float, values: Out) -> None:
        """Detection: labels t and probs y, both (classes,N) -> values (2 + 3 classes,).

        The first two values of bce_cost, then three for each class, summed over the images:
        declared positive (y > 0.5), positive (t), true positive (t where (y > 0.5) == t).
        """

    @abstractmethod
    def hinge_cost(self, labels: In, inputs: In, values: Out) -> None:
        """Multi-class hinge loss: labels (1,N), inputs x (classes,N) -> values (2,).

        values = [sum of max(0, 1 + largest other x - x(label)), number with x(label) not above
        all others]. At least two classes.
        """

    @abstractmethod
    def hinge_bprop(
        self, labels: In, inputs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        """Where the loss is above 0: coeff for the largest other class (the first of several),
        -coeff for the label; all else 0.
        """

    @abstractmethod
    def gsinlabel_cost(self, labels: In, inputs: In, values: Out) -> None:
        """Group sparsity: labels (1,N), inputs x (channels,pixels,N) -> values (1,).

        values[0] = sum over channels c and labels l that occur of S(c,l), with
        S(c,l) = sqrt(n(l) * sum of x(c)^2 over the pixels of the n(l) images labelled l).
        """

    @abstractmethod
    def gsinlabel_bprop(
        self, labels: In, inputs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        """inputs_grad = coeff * n(l) x / S(c,l), 0 where S is 0."""

    @abstractmethod
    def locrank_cost(
        self, first: In, second: In, third: In, weights: In, margin: float, values: Out
    ) -> None:
        """Ranking of hash codes a, b, c (bits,N), numbers from 0 to 1, with weights (1,N).

        With codes stretched to -1..1, a' = 2a - 1 and so on, h(n) = margin + (a'.c' - a'.b') / 2
        and m(j) = mean over the images of a'(j):
        values = [R + sum of m^2 / 2, R], R = sum over n of weights(n) * max(0, h(n)).
        """

    @abstractmethod
    def locrank_bprop(
        self,
        first: In,
        second: In,
        third: In,
        weights: In,
        margin: float,
        position: int,
        coeff: float,
        codes_grad: Out,
        add: bool = False,
    ) -> None:
        """The gradient of values[0] by the code at `position`: 0 first, 1 second, 2 third.

        With w(n) = coeff weights(n) where h(n) > 0, else 0: first 2 w (c - b) + 2 coeff m / N,
        second -w a', third w a'.
        """
