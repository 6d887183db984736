"""Layers that change the colours in which images are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from convnet.config.keys import Bool, Key
from convnet.config.layers import LayerSpec
from convnet.layer_types.base import GPU_KEY, NEURON_KEY, Backward, Layer, Mode
from convnet.ops.base import Ops
from convnet.ops.spec.images import ChannelMatrix
from convnet.plan import Buffer

RGB_TO_YUV: ChannelMatrix = (
    (0.2126, 0.7152, 0.0722),
    (-0.09991, -0.33609, 0.436),
    (0.615, -0.55861, -0.05639),
)
RGB_TO_XYZ: ChannelMatrix = (
    (0.49, 0.31, 0.2),
    (0.17697, 0.8124, 0.01063),
    (0.0, 0.01, 0.99),
)
# L = 116 f(Y), a = 500 (f(X) - f(Y)), b = 200 (f(Y) - f(Z))
CURVES_TO_LAB: ChannelMatrix = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))


def _transposed(matrix: ChannelMatrix) -> ChannelMatrix:
    return tuple(zip(*matrix, strict=True))


class _ColorLayer(Layer):
    keys: ClassVar[tuple[Key, ...]] = (NEURON_KEY, GPU_KEY)

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        self.shape = self.images_shape(3)


class Rgb2YuvLayer(_ColorLayer):
    """From red, green and blue to brightness Y and the colour differences U and V."""

    type_name = "rgb2yuv"
    title = "RGB --> YUV layer"

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.mix_channels(RGB_TO_YUV, x[0].reshape(*y.shape), y)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.grad
        images_grad = grad.buffer.reshape(*b.dy.shape)
        ops.mix_channels(_transposed(RGB_TO_YUV), b.dy, images_grad, grad.add)


class Rgb2LabLayer(_ColorLayer):
    """From red, green and blue of 0 to 1 to CIE Lab: lightness of 0 to 100, and two colours."""

    type_name = "rgb2lab"
    title = "RGB --> LAB layer"
    keys = (
        *_ColorLayer.keys,
        Key("center", Bool(), "lightness from -50 to 50", default=False),
    )

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        xyz, curves = (self.temporary(name, y.shape) for name in ("xyz", "curves"))
        # L = 116 f(Y) - 16 (or - 66). An offset of all three curves drops out of a and b.
        offset = (16 + 50 * self.values["center"]) / 116
        ops.mix_channels(RGB_TO_XYZ, x[0].reshape(*y.shape), xyz)
        ops.lab_curve_fprop(offset, xyz, curves)
        ops.mix_channels(CURVES_TO_LAB, curves, y)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad, shape = b.grad, b.dy.shape
        xyz, xyz_grad, curves_grad = (
            self.temporary(name, shape) for name in ("xyz", "xyz.grad", "curves.grad")
        )
        ops.mix_channels(_transposed(CURVES_TO_LAB), b.dy, curves_grad)
        ops.lab_curve_bprop(xyz, curves_grad, xyz_grad)
        images_grad = grad.buffer.reshape(*shape)
        ops.mix_channels(_transposed(RGB_TO_XYZ), xyz_grad, images_grad, grad.add)
