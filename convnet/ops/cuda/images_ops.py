"""Resampling and colours of images: kernels/images.cu."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convnet.errors import ShapeError
from convnet.ops.cuda.launch import LANES, MAX_SIZE, REMEDY, TEAMS, Launcher, checked
from convnet.ops.cuda.packing import image_words, matrix_places, packed_matrices
from convnet.ops.roles import Array, In, OnDevice, Out
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
        self._prepare(images, [self._uploaded(words) for words in image_words(images)], acts)

    def _prepare(self, images: ByteImages, words: Sequence[Array], acts: Array) -> None:
        """As upload_images, with the images' `image_words` on the device."""
        N, rows, columns, _ = images.pixels.shape
        C, H, W = images.mean.shape
        if images.pixels.size >= MAX_SIZE:
            raise ShapeError(f"{images.pixels.size} bytes are too many for a kernel: {REMEDY}")
        pixels, places, mean, colours = words
        self._launch(
            "images",
            "prepare",
            (-(-N // LANES), -(-W * C // RUN), H),
            (LANES, TEAMS),
            *(pixels.view(np.uint8), places.view(np.int32), mean, colours),
            float(images.scale),
            checked("acts", acts, C, H, W, N),
            *(rows, columns, C, H, W, N),
        )

    def resample_fprop(self, g: Resampling, images: In, acts: Out) -> None:
        self._resample(g, 0, "images", images, "acts", acts, False)

    def resample_bprop(
        self, g: Resampling, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        self._resample(g, 1, "acts_grad", acts_grad, "images_grad", images_grad, add)

    def mix_channels(self, matrix: ChannelMatrix, images: In, acts: Out, add: bool = False) -> None:
        rows = np.array(matrix, np.float32)
        D, C = rows.shape
        numbers = images.size // C
        self._numbers(
            "images",
            "mix_channels",
            D * numbers,
            self._constant(rows),
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
        g: Resampling | OnDevice,
        direction: int,
        source_name: str,
        source: Array,
        target_name: str,
        target: Array,
        add: bool,
    ) -> None:
        """In the direction from images to acts, 0, or back, 1."""
        form = g.value if isinstance(g, OnDevice) else g
        numbers = g.numbers if isinstance(g, OnDevice) else self._constant(packed_matrices(g))
        N = source.shape[-1]
        shapes = form.images_shape, form.acts_shape
        (C, H, W), (_, P, Q) = shapes[direction], shapes[1 - direction]
        rows, columns = matrix_places(form)[2 * direction :][:2]
        self._rows(
            "images",
            "resample",
            C * P * Q,
            N,
            checked(source_name, source, C, H, W, N),
            numbers[rows],
            numbers[columns],
            checked(target_name, target, C, P, Q, N),
            *(add, H, W, P, Q),
        )
