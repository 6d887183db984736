"""The operations of the engine: names, arguments, shapes and formulas.

Every backend implements `Ops`; nothing above it knows which. An operation is a stateless
function on arrays that the caller owns. Each array argument says how it is used:

    In     read
    Out    written whole; its former content does not matter
    InOut  read and written

The tests of the backends and of the plan go by these annotations.

Conventions
* Activities have the images innermost: (channels, height, width, N), or (rows, N) once
  flattened. All arrays are C-contiguous and of the backend's `dtype`.
* A gradient array holds dE/dx of the quantity x it is named after, summed over the images.
* `add=True` adds the result to what `Out` holds instead of replacing it; `Out` is then InOut.
* Elementwise operations (marked "in place") may be given the same array as input and output.
* Letters C H W N F K P Q: see convnet.geometry.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, NamedTuple

import numpy as np

from convnet.geometry import Norm, Pool, Window
from convnet.neurons import Neuron

Array = Any  # numpy.ndarray here; a device array on a GPU
In = Annotated[Any, "read"]
Out = Annotated[Any, "written"]
InOut = Annotated[Any, "read and written"]


class RandomKey(NamedTuple):
    """What a random number depends on, besides the index of its element.

    Element i of a draw is word i % 4 of Philox4x32-10 (Salmon et al., "Parallel random
    numbers: as easy as 1, 2, 3", SC 2011) with key (seed, stream) and counter
    (i // 4, minibatch, batch, epoch); as a uniform number in [0, 1) it is (word >> 8) * 2^-24.
    So every backend draws the same bits, and so does a run that was stopped and resumed.
    """

    seed: int
    stream: int
    epoch: int
    batch: int
    minibatch: int


class Ops(ABC):
    """One backend. `dtype` is the type of all its arrays."""

    name: str
    dtype: np.dtype[Any]

    # --- memory ---------------------------------------------------------------------------

    @abstractmethod
    def empty(self, size: int) -> Array:
        """A new array of shape (size,), content undefined, aligned for vector loads."""

    @abstractmethod
    def upload(self, source: np.ndarray, target: Out) -> None:
        """Copies a host array into `target` (same shape), converting to `dtype`."""

    @abstractmethod
    def download(self, source: In) -> np.ndarray:
        """A host copy of `source`."""

    # --- convolution, shared filters --------------------------------------------------------

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

    # --- convolution, a set of filters per output pixel ---------------------------------------

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

    # --- fully connected ----------------------------------------------------------------------

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

    # --- pooling ------------------------------------------------------------------------------

    @abstractmethod
    def pool_max_fprop(self, g: Pool, images: In, acts: Out) -> None:
        """acts = maximum of each window. Shapes: see Pool."""

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
        """Each pixel gets acts_grad of every window whose maximum it equals: ties all get it."""

    @abstractmethod
    def pool_avg_fprop(self, g: Pool, divide: bool, images: In, acts: Out) -> None:
        """acts = mean over the existing pixels of each window, or their sum if not `divide`."""

    @abstractmethod
    def pool_avg_bprop(
        self, g: Pool, divide: bool, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        """Each pixel gets acts_grad (divided likewise) of every window that holds it."""

    # --- response normalisation -----------------------------------------------------------------

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

    # --- elementwise ------------------------------------------------------------------------------

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
    def dropout(
        self,
        inputs: In,
        keep: float,
        scale: float,
        key: RandomKey,
        acts: Out,
        add: bool = False,
    ) -> None:
        """acts = scale * inputs where uniform(key, element) < keep, else 0. In place.

        Being linear it is its own backward pass: the mask is drawn again, not stored.
        """

    # --- softmax and costs ------------------------------------------------------------------------

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

    # --- learning ---------------------------------------------------------------------------

    @abstractmethod
    def sgd(
        self,
        weights: InOut,
        increments: InOut,
        gradients: In,
        momentum: float,
        rate: float,
        decay: float,
        cases: int,
    ) -> None:
        """increments = momentum*increments - rate/cases*gradients - decay*rate*weights;
        weights += increments. Any shape. cuda-convnet's rule: the decay takes part in momentum.
        """


# Operations that may write over one of their inputs: name -> (that input, the output).
IN_PLACE = {
    "neuron_fprop": ("inputs", "acts"),
    "neuron_bprop": ("acts_grad", "inputs_grad"),
    "add_scaled": ("inputs", "acts"),
    "eltmax": ("first", "acts"),
    "dropout": ("inputs", "acts"),
    "softmax_fprop": ("inputs", "acts"),
}
