"""Resampling and colours of images: kernels/images.cu."""

from __future__ import annotations

import numpy as np

from convnet.ops.cuda.launch import LANES, TEAMS, Launcher, checked
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

RUN = 128  # bytes of an image's row that a block prepares, as in the kernels' file


class CudaImageOps(Launcher, ImageOps):
    """This part of CudaOps."""

    def upload_images(self, images: ByteImages, acts: Out) -> None:
        N, rows, columns, _ = images.pixels.shape
        C, H, W = images.mean.shape
        self._launch(
            "images",
            "prepare",
            (-(-N // LANES), -(-W * C // RUN), H),
            (LANES, TEAMS),
            *map(self._uploaded, (images.pixels, images.places, images.mean, images.colours)),
            float(images.scale),
            checked("acts", acts, C, H, W, N),
            *(rows, columns, C, H, W, N),
        )

    def resample_fprop(self, g: Resampling, images: In, acts: Out) -> None:
        self._resample(g, "images", images, "acts", acts, False)

    def resample_bprop(
        self, g: Resampling, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        self._resample(g.transposed, "acts_grad", acts_grad, "images_grad", images_grad, add)

    def mix_channels(self, matrix: ChannelMatrix, images: In, acts: Out, add: bool = False) -> None:
        rows = np.array(matrix, np.float32)
        D, C = rows.shape
        numbers = images.size // C
        self._numbers(
            "images",
            "mix_channels",
            D * numbers,
            self._uploaded(rows),
            checked("images", images, C, numbers),
            checked("acts", acts, D, numbers),
            *(add, C, numbers),
        )

    def lab_curve_fprop(self, offset: float, inputs: In, acts: Out) -> None:
        size = inputs.size
        self._numbers(
            "images",
            "lab_curve_fprop",
            size,
            checked("inputs", inputs, size),
            float(offset),
            *(LAB_BEND, LAB_POWER, LAB_SLOPE, LAB_START),
            checked("acts", acts, size),
        )

    def lab_curve_bprop(
        self, inputs: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        size = inputs.size
        self._numbers(
            "images",
            "lab_curve_bprop",
            size,
            checked("inputs", inputs, size),
            *(LAB_BEND, LAB_POWER, LAB_SLOPE),
            checked("acts_grad", acts_grad, size),
            checked("inputs_grad", inputs_grad, size),
            add,
        )

    def _resample(
        self,
        g: Resampling,
        source_name: str,
        source: Array,
        target_name: str,
        target: Array,
        add: bool,
    ) -> None:
        N = source.shape[-1]
        (C, H, W), (_, P, Q) = g.images_shape, g.acts_shape
        self._rows(
            "images",
            "resample",
            C * P * Q,
            N,
            checked(source_name, source, C, H, W, N),
            self._uploaded(_with_spans(g.rows)),
            self._uploaded(_with_spans(g.columns)),
            checked(target_name, target, C, P, Q, N),
            *(add, H, W, P, Q),
        )


def _with_spans(matrix: np.ndarray) -> np.ndarray:
    """Rows with the first and last + 1 of their numbers that are not zero before them."""
    used = matrix != 0
    first = used.argmax(axis=1)
    end = np.where(used.any(axis=1), matrix.shape[1] - used[:, ::-1].argmax(axis=1), 0)
    return np.column_stack([first, end, matrix]).astype(np.float32)
