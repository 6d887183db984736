"""Pooling layers."""

from __future__ import annotations

from collections.abc import Sequence

from convnet.config.keys import Bool, Choice, Int, Key
from convnet.config.layers import LayerSpec
from convnet.errors import ShapeError
from convnet.geometry import Pool, Shape
from convnet.layer_types.base import GPU_KEY, NEURON_KEY, Backward, Layer, Mode
from convnet.ops.base import Ops
from convnet.plan import Buffer


class PoolLayer(Layer):
    """Maximum or mean over square windows of each channel."""

    type_name = "pool"
    title = "pooling layer"
    keys = (
        NEURON_KEY,
        GPU_KEY,
        Key("pool", Choice("max", "avg"), "maximum or mean"),
        Key("channels", Int(min=1), "channels of the input images"),
        Key("sizeX", Int(min=1), "side of the window, in pixels"),
        Key("stride", Int(min=1), "distance between windows; at most sizeX"),
        Key("start", Int(), "row and column of the first window; may be negative", default=0),
        Key("outputsX", Int(min=0), "windows per side; 0: as many as cover the image", default=0),
        Key("sum", Bool(), "with pool=avg: the sum instead of the mean", default=False),
    )

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        v = spec.values
        if v["stride"] > v["sizeX"]:
            raise ShapeError(
                f"stride must be at most sizeX, {v['sizeX']}; found stride={v['stride']}"
            )
        if v["sum"] and v["pool"] != "avg":
            raise ShapeError(f"sum=true goes with pool=avg only; found pool={v['pool']}")
        self.pool = Pool(
            *self.images_shape(v["channels"]).as_tuple(),
            size=v["sizeX"],
            stride=v["stride"],
            start=v["start"],
            outputs=v["outputsX"],
        )
        self.is_max: bool = v["pool"] == "max"
        self.divide = not v["sum"]
        self.shape = Shape(*self.pool.acts_shape)

    @property
    def has_own_features(self) -> bool:
        return self.is_max

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        images = x[0].reshape(*self.pool.images_shape)
        if self.is_max:
            ops.pool_max_fprop(self.pool, images, y)
        else:
            ops.pool_avg_fprop(self.pool, self.divide, images, y)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.grad
        images_grad = grad.buffer.reshape(*self.pool.images_shape)
        if self.is_max:
            images = b.x[0].reshape(*self.pool.images_shape)
            ops.pool_max_bprop(self.pool, images, b.y, b.dy, images_grad, grad.add)
        else:
            ops.pool_avg_bprop(self.pool, self.divide, b.dy, images_grad, grad.add)
