"""Local normalisation over pixels (rnorm, cnorm) and over channels (cmrnorm)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from convnet.config.keys import Bool, Float, Int, Key
from convnet.config.layers import LayerSpec
from convnet.errors import ShapeError
from convnet.geometry import Norm
from convnet.layer_types.base import GPU_KEY, NEURON_KEY, Backward, Layer, Mode
from convnet.ops.base import Ops
from convnet.plan import Buffer


class _NormLayer(Layer):
    keys: ClassVar[tuple[Key, ...]] = (
        NEURON_KEY,
        GPU_KEY,
        Key("channels", Int(min=1), "channels of the input images"),
        Key("size", Int(min=1), "side of the neighbourhood, in pixels or channels"),
        Key(
            "scale",
            Float(),
            "factor of the sum of squares; divided by the number of elements in a full "
            "neighbourhood when read",
            file="parameters",
        ),
        Key("pow", Float(), "power of the denominator", file="parameters"),
        Key("minDiv", Float(), "constant in the denominator", default=1.0, file="parameters"),
    )
    needs_parameters = True

    # Side of the neighbourhood to this power is its number of elements.
    dimensions: int

    # What the forward operation leaves for the backward operation.
    stored: tuple[str, ...] = ("denoms",)

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        v = spec.values
        self.shape = self.images_shape(v["channels"])
        limit = min(self.longest_sides())
        if v["size"] > limit:
            raise ShapeError(f"size must be at most {limit}; found size={v['size']}")
        self.norm = Norm(
            size=v["size"],
            # Without a parameter file only shapes matter.
            scale=(v["scale"] or 0.0) / v["size"] ** self.dimensions,
            power=v["pow"] or 0.0,
            min_div=v["minDiv"],
            blocked=v.get("blocked", False),
        )

    def longest_sides(self) -> tuple[int, ...]:
        """What `size` must not exceed."""
        return (self.shape.height, self.shape.width)

    @property
    def has_own_features(self) -> bool:
        return True

    # The types have operations of the same form, named after them.

    def _stored(self) -> list[Buffer]:
        return [self.temporary(name, self.shape.as_tuple()) for name in self.stored]

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        images = x[0].reshape(*self.shape.as_tuple())
        getattr(ops, f"{self.type_name}_fprop")(self.norm, images, *self._stored(), y)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad, shape = b.grad, self.shape.as_tuple()
        images, images_grad = b.x[0].reshape(*shape), grad.buffer.reshape(*shape)
        getattr(ops, f"{self.type_name}_bprop")(
            self.norm, images, *self._stored(), b.dy, images_grad, grad.add
        )


class RnormLayer(_NormLayer):
    """Divides by a power of the sum of squares over a square of pixels, channel by channel."""

    type_name = "rnorm"
    title = "response-normalization layer"
    dimensions = 2


class CnormLayer(_NormLayer):
    """Divides by a power of the sum of squares of differences from the mean.

    The sum is over a square of pixels, channel by channel, and each difference is that from the
    mean of the square around its own pixel. What is divided is the input, not the difference.
    """

    type_name = "cnorm"
    title = "contrast-normalization layer"
    dimensions = 2
    stored = ("diffs", "denoms")


class CmrnormLayer(_NormLayer):
    """Divides by a power of the sum of squares over neighbouring channels, pixel by pixel."""

    type_name = "cmrnorm"
    title = "cross-map response-normalization layer"
    dimensions = 1
    keys = (
        *_NormLayer.keys,
        Key("blocked", Bool(), "neighbourhoods are blocks of channels", default=False),
    )

    def longest_sides(self) -> tuple[int, ...]:
        return (self.shape.channels,)
