"""Layers of nets that compare images: unit vectors, cosines."""

from __future__ import annotations

from collections.abc import Sequence

from convnet.config.keys import Float, Int, Key
from convnet.config.layers import LayerSpec
from convnet.layer_types.base import GPU_KEY, NEURON_KEY, Backward, Layer, Mode
from convnet.layer_types.weights import FcLayer, WeightLayer
from convnet.neurons import IDENT
from convnet.ops.base import Ops
from convnet.plan import Buffer

EPS = 1e-10  # as in Torch's layer Normalize


class L2normLayer(Layer):
    """The numbers of an image as a vector of length 1: y = x / sqrt(sum of x^2 + eps).

    So a vector of zeros stays one, and its gradient is finite.
    """

    type_name = "l2norm"
    title = "unit-length layer"
    keys = (
        NEURON_KEY,
        GPU_KEY,
        Key("eps", Float(above=0), "added to the square of the length", default=EPS),
    )

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        self.shape = inputs[0].shape
        self.eps: float = spec.values["eps"]

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.l2norm_fprop(x[0].reshape(-1), self.eps, y.reshape(-1))

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.grad
        ops.l2norm_bprop(
            b.x[0].reshape(-1), b.dy.reshape(-1), self.eps, grad.buffer.reshape(-1), grad.add
        )


_OF_BIASES = ("biases", "initB", "initBFunc", "epsB", "momB")


class CosfcLayer(FcLayer):
    """Cosines: the products of unit vectors, those of the image and of each unit's weights.

    As fc without biases, with input and columns of the weights divided by their lengths; see
    l2norm. For cost.margin, with a unit for each class.
    """

    type_name = "cosfc"
    title = "cosine layer"
    keys = (
        Key("outputs", Int(min=1), "number of units"),
        *(key for key in WeightLayer.keys if key.name not in _OF_BIASES),
    )
    max_inputs = 1

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        inputs, weights = self._units()
        ops.l2norm_fprop(x[0].reshape(-1), EPS, inputs)
        ops.l2norm_fprop(self.weights[0].value, EPS, weights)
        ops.fc_fprop(inputs, weights, None, IDENT, y.reshape(-1), False)

    def backward(self, ops: Ops, b: Backward) -> None:
        inputs, weights = self._units()
        (own,), dy, grad = self.weights, b.dy.reshape(-1), b.dx[0]
        if own.is_trained(b.mode):
            slopes = self.temporary("weights_grad", own.shape, per_case=False)
            ops.fc_wgrad(inputs, dy, slopes, False)
            ops.l2norm_bprop(own.value, slopes, EPS, own.gradient, b.adds_to(own))
        if grad is not None:
            slopes = self.temporary("inputs_grad", own.shape[:1])
            ops.fc_dgrad(weights, dy, slopes, False)
            ops.l2norm_bprop(b.x[0].reshape(-1), slopes, EPS, grad.buffer.reshape(-1), grad.add)

    def _units(self) -> tuple[Buffer, Buffer]:
        """The unit vectors of the images and of the weights."""
        shape = self.weights[0].shape
        return (
            self.temporary("inputs", shape[:1]),
            self.temporary("weights", shape, per_case=False),
        )
