"""Layers that cut, thin, blur, resize and mirror images, all channels alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from convnet.config.keys import Float, Int, Key
from convnet.config.layers import LayerSpec
from convnet.errors import ShapeError
from convnet.geometry import Shape
from convnet.layer_types.base import GPU_KEY, NEURON_KEY, Backward, Layer, Mode
from convnet.ops.base import Ops
from convnet.ops.philox import uniform
from convnet.plan import Buffer, Clock, for_each_run
from convnet.resampling import RandomScale, Resampling, bilinear, gaussian, picked

CHANNELS_KEY = Key("channels", Int(min=1), "channels of the input images")


class _ResamplingLayer(Layer):
    keys: ClassVar[tuple[Key, ...]] = (NEURON_KEY, GPU_KEY, CHANNELS_KEY)

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        self.resampling = self.resampling_of(self.images_shape(spec.values["channels"]))
        self.shape = Shape(*self.resampling.acts_shape)

    @abstractmethod
    def resampling_of(self, images: Shape) -> Resampling:
        """What the layer does to images of this shape; raises ShapeError if it cannot."""

    def resampling_in(self, mode: Mode) -> Resampling:
        """What it does in a pass of this mode."""
        return self.resampling

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        images = x[0].reshape(*self.resampling.images_shape)
        ops.resample_fprop(self.resampling_in(mode), images, y)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.grad
        images_grad = grad.buffer.reshape(*self.resampling.images_shape)
        ops.resample_bprop(self.resampling_in(b.mode), b.dy, images_grad, grad.add)


def _both_ways(images: Shape, along: Callable[[int], np.ndarray]) -> Resampling:
    return Resampling(images.channels, along(images.height), along(images.width))


class NailbedLayer(_ResamplingLayer):
    """Every stride-th pixel of every stride-th row; what is left over is margin on both sides."""

    type_name = "nailbed"
    title = "bed-of-nails layer"
    keys = (
        *_ResamplingLayer.keys,
        Key("stride", Int(min=2), "distance between the pixels that are taken"),
    )

    def resampling_of(self, images: Shape) -> Resampling:
        stride: int = self.values["stride"]

        def along(length: int) -> np.ndarray:
            outputs = -(-length // stride)
            start = (length - stride * (outputs - 1)) // 2
            return picked(range(start, length, stride), length)

        return _both_ways(images, along)


class BlurLayer(_ResamplingLayer):
    """Blurs images with a Gaussian filter; pixels outside the image count as zero."""

    type_name = "blur"
    title = "Gaussian blur layer"
    keys = (
        *_ResamplingLayer.keys,
        Key("filterSize", Int(min=3, max=9), "side of the filter, in pixels: 3, 5, 7 or 9"),
        Key("stdev", Float(above=0), "standard deviation of the filter, in pixels"),
    )

    def resampling_of(self, images: Shape) -> Resampling:
        size, stdev = self.values["filterSize"], self.values["stdev"]
        side = min(images.height, images.width)
        if size % 2 == 0:
            raise ShapeError(f"filterSize must be 3, 5, 7 or 9; found filterSize={size}")
        if size > side:
            raise ShapeError(
                f"filterSize must be at most the image's shorter side, {side}; "
                f"found filterSize={size}"
            )
        return _both_ways(images, lambda length: gaussian(length, size, stdev))


class ResizeLayer(_ResamplingLayer):
    """Makes images smaller by a factor (larger, if it is below 1), bilinearly."""

    type_name = "resize"
    title = "resize layer"
    keys = (
        *_ResamplingLayer.keys,
        Key("scale", Float(min=0.5, max=2), "pixels of the input per pixel of the output"),
    )

    def resampling_of(self, images: Shape) -> Resampling:
        scale: float = self.values["scale"]
        side = min(images.height, images.width)
        if scale > side:
            raise ShapeError(
                f"scale must be at most the image's shorter side, {side}; found scale={scale:g}"
            )
        return _both_ways(images, lambda length: bilinear(length, int(length / scale), scale))


class CropLayer(_ResamplingLayer):
    """Cuts a square out of images."""

    type_name = "crop"
    title = "cropping layer"
    keys = (
        *_ResamplingLayer.keys,
        Key("startX", Int(min=0), "first column"),
        Key("startY", Int(min=0), "first row; startX if absent", default=None),
        Key("sizeX", Int(min=1), "side of the square, in pixels"),
    )

    def resampling_of(self, images: Shape) -> Resampling:
        left, size = self.values["startX"], self.values["sizeX"]
        top = left if self.values["startY"] is None else self.values["startY"]
        for key, start, side, length in (
            ("startY", top, "height", images.height),
            ("startX", left, "width", images.width),
        ):
            if start + size > length:
                raise ShapeError(
                    f"{key} + sizeX must be at most the image's {side}, {length}; "
                    f"found {key}={start}, sizeX={size}"
                )
        return Resampling(
            images.channels,
            picked(range(top, top + size), images.height),
            picked(range(left, left + size), images.width),
        )


class HrefLayer(_ResamplingLayer):
    """Mirrors images left to right."""

    type_name = "href"
    title = "horizontal reflection layer"

    @property
    def has_own_features(self) -> bool:
        return True  # cuda-convnet's says that it reads its output, though it does not

    def resampling_of(self, images: Shape) -> Resampling:
        height, width = images.height, images.width
        return Resampling(
            images.channels,
            picked(range(height), height),
            picked(reversed(range(width)), width),
        )


class RscaleLayer(_ResamplingLayer):
    """Makes square images smaller by a random factor and cuts a random square out of them.

    While training, all images of a minibatch share one draw. In tests the factor is maxScale, and
    the square is in the middle.
    """

    type_name = "rscale"
    title = "random scale layer"
    keys = (
        *_ResamplingLayer.keys,
        Key("maxScale", Float(min=1, max=2), "largest factor"),
        Key(
            "tgtSize",
            Int(min=0),
            "side of the square that is cut out; 0: that of the image divided by maxScale",
            default=0,
        ),
    )

    def resampling_of(self, images: Shape) -> Resampling:
        size, max_scale = images.height, self.values["maxScale"]
        if images.width != size:
            raise ShapeError(f"the images must be square; found {images}")
        smallest = int(size / max_scale)
        target = self.values["tgtSize"] or smallest
        if not max(1, smallest) <= target <= size:
            raise ShapeError(
                f"tgtSize must be between {max(1, smallest)}, the image's side divided by "
                f"maxScale, and {size}; found tgtSize={target}"
            )
        self.random = RandomScale(images.channels, size, target, max_scale)
        return self.random.fixed

    def resampling_in(self, mode: Mode) -> Resampling:
        if not mode.train:
            return self.resampling
        key = self.random_key()

        def drawn(clock: Clock) -> Resampling:
            return self.random.drawn(uniform(key(clock), 4).tolist())

        return for_each_run(drawn)
