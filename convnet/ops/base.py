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

from abc import abstractmethod
from typing import Any

import numpy as np

from convnet.ops.roles import Array, In, InOut, Out, RandomKey
from convnet.ops.spec.batchnorm import BatchnormOps
from convnet.ops.spec.convolution import ConvolutionOps
from convnet.ops.spec.costs import CostOps
from convnet.ops.spec.device import DeviceOps
from convnet.ops.spec.elementwise import ElementwiseOps
from convnet.ops.spec.images import ImageOps
from convnet.ops.spec.metric import MetricOps
from convnet.ops.spec.random import RandomOps
from convnet.ops.spec.windows import WindowOps

__all__ = ["IN_PLACE", "Array", "In", "InOut", "Ops", "Out", "RandomKey"]


class Ops(
    ConvolutionOps,
    WindowOps,
    BatchnormOps,
    ImageOps,
    ElementwiseOps,
    RandomOps,
    CostOps,
    DeviceOps,
    MetricOps,
):
    """One backend. `dtype` is the type of all its arrays.

    The families of operations are in convnet/ops/spec/, memory too; learning is here.
    """

    name: str
    dtype: np.dtype[Any]

    @abstractmethod
    def sgd(
        self,
        weights: InOut,
        increments: InOut,
        gradients: In,
        momentum: float,
        rate: float,
        decay: float,
        cases: float,
    ) -> None:
        """increments = momentum*increments - rate/cases*gradients - decay*rate*weights;
        weights += increments. Any shape. cuda-convnet's rule: the decay takes part in momentum.
        """

    @abstractmethod
    def clip_norm(self, gradients: InOut, squares: In, limit: float) -> None:
        """gradients *= limit / norm, with norm = sqrt(sum of squares), if that is below 1.

        Any shapes. Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural
        networks" (2013), algorithm 1.
        """

    @abstractmethod
    def bound_columns(
        self, weights: InOut, modules: int, low: float, high: float, centred: bool
    ) -> None:
        """Scales columns so that their norms lie between `low` and `high`.

        `weights` is taken as (modules, rows, F); each column (module, :, f) has the norm
        |w|, or |w - mean(w)| / rows if `centred`. Columns of norm 0 stay as they are.
        cuda-convnet2's wball is low = high = wball, in a local layer low = 0; its wcNormMin and
        wcNormMax are centred bounds.
        """


# Operations that may write over one of their inputs: name -> (that input, the output).
IN_PLACE = {
    "neuron_fprop": ("inputs", "acts"),
    "neuron_bprop": ("acts_grad", "inputs_grad"),
    "add_scaled": ("inputs", "acts"),
    "eltmax": ("first", "acts"),
    "dropout": ("inputs", "acts"),
    "noisy_neuron_fprop": ("inputs", "acts"),
    "lab_curve_fprop": ("inputs", "acts"),
    "lab_curve_bprop": ("acts_grad", "inputs_grad"),
    "softmax_fprop": ("inputs", "acts"),
    "softmax_logreg_fprop": ("inputs", "acts"),
    "batchnorm_fprop": ("images", "acts"),
    "batchnorm_dgrad": ("acts_grad", "images_grad"),
    "prelu_fprop": ("images", "acts"),
    "prelu_dgrad": ("acts_grad", "images_grad"),
    "prelu_terms": ("acts_grad", "terms"),
}
