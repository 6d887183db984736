"""Resampling and colours of images: checks arrays, calls the CPU kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from convnet.ops.cpu import images as kernels
from convnet.ops.cpu.arrays import checked
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.images import ByteImages, ChannelMatrix, ImageOps
from convnet.resampling import Resampling

_f32: Any = np.float32


class CpuImageOps(ImageOps):
    """This part of CpuOps."""

    def upload_images(self, images: ByteImages, acts: Out) -> None:
        kernels.prepare(
            images.pixels,
            images.places,
            images.mean,
            images.colours,
            _f32(images.scale),
            checked("acts", acts, *images.mean.shape, len(images.pixels)),
        )

    def resample_fprop(self, g: Resampling, images: In, acts: Out) -> None:
        _resample(g, "images", images, "acts", acts, False)

    def resample_bprop(
        self, g: Resampling, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        _resample(g.transposed, "acts_grad", acts_grad, "images_grad", images_grad, add)

    def mix_channels(self, matrix: ChannelMatrix, images: In, acts: Out, add: bool = False) -> None:
        rows = np.array(matrix, np.float32)
        D, C = rows.shape
        numbers = images.size // C
        kernels.mix_channels(
            rows, checked("images", images, C, numbers), checked("acts", acts, D, numbers), add
        )

    def lab_curve_fprop(self, offset: float, inputs: In, acts: Out) -> None:
        size = inputs.size
        kernels.lab_curve_fprop(
            checked("inputs", inputs, size), _f32(offset), checked("acts", acts, size)
        )

    def lab_curve_bprop(
        self, inputs: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        size = inputs.size
        kernels.lab_curve_bprop(
            checked("inputs", inputs, size),
            checked("acts_grad", acts_grad, size),
            checked("inputs_grad", inputs_grad, size),
            add,
        )


def _resample(
    g: Resampling, source_name: str, source: Array, target_name: str, target: Array, add: bool
) -> None:
    N = source.shape[-1]
    kernels.resample(
        checked(source_name, source, *g.images_shape, N),
        g.rows.astype(np.float32, order="C"),
        _spans(g.rows),
        g.columns.astype(np.float32, order="C"),
        _spans(g.columns),
        checked(target_name, target, *g.acts_shape, N),
        add,
    )


def _spans(matrix: np.ndarray) -> np.ndarray:
    """First and last + 1 of the numbers in each row that are not zero: int64 (rows, 2)."""
    used = matrix != 0
    first = used.argmax(axis=1)
    last = matrix.shape[1] - used[:, ::-1].argmax(axis=1)
    return np.where(used.any(axis=1), [first, last], 0).T.copy()
