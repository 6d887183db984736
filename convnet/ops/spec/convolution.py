"""Convolutions (conv, local) and products (fc): arguments, shapes and formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod

from convnet.geometry import Window
from convnet.neurons import Neuron
from convnet.ops.roles import In, Out


class ConvolutionOps(ABC):
    """This part of Ops."""

    @abstractmethod
    def conv_fprop(
        self,
        g: Window,
        images: In,
        filters: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool = False,
    ) -> None:
        """acts(f,p,q) = neuron(biases(f) + sum over c,y,x of
        filters(c,y,x,f) * images(c, p*stride - padding + y, q*stride - padding + x)).

        A cross-correlation; pixels outside the image count as zero. With `add`, what `acts`
        holds is added to the sum before bias and neuron. Shapes: see Window. `biases` has F
        entries, or F*P*Q in the order of `acts`; None means zero.
        """

    @abstractmethod
    def conv_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        """images_grad(c,h,w) = sum over f,p,q that see the pixel of filters * acts_grad."""

    @abstractmethod
    def conv_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        """filters_grad(c,y,x,f) = sum over n,p,q of images(c, .., ..) * acts_grad(f,p,q)."""

    @abstractmethod
    def local_fprop(
        self,
        g: Window,
        images: In,
        filters: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool = False,
    ) -> None:
        """As conv_fprop, with filters(p,q,c,y,x,f) of its own for each output pixel."""

    @abstractmethod
    def local_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        """As conv_dgrad, with the filters of each output pixel."""

    @abstractmethod
    def local_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        """As conv_wgrad, without the sum over p,q."""

    @abstractmethod
    def fc_fprop(
        self,
        inputs: In,
        weights: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool = False,
    ) -> None:
        """acts = neuron(weights^T inputs + biases): (K,N), (K,F), F entries -> (F,N).

        `add` as in conv_fprop.
        """

    @abstractmethod
    def fc_dgrad(self, weights: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        """inputs_grad = weights acts_grad: (K,F), (F,N) -> (K,N)."""

    @abstractmethod
    def fc_wgrad(self, inputs: In, acts_grad: In, weights_grad: Out, add: bool = False) -> None:
        """weights_grad = inputs acts_grad^T: (K,N), (F,N) -> (K,F)."""

    @abstractmethod
    def bias_grad(self, acts_grad: In, biases_grad: Out, add: bool = False) -> None:
        """Sums `acts_grad`, taken as (entries of biases_grad, rest), over the rest.

        Serves biases per filter (rest: pixels and images) and per output (rest: images).
        """
