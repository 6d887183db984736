"""Fully-connected layers in parts (sfc), and with dropout of outputs or of connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convnet.config.keys import Float, Int, Key
from convnet.config.layers import LayerSpec
from convnet.errors import ShapeError
from convnet.geometry import Shape
from convnet.layer_types.base import Backward, Earlier, Grad, Layer, Mode
from convnet.layer_types.weights import FcLayer, WeightLayer
from convnet.neurons import IDENT
from convnet.ops.base import Ops
from convnet.plan import Buffer, for_each_run


class SfcLayer(FcLayer):
    """Split fully-connected: block k of the input's numbers feeds block k of the units alone.

    A weight matrix holds the blocks one below the other: its rows are the input's numbers, its
    columns the units of one part.
    """

    type_name = "sfc"
    title = "split fully-connected layer"
    keys = (
        Key("outputs", Int(min=1), "number of units, per part"),
        Key("parts", Int(min=1), "number of parts"),
        *WeightLayer.keys,
    )

    def make_layer(self, outputs: int) -> None:
        self.parts: int = self.values["parts"]
        for layer in self.inputs:
            if layer.shape.size % self.parts:
                raise ShapeError(
                    f"input '{layer.name}' has {layer.shape.size} numbers, not a multiple of "
                    f"parts={self.parts}"
                )
        self.shape = Shape(outputs * self.parts)
        sizes = [layer.shape.size for layer in self.inputs]
        self.make_parameters(
            [(size, outputs) for size in sizes],
            [size // self.parts for size in sizes],
            (1, outputs * self.parts),
        )

    def _parts(self, *buffers: Buffer) -> list[list[Buffer]]:
        """The blocks of rows of each part, of each buffer."""
        rows = [buffer.shape[0] // self.parts for buffer in buffers]
        return [
            [buffer.rows(k * n, n) for buffer, n in zip(buffers, rows, strict=True)]
            for k in range(self.parts)
        ]

    def fprop(
        self,
        ops: Ops,
        i: int,
        x: Buffer,
        weights: Buffer,
        biases: Buffer | None,
        y: Buffer,
        add: bool,
    ) -> None:
        blocks = [x.reshape(-1), weights, y.reshape(-1)]
        blocks += [biases.reshape(-1)] if biases else []
        for inputs, matrix, acts, *bias in self._parts(*blocks):
            ops.fc_fprop(inputs, matrix, bias[0] if bias else None, IDENT, acts, add)

    def dgrad(self, ops: Ops, i: int, weights: Buffer, dy: Buffer, grad: Grad) -> None:
        for matrix, acts, target in self._parts(weights, dy.reshape(-1), grad.buffer.reshape(-1)):
            ops.fc_dgrad(matrix, acts, target, grad.add)

    def wgrad(self, ops: Ops, i: int, x: Buffer, dy: Buffer, gradient: Buffer, add: bool) -> None:
        for inputs, acts, target in self._parts(x.reshape(-1), dy.reshape(-1), gradient):
            ops.fc_wgrad(inputs, acts, target, add)


_RATE = Key("rate", Float(min=0, max=1), "probability of being dropped", file="either")


class FcdropoLayer(FcLayer):
    """Fully connected, with dropout of the outputs: as fc with `dropout = rate`.

    From drop-nn (Li Wan) and the fork leezl/cuda-convnet, where it is called fcdrop.
    """

    type_name = "fcdropo"
    title = "fully-connected layer with dropout"
    keys = (_RATE, *FcLayer.keys)
    max_inputs = 1

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        self.keep_rate *= 1 - spec.values["rate"]


class FcdropLayer(FcdropoLayer):
    """Another name of fcdropo."""

    type_name = "fcdrop"


class FcdropcLayer(FcLayer):
    """Fully connected, with dropped connections: each image has weights and biases missing.

    While training each weight and each bias is left out with probability `rate`, for each image by
    itself; in tests the outputs are multiplied by 1 - rate. From drop-nn: Wan, Zeiler, Zhang,
    LeCun and Fergus, "Regularization of Neural Networks using DropConnect" (2013).
    """

    type_name = "fcdropc"
    title = "fully-connected layer with dropconnect"
    keys = (_RATE, *FcLayer.keys)
    max_inputs = 1

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        if not self.biases:
            raise ShapeError("biases=0: layers with dropconnect have biases")
        self.keep: float = 1 - spec.values["rate"]

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        if mode.train:
            assert self.biases
            ops.dropconnect_fprop(
                x[0].reshape(-1),
                self.weights[0].value,
                self.biases.value,
                self.keep,
                for_each_run(self.random_key(".weights")),
                for_each_run(self.random_key(".biases")),
                y.reshape(-1),
            )
        else:
            super().forward(ops, x, y, mode)
            ops.add_scaled(y, self.keep, y)

    def backward(self, ops: Ops, b: Backward) -> None:
        masked = self.temporary("masked_grad", self.shape.as_tuple())
        if not b.mode.train:
            ops.add_scaled(b.dy, self.keep, masked)
            super().backward(ops, replace(b, dy=masked))
            return
        assert self.biases
        weights, dy = self.weights[0], b.dy.reshape(-1)
        key = for_each_run(self.random_key(".weights"))
        if self.biases.is_trained(b.mode):
            ops.dropout(b.dy, self.keep, 1.0, for_each_run(self.random_key(".biases")), masked)
            ops.bias_grad(masked, self.biases.gradient, b.adds_to(self.biases))
        if weights.is_trained(b.mode):
            inputs, add = b.x[0].reshape(-1), b.adds_to(weights)
            ops.dropconnect_wgrad(inputs, dy, self.keep, key, weights.gradient, add)
        grad = b.dx[0]
        if grad is not None:
            target = grad.buffer.reshape(-1)
            ops.dropconnect_dgrad(weights.value, dy, self.keep, key, target, grad.add)


class FcdropcfLayer(FcdropcLayer):
    """Another name of fcdropc; a faster form of it in drop-nn."""

    type_name = "fcdropcf"
