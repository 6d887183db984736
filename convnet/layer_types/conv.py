"""Convolutional layers: filters shared by all pixels (conv), or not (local)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from convnet.config.keys import Bool, Float, Ignored, Int, Key
from convnet.config.layers import LayerSpec
from convnet.errors import ShapeError
from convnet.geometry import Shape, Window
from convnet.layer_types.base import Grad, Layer
from convnet.layer_types.weights import WeightLayer
from convnet.neurons import IDENT
from convnet.ops.base import Ops
from convnet.plan import Buffer

_WINDOW_KEYS = (
    Key("channels", Int(min=1), "channels of the input images", per_input=True),
    Key("filters", Int(min=1), "number of filters, per group", per_input=True),
    Key("filterSize", Int(min=1), "side of the square filters, in pixels", per_input=True),
    Key("padding", Int(min=0), "rows of zeros around the images", default=0, per_input=True),
    Key("stride", Int(min=1), "distance between filter positions", default=1, per_input=True),
    Key(
        "groups",
        Int(min=1),
        "groups of filters; group g sees only block g of the channels",
        default=1,
        per_input=True,
    ),
    Key(
        "modulesX",
        Int(min=0),
        "filter positions per side; 0: as many as cover the padded image",
        default=0,
    ),
    Key("partialSum", Ignored(), "tuned cuda-convnet's kernels; without effect", default=None),
    Key("sumWidth", Ignored(), "tuned cuda-convnet2's kernels; without effect", default=None),
)


class _WindowLayer(WeightLayer):
    """What conv and local share: one Window per input, all with the same output shape."""

    def __init__(
        self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Mapping[str, Layer]
    ) -> None:
        super().__init__(spec, inputs, earlier)
        self.windows = [self._window(i) for i in range(len(inputs))]
        shapes = {g.acts_shape for g in self.windows}
        if len(shapes) > 1:
            raise ShapeError(
                "all inputs must give the same number of filters and pixels; found "
                + ", ".join("x".join(map(str, g.acts_shape)) for g in self.windows)
            )
        self.shape = Shape(*self.windows[0].acts_shape)

    def _window(self, i: int) -> Window:
        v = self.values
        images = self.images_shape(v["channels"][i], i)
        return Window(
            *images.as_tuple(),
            filters=v["filters"][i] * v["groups"][i],
            filter_size=v["filterSize"][i],
            padding=v["padding"][i],
            stride=v["stride"][i],
            groups=v["groups"][i],
            modules=v["modulesX"],
        )

    @property
    def multiply_adds(self) -> int:
        return sum(g.multiply_adds for g in self.windows)

    # conv and local have operations of the same form, named after the layer type.

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
        g, op = self.windows[i], getattr(ops, f"{self.type_name}_fprop")
        op(g, x.reshape(*g.images_shape), weights, biases, IDENT, y, add)

    def dgrad(self, ops: Ops, i: int, weights: Buffer, dy: Buffer, grad: Grad) -> None:
        g, op = self.windows[i], getattr(ops, f"{self.type_name}_dgrad")
        op(g, weights, dy, grad.buffer.reshape(*g.images_shape), grad.add)

    def wgrad(self, ops: Ops, i: int, x: Buffer, dy: Buffer, gradient: Buffer, add: bool) -> None:
        g, op = self.windows[i], getattr(ops, f"{self.type_name}_wgrad")
        op(g, x.reshape(*g.images_shape), dy, gradient, add)


class ConvLayer(_WindowLayer):
    """Convolution of images with square filters, plus biases."""

    type_name = "conv"
    title = "convolutional layer"
    keys = (
        *_WINDOW_KEYS,
        Key("sharedBiases", Bool(), "one bias per filter, not per output", default=True),
        *WeightLayer.keys,
        Key(
            "wcNormMin",
            Float(min=0),
            "least norm of a filter minus its mean, divided by its number of weights",
            default=0.0,
            file="parameters",
            per_input=True,
        ),
        Key(
            "wcNormMax",
            Float(min=0),
            "greatest such norm; 0: filters are left as they are",
            default=0.0,
            file="parameters",
            per_input=True,
        ),
    )

    def __init__(
        self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Mapping[str, Layer]
    ) -> None:
        super().__init__(spec, inputs, earlier)
        shared = spec.values["sharedBiases"]
        biases = self.shape.channels if shared else self.shape.size
        shapes = [g.conv_filters_shape for g in self.windows]
        self.make_parameters(shapes, [g.taps for g in self.windows], (biases, 1))

    def bounds(self, i: int) -> list[tuple[int, float, float, bool]]:
        low, high = self.values["wcNormMin"][i], self.values["wcNormMax"][i]
        if high <= 0:
            return super().bounds(i)
        if low > high:
            raise ShapeError(
                f"wcNormMin must be at most wcNormMax; found wcNormMin={low:g}, wcNormMax={high:g}"
            )
        return [(1, low, high, True), *super().bounds(i)]


class LocalLayer(_WindowLayer):
    """Locally connected: like conv, with filters and biases of its own at every pixel."""

    type_name = "local"
    title = "locally-connected layer"
    keys = (*_WINDOW_KEYS, *WeightLayer.keys)

    def __init__(
        self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Mapping[str, Layer]
    ) -> None:
        super().__init__(spec, inputs, earlier)
        shapes = [g.local_filters_shape for g in self.windows]
        self.make_parameters(shapes, [g.taps for g in self.windows], (self.shape.size, 1))

    def bounds(self, i: int) -> list[tuple[int, float, float, bool]]:
        wball: float = self.values["wball"][i]
        return [(self.windows[i].out_pixels, 0.0, wball, False)] if wball > 0 else []
