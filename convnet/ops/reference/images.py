"""Resampling and colours of images in numpy."""

from __future__ import annotations

import numpy as np

from convnet.ops.reference.common import along, store
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.images import (
    LAB_BEND,
    LAB_POWER,
    LAB_SLOPE,
    LAB_START,
    ByteImages,
    ChannelMatrix,
    ImageOps,
)
from convnet.resampling import Resampling


class ReferenceImageOps(ImageOps):
    """This part of ReferenceOps."""

    def upload_images(self, images: ByteImages, acts: Out) -> None:
        _, height, width = images.mean.shape
        target = acts.reshape(*images.mean.shape, -1)
        for n, (top, left, mirrored) in enumerate(images.places):
            crop = images.pixels[n, top : top + height, left : left + width]
            pixels = (crop[:, ::-1] if mirrored else crop).transpose(2, 0, 1)
            colour = images.colours[n].reshape(-1, 1, 1)
            target[..., n] = ((pixels - images.mean) + colour) * np.float32(images.scale)

    def resample_fprop(self, g: Resampling, images: In, acts: Out) -> None:
        store(acts, _resampled(g, images))

    def resample_bprop(
        self, g: Resampling, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        store(images_grad, _resampled(g.transposed, acts_grad), add)

    def mix_channels(self, matrix: ChannelMatrix, images: In, acts: Out, add: bool = False) -> None:
        store(acts, along(0, np.array(matrix, images.dtype), images), add)

    def lab_curve_fprop(self, offset: float, inputs: In, acts: Out) -> None:
        # What is below the bend may be negative, and has no power.
        power = np.maximum(inputs, LAB_BEND) ** LAB_POWER
        curve = np.where(inputs > LAB_BEND, power, LAB_SLOPE * inputs + LAB_START)
        store(acts, curve - offset)

    def lab_curve_bprop(
        self, inputs: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        steep = LAB_POWER * np.maximum(inputs, LAB_BEND) ** (LAB_POWER - 1)
        slope = np.where(inputs > LAB_BEND, steep, LAB_SLOPE)
        store(inputs_grad, acts_grad * slope, add)


def _resampled(g: Resampling, images: Array) -> Array:
    rows, columns = (matrix.astype(images.dtype) for matrix in (g.rows, g.columns))
    return along(2, columns, along(1, rows, images))
