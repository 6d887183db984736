"""Costs of forks of cuda-convnet: hingeloss, gsinlabel, locrank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convnet.config.keys import Ignored, Int, Key
from convnet.config.layers import LayerSpec
from convnet.errors import BatchError, ShapeError
from convnet.layer_types.base import Backward, Earlier, Layer, Mode
from convnet.layer_types.cost import ClassLabelCost, CostLayer, GroupLabelCost
from convnet.layer_types.data import DataLayer, Matrices
from convnet.ops.base import Ops
from convnet.plan import Buffer

LOCRANK_MARGIN = 5.0


class HingelossCost(ClassLabelCost):
    """Multi-class hinge loss: max(0, 1 + the largest other input - the input of the right class).

    Inputs: the labels (one number per image, from 0) and a layer with one number per class, of any
    type. From the fork hunse/cuda-convnet2.
    """

    type_name = "cost.hingeloss"
    title = "hinge loss cost"
    value_names: tuple[str, ...] = ("hinge loss", "error")

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        if self.classes < 2:
            raise ShapeError(f"'{self.inputs[1].name}' must have at least 2 classes; found 1")

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.hinge_cost(x[0].reshape(1), x[1].reshape(-1), self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.dx[1]
        if grad is not None:
            labels, inputs = b.x[0].reshape(1), b.x[1].reshape(-1)
            ops.hinge_bprop(labels, inputs, self.coeff, grad.buffer.reshape(-1), grad.add)


class GsinlabelCost(GroupLabelCost):
    """Group sparsity: images with the same label shall use the same channels.

    The sum over channels and labels of sqrt(n * sum of the squares of the channel in the n images
    of the minibatch with this label). Inputs: the labels (one number per image) and a layer.
    From the fork mavenlin/cuda-convnet.
    """

    type_name = "cost.gsinlabel"
    title = "group sparsity cost"
    keys = (
        *CostLayer.keys,
        Key("channels", Int(min=1), "channels of the second input"),
        Key("imgSize", Ignored(), "side of the images; known anyway", default=None),
    )
    value_names = ("group sparsity",)

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        self.channels: int = spec.values["channels"]
        size = self.inputs[1].shape.size
        if size % self.channels:
            raise ShapeError(
                f"input '{self.inputs[1].name}' has {size} numbers, not a multiple of "
                f"channels={self.channels}"
            )

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        inputs = x[1].reshape(self.channels, -1)
        ops.gsinlabel_cost(x[0].reshape(1), inputs, self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.dx[1]
        if grad is not None:
            labels, inputs = b.x[0].reshape(1), b.x[1].reshape(self.channels, -1)
            target = grad.buffer.reshape(self.channels, -1)
            ops.gsinlabel_bprop(labels, inputs, self.coeff, target, grad.add)


class LocrankCost(CostLayer):
    """Ranking of hash codes: the first shall be nearer to the second than to the third.

    Inputs: three layers of equal size with numbers from 0 to 1 (`neuron = logistic`), whose bits
    are these numbers stretched to -1..1, and the weights of the images, a data layer with one
    number per image. Per image, weight * max(0, 5 + (first * third - first * second) / 2), with
    products summed over the bits; and half the sum over the bits of the squared mean of the first
    code over the minibatch, so that each bit is set as often as not.
    From the fork zhaofang0627/cuda-convnet-for-hashing.
    """

    type_name = "cost.locrank"
    title = "local rank cost"
    min_inputs = 4
    max_inputs = 4
    value_names = ("ranking loss and balance of bits", "ranking loss")

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        *codes, weights = self.inputs
        sizes = [code.shape.size for code in codes]
        if len(set(sizes)) > 1:
            raise ShapeError(f"the first three inputs must have equal sizes; found {sizes}")
        if not isinstance(weights, DataLayer) or weights.shape.size != 1:
            raise ShapeError(
                f"fourth input must be the weights of the images, a data layer with one number "
                f"per image; found '{weights.name}' of type '{weights.type_name}' with "
                f"{weights.shape.size}"
            )
        self.weights = weights

    def check_data(self, matrices: Matrices) -> None:
        weights = self.weights.read(matrices)
        valid = np.isfinite(weights) & (weights >= 0)
        if not valid.all():
            raise BatchError(
                f"weights of '{self.name}' must be finite numbers of at least 0; "
                f"found {weights[~valid][0]:g}"
            )

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.locrank_cost(*_codes(x), LOCRANK_MARGIN, self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        for position, grad in enumerate(b.dx[:3]):
            if grad is not None:
                target = grad.buffer.reshape(-1)
                ops.locrank_bprop(
                    *_codes(b.x), LOCRANK_MARGIN, position, self.coeff, target, grad.add
                )


def _codes(x: Sequence[Buffer]) -> tuple[Buffer, Buffer, Buffer, Buffer]:
    first, second, third, weights = (buffer.reshape(-1) for buffer in x)
    return first, second, third, weights
