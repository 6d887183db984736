"""Images stored as bytes: mean subtraction, crops, mirrors and views, whatever the file format."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data_providers.base import DataProvider, Shape
from data_providers.byte_images import ByteImages, Matrix
from data_providers.errors import DataError
from data_providers.pictures import grey, read_images


class ImageStore(Protocol):
    """Numbered batches of images in some file format."""

    shape: Shape
    label_names: tuple[str, ...]
    numbers: tuple[int, ...]

    def mean(self) -> NDArray[np.float32]:
        """The mean image of the training data, (channels * height * width, 1), 0..255."""
        ...

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Pixels (channels * height * width, cases), 0..255, and labels (cases,), both checked."""
        ...


class ImageProvider(DataProvider):
    """Gives images minus the mean image, and their labels.

    With --inner-size, training images are cropped at a uniformly random place and mirrored with
    probability 1/2, test images at the centre. With --multiview-test a test batch holds ten views:
    the crops top left, top right, centre, bottom left, bottom right, then the same mirrored. What
    is subtracted is always the centre crop of the mean image, or the scalar mean if one is given.
    """

    understands = frozenset({"inner_size", "multiview_test", "mirror", "scalar_mean"})

    @abstractmethod
    def open_store(self) -> ImageStore:
        """The images at `self.path`."""

    def open(self) -> Collection[int]:
        self.store = self.open_store()
        channels, height, width = self.store.shape
        side = self.crop_side()
        self.crops = side > 0
        if side > min(height, width):
            raise DataError(
                f"{self.path}: --inner-size {side} does not fit images of {height}x{width} pixels"
            )
        if self.options.multiview_test and not self.crops:
            raise DataError("--multiview-test 1 needs --inner-size: the views are crops")
        self.inner = (side, side) if self.crops else (height, width)
        self.shapes = ((channels, *self.inner), (1, 1, 1))
        self.label_names = self.store.label_names
        self.num_views = 10 if self.test and self.options.multiview_test else 1
        self.mean = self._mean_crop()
        return self.store.numbers

    def crop_side(self) -> int:
        """The side of the crops in pixels; 0 = whole images."""
        return self.options.inner_size

    def load(self, number: int, epoch: int) -> list[Matrix]:
        images, labels = self._read(number)
        if self.crops and not self.test:
            return self._matrices(images, self._random_places(number, epoch, len(images)), labels)
        views = self.num_views
        places = np.repeat(self._places(range(views)), len(images), axis=0)
        return self._matrices(np.tile(images, (views, 1, 1, 1)), places, np.tile(labels, views))

    def load_view(self, number: int, view: int) -> list[Matrix]:
        images, labels = self._read(number)
        places = np.repeat(self._places(range(view, view + 1)), len(images), axis=0)
        return self._matrices(images, places, labels)

    def prepare(self, files: Sequence[Path]) -> ByteImages:
        channels, height, width = self.store.shape
        if channels not in (1, 3):
            raise DataError(f"{self.path}: expected images of 1 or 3 channels, found {channels}")
        scaled = self.options.image_size > 0
        images = read_images(files, (width, height), scaled=scaled, like=self.path)
        if channels == 1:
            images = grey(images)
        down, right = self._margins()
        centre = np.array([[down // 2, right // 2, 0]], np.int32)
        return self._byte_images(images, np.repeat(centre, len(files), axis=0))

    def _read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Images (cases, height, width, channels) and their labels (cases,)."""
        pixels, labels = self.store.read(number)
        planes = pixels.reshape(*self.store.shape, -1)
        return np.ascontiguousarray(planes.transpose(3, 1, 2, 0)), labels

    def _matrices(
        self, images: NDArray[np.uint8], places: NDArray[np.int32], labels: NDArray[np.int32]
    ) -> list[Matrix]:
        return [
            self._byte_images(images, places),
            labels.reshape(1, -1).astype(np.float32),
        ]

    def _byte_images(self, images: NDArray[np.uint8], places: NDArray[np.int32]) -> ByteImages:
        colours = np.zeros((len(images), images.shape[-1]), np.float32)
        return ByteImages(images, places, self.mean, colours)

    def _mean_crop(self) -> NDArray[np.float32]:
        if self.options.scalar_mean >= 0:
            return np.full(self.shapes[0], self.options.scalar_mean, np.float32)
        (top, left), (height, width) = (margin // 2 for margin in self._margins()), self.inner
        mean = self.store.mean().reshape(self.store.shape)
        return np.ascontiguousarray(mean[:, top : top + height, left : left + width])

    def _margins(self) -> tuple[int, int]:
        """How far a crop can move down and to the right."""
        (_, height, width), (inner_height, inner_width) = self.store.shape, self.inner
        return height - inner_height, width - inner_width

    def _places(self, views: range) -> NDArray[np.int32]:
        """Where these views lie, see ByteImages; the only one is the centre."""
        down, right = self._margins()
        every = view_places(down, right) if self.num_views > 1 else [(down // 2, right // 2, False)]
        return np.array([every[view] for view in views], np.int32)

    def _random_places(self, number: int, epoch: int, cases: int) -> NDArray[np.int32]:
        rng = self.rng(number, epoch)
        y, x = (rng.integers(0, margin, cases, endpoint=True) for margin in self._margins())
        mirrored = rng.random(cases) < 0.5 if self.options.mirror else np.zeros(cases, bool)
        return np.column_stack([y, x, mirrored]).astype(np.int32)


def view_places(down: int, right: int) -> list[tuple[int, int, bool]]:
    """Where the ten views lie in an image, if a crop can move so far, and which are mirrored."""
    places = [(0, 0), (0, right), (down // 2, right // 2), (down, 0), (down, right)]
    return [(y, x, mirrored) for mirrored in (False, True) for y, x in places]


def mean_image(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean over cases: (dimension, cases) to (dimension, 1)."""
    mean: NDArray[np.float64] = pixels.mean(axis=1, keepdims=True, dtype=np.float64)
    return mean.astype(np.float32)


def check_batch(
    where: str, pixels: object, labels: NDArray[np.integer], dimension: int, classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """What every store checks of a batch that it read from a file.

    Raises: DataError unless `pixels` is uint8 (dimension, cases) and `labels` holds one whole
    number in 0 .. classes - 1 per case, for at least one case.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
        found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else "none"
        raise DataError(f"{where}: expected images as uint8 ({dimension}, cases), found {found}")
    if pixels.shape[0] != dimension:
        raise DataError(
            f"{where}: expected images of {dimension} values (channels x height x width), one per"
            f" column, found {pixels.shape[0]}"
        )
    if labels.shape != (pixels.shape[1],) or not labels.size:
        raise DataError(
            f"{where}: expected one label for each of {pixels.shape[1]} images (one at least),"
            f" found {labels.size}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        case = int(np.argmax((labels < 0) | (labels >= classes)))
        raise DataError(f"{where}: label {labels[case]} of case {case} is outside 0..{classes - 1}")
    return pixels, labels.astype(np.int32)
