"""Pooling over pixels (pool) and over channels (cmpool)."""

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
    """Maximum, mean or length over windows of each channel.

    maxabs gives the number whose magnitude is largest, with its sign; of equal ones the last, row
    by row. l2 gives the square root of the sum of squares; its gradient is 0 where all numbers of
    the window are. With sizeX = 0 the only window is the whole image, which need not be square.
    """

    type_name = "pool"
    keys = (
        NEURON_KEY,
        GPU_KEY,
        Key(
            "pool",
            Choice("max", "maxabs", "avg", "l2"),
            "maximum, largest magnitude, mean, or root of the sum of squares",
        ),
        Key("channels", Int(min=1), "channels of the input images"),
        Key("sizeX", Int(min=0), "columns, and rows, of the window; 0: the whole image"),
        Key("sizeY", Int(min=1), "rows of the window; sizeX if absent", default=None),
        Key("stride", Int(min=1), "distance between windows; at most their size"),
        Key("start", Int(), "column and row of the first window; may be negative", default=0),
        Key("startY", Int(), "row of the first window; start if absent", default=None),
        Key(
            "outputsX",
            Int(min=0, below="min"),
            "windows per side; 0: as many as cover the image",
            default=0,
        ),
        Key("outputsY", Int(min=0), "those from top to bottom; outputsX if absent", default=None),
        Key("sum", Bool(), "with pool=avg: the sum instead of the mean", default=False),
    )

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        v = spec.values
        self.title = f"{v['pool']}-pooling layer"
        if v["sum"] and v["pool"] != "avg":
            self.warnings.append(f"sum=true counts with pool=avg only; found pool={v['pool']}")
        images = self.images_shape(v["channels"])
        if v["sizeX"] == 0:
            self.pool = self._of_whole(images)
        else:
            for key in ("sizeX", "sizeY"):
                if v[key] is not None and v["stride"] > v[key]:
                    raise ShapeError(
                        f"stride must be at most {key}, {v[key]}; found stride={v['stride']}"
                    )
            self.pool = Pool(
                *images.as_tuple(),
                size=v["sizeX"],
                stride=v["stride"],
                start=v["start"],
                outputs=v["outputsX"],
                size_y=v["sizeY"],
                start_y=v["startY"],
                outputs_y=v["outputsY"],
            )
        self.kind: str = v["pool"]
        self.divide = not v["sum"]
        self.shape = Shape(*self.pool.acts_shape)

    def _of_whole(self, images: Shape) -> Pool:
        """One window, all pixels of a channel as one column."""
        wrong = [
            f"{key}={self.values[key]}"
            for key, only in (
                *(("stride", 1), ("start", 0), ("outputsX", 0)),
                *((key, None) for key in ("sizeY", "startY", "outputsY")),
            )
            if self.values[key] != only
        ]
        if wrong:
            raise ShapeError(
                f"sizeX=0, one window, goes with stride=1 alone; found {', '.join(wrong)}"
            )
        pixels = images.height * images.width
        return Pool(images.channels, pixels, 1, size=pixels, stride=1, tall=True)

    @property
    def has_own_features(self) -> bool:
        return self.kind != "avg"

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        g = self.pool
        images = x[0].reshape(*g.images_shape)
        if self.kind == "avg":
            ops.pool_avg_fprop(g, self.divide, images, y)
        elif self.kind == "l2":
            ops.pool_l2_fprop(g, images, y)
        else:
            ops.pool_max_fprop(g, images, y, magnitude=self.kind == "maxabs")

    def backward(self, ops: Ops, b: Backward) -> None:
        g, grad = self.pool, b.grad
        images, images_grad = (a.reshape(*g.images_shape) for a in (b.x[0], grad.buffer))
        if self.kind == "avg":
            ops.pool_avg_bprop(g, self.divide, b.dy, images_grad, grad.add)
        elif self.kind == "l2":
            ops.pool_l2_bprop(g, images, b.y, b.dy, images_grad, grad.add)
        else:
            ops.pool_max_bprop(g, images, b.y, b.dy, images_grad, grad.add)


class CmpoolLayer(Layer):
    """Maximum over neighbouring channels, pixel by pixel."""

    type_name = "cmpool"
    title = "cross-map max-pooling layer"
    keys = (
        NEURON_KEY,
        GPU_KEY,
        Key("pool", Choice("max"), "maximum"),
        Key("channels", Int(min=1), "channels of the input images"),
        Key("size", Int(min=1), "channels in a window"),
        Key("stride", Int(min=1), "distance between windows; at most size"),
        Key("start", Int(max=0), "first channel of the first window", default=0),
        Key("outputs", Int(min=1), "windows, that is channels put out; they must cover the input"),
    )

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        v = spec.values
        channels, size, start, outputs = v["channels"], v["size"], v["start"], v["outputs"]
        images = self.images_shape(channels)
        if size > channels:
            raise ShapeError(f"size must be at most channels, {channels}; found size={size}")
        if v["stride"] > size:
            raise ShapeError(f"stride must be at most size, {size}; found stride={v['stride']}")
        last = start + (outputs - 1) * v["stride"]
        if last + size < channels or start + size <= 0 or last >= channels:
            raise ShapeError(
                f"the windows must cover all {channels} channels, and each at least one; found "
                f"{outputs} of size {size}, the first at {start}, the last at {last}"
            )
        # The channels are the rows of one image, whose columns are the pixels.
        self.pool = Pool(
            channels=1,
            height=channels,
            width=images.height * images.width,
            size=size,
            stride=v["stride"],
            start=start,
            outputs=outputs,
            tall=True,
        )
        self.shape = Shape(outputs, images.height, images.width)

    @property
    def has_own_features(self) -> bool:
        return True

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        g = self.pool
        ops.pool_max_fprop(g, x[0].reshape(*g.images_shape), y.reshape(*g.acts_shape))

    def backward(self, ops: Ops, b: Backward) -> None:
        g, grad = self.pool, b.grad
        images, images_grad = (a.reshape(*g.images_shape) for a in (b.x[0], grad.buffer))
        acts, acts_grad = (a.reshape(*g.acts_shape) for a in (b.y, b.dy))
        ops.pool_max_bprop(g, images, acts, acts_grad, images_grad, grad.add)
