"""Elementwise operations and copies of rows: arguments, shapes and formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod

from convnet.neurons import Neuron
from convnet.ops.roles import In, InOut, Out


class ElementwiseOps(ABC):
    """This part of Ops."""

    @abstractmethod
    def neuron_fprop(self, neuron: Neuron, inputs: In, acts: Out) -> None:
        """acts = f(inputs), see convnet.neurons. In place."""

    @abstractmethod
    def neuron_bprop(
        self, neuron: Neuron, values: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        """inputs_grad = acts_grad * f'. In place on acts_grad.

        `values` is the neuron's output if neuron.from_output, else its input.
        """

    @abstractmethod
    def add_scaled(self, inputs: In, scale: float, acts: Out, add: bool = False) -> None:
        """acts = scale * inputs. In place."""

    @abstractmethod
    def eltmax(self, first: In, second: In, acts: Out) -> None:
        """acts = max(first, second). In place."""

    @abstractmethod
    def eltmax_bprop(
        self, inputs: In, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        """inputs_grad = acts_grad where inputs equals acts, else 0: ties all get it."""

    @abstractmethod
    def copy_rows(
        self, source: In, source_row: int, target: InOut, target_row: int, rows: int, add: bool
    ) -> None:
        """Copies (or adds) `rows` rows between arrays taken as (rows, N)."""

    @abstractmethod
    def copy_cases(
        self, source: In, source_case: int, target: InOut, target_case: int, cases: int
    ) -> None:
        """Copies `cases` images between arrays taken as (rows, images)."""

    @abstractmethod
    def prelu_fprop(self, images: In, slopes: In, acts: Out) -> None:
        """acts = x where x > 0, else slopes(c) x: images x (C,H,W,N), slopes (1,C). In place."""

    @abstractmethod
    def prelu_dgrad(
        self, images: In, slopes: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        """images_grad = acts_grad where x > 0, else slopes(c) acts_grad. In place on acts_grad."""

    @abstractmethod
    def prelu_terms(self, images: In, acts_grad: In, terms: Out) -> None:
        """terms = acts_grad min(0, x); their sum over H, W and N is the gradient of the slope.

        Any shape. In place on acts_grad.
        """
