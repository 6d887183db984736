"""Softmax and the costs that are minimised.

The objective is the sum over cost layers of coeff times the first value. Values are sums over
the images of a minibatch; who prints them divides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from convnet.config.keys import Float, Int, Key
from convnet.config.layers import LayerSpec
from convnet.errors import BatchError, ShapeError
from convnet.geometry import Shape
from convnet.layer_types.base import GPU_KEY, NEURON_KEY, Backward, Layer, Mode
from convnet.layer_types.data import DataLayer
from convnet.ops.base import Ops
from convnet.plan import Buffer, Part, new_buffer


class SoftmaxLayer(Layer):
    """exp(x_i) / sum of exp(x_j) over all numbers of an image."""

    type_name = "softmax"
    title = "softmax layer"
    keys = (NEURON_KEY, GPU_KEY)

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        self.shape = Shape(self.inputs[0].shape.size)

    @property
    def has_own_features(self) -> bool:
        return True

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.softmax_fprop(x[0].reshape(-1), y.reshape(-1))

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.grad
        ops.softmax_bprop(b.y.reshape(-1), b.dy.reshape(-1), grad.buffer.reshape(-1), grad.add)


class CostLayer(Layer):
    """Base of the costs.

    Attributes:
        value_names: what the cost's values are; the first is what is minimised.
        values_buffer: where the operation puts them, summed over the images.
    """

    keys: ClassVar[tuple[Key, ...]] = (
        GPU_KEY,
        Key(
            "coeff",
            Float(),
            "weight of this cost in the objective; 0: only reported",
            file="parameters",
        ),
    )
    needs_parameters = True
    has_output = False
    value_names: ClassVar[tuple[str, ...]]

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        self.shape = Shape(0)
        coeff = spec.values["coeff"]
        self.coeff: float = 1.0 if coeff is None else coeff

    def begin(self, part: Part) -> None:
        super().begin(part)
        shape = (len(self.value_names),)
        self.values_buffer = new_buffer(f"{self.name}.values", shape, per_case=False, part=part)

    def check_data(self, matrices: Sequence[np.ndarray]) -> None:
        """Looks at the data of a batch before it is used.

        Raises:
            BatchError: it is not what this cost needs.
        """


class LogregCost(CostLayer):
    """Multinomial logistic regression: -log of the probability of the right class.

    Inputs: the labels (one number per image, from 0) and a softmax layer.
    """

    type_name = "cost.logreg"
    title = "logistic regression cost"
    keys = (
        *CostLayer.keys,
        Key(
            "topk", Int(min=1), "third value: label not among the k best", default=1, file="either"
        ),
    )
    min_inputs = 2
    max_inputs = 2
    value_names = ("logprob", "error", "top-k error")

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        labels, probs = self.inputs
        if not isinstance(labels, DataLayer) or labels.shape.size != 1:
            raise ShapeError(
                f"first input must be the labels, a data layer with one number per image; "
                f"found '{labels.name}' of type '{labels.type_name}' with {labels.shape.size}"
            )
        self.labels = labels
        if probs.type_name != "softmax":
            raise ShapeError(
                f"second input must be a softmax layer; "
                f"found '{probs.name}' of type '{probs.type_name}'"
            )
        self.top: int = spec.values["topk"]
        if self.top > probs.shape.size:
            raise ShapeError(
                f"topk must be at most the number of classes, {probs.shape.size}; "
                f"found topk={self.top}"
            )

    def check_data(self, matrices: Sequence[np.ndarray]) -> None:
        labels = matrices[self.labels.index][self.labels.rows]
        classes = self.inputs[1].shape.size
        valid = (labels >= 0) & (labels < classes) & (labels == np.floor(labels))
        if not valid.all():
            raise BatchError(
                f"labels must be whole numbers from 0 to {classes - 1}, the classes of "
                f"'{self.inputs[1].name}'; found {labels[~valid][0]:g}"
            )

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.logreg_cost(x[0].reshape(1), x[1].reshape(-1), self.top, self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.dx[1]
        if grad is not None:
            ops.logreg_bprop(
                b.x[0].reshape(1), b.x[1].reshape(-1), self.coeff, grad.buffer.reshape(-1), grad.add
            )


class Sum2Cost(CostLayer):
    """The sum of squares of its input."""

    type_name = "cost.sum2"
    title = "sum-of-squares cost"
    value_names = ("sum of squares",)

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.sum2_cost(x[0], self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.grad
        ops.add_scaled(b.x[0], 2 * self.coeff, grad.buffer, grad.add)
