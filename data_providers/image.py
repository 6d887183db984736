"""The provider `image`: batches of JPEGs with any number of labels each, as of ImageNet."""

from __future__ import annotations

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from data_providers.base import DataProvider
from data_providers.byte_images import ByteImages, Matrix
from data_providers.errors import DataError
from data_providers.formats import INDEX
from data_providers.images import view_places
from data_providers.jpeg_batches import JpegBatch, JpegSource, JpegStore, PickledJpegs
from data_providers.jpegs import decode
from data_providers.pickled_batches import META


class JpegProvider(DataProvider):
    """JPEGs (of `make-data`, or cuda-convnet2's pickles): pixels, a label, all labels.

    Matrix 0 holds the pixels, 1 one label of each image, drawn from its list, -1 if that is empty;
    2 a row per class, 1 where the image has that label and 0 elsewhere.

    With --inner-size a training image is cropped at a uniformly random place, a test image at its
    centre; --multiview-test gives ten views as the provider `batches` does. Training images are
    mirrored with probability 1/2. What is subtracted is the centre crop of the mean image, or the
    scalar mean. --color-noise a adds a * n to each pixel of a training image, where
    n = sum_k z_k d_k v_k with z_k standard normal, d_k and v_k the standard deviations and
    directions of the training pixels' colours, and then divides by 1 + a.
    """

    understands = frozenset(
        {"inner_size", "multiview_test", "mirror", "scalar_mean", "color_noise"}
    )

    def open(self) -> Collection[int]:
        self.store = self._open_store()
        self.side = self.store.shape[1]
        self.inner = self.options.inner_size or self.side
        if self.inner > self.side:
            raise DataError(
                f"{self.path}: --inner-size {self.inner} does not fit images of"
                f" {self.side}x{self.side} pixels"
            )
        if self.options.multiview_test and not self.options.inner_size:
            raise DataError("--multiview-test 1 needs --inner-size: the views are crops")
        self.label_names = self.store.label_names
        self.shapes = (
            (3, self.inner, self.inner),
            (1, 1, 1),
            (len(self.label_names), 1, 1),
        )
        self.num_views = 10 if self.test and self.options.multiview_test else 1
        self.mean = self._mean_crop()
        self.noise = 0.0 if self.test else self.options.color_noise
        if self.noise:
            self.pca = self.store.colour_pca()
        return self.store.numbers

    def _open_store(self) -> JpegSource:
        if (self.path / INDEX).exists():
            return JpegStore(self.path)
        if (self.path / META).exists():
            return PickledJpegs(self.path)
        raise DataError(
            f"{self.path}: expected a folder with {INDEX} (of make-data) or {META} (the original's"
            " pickles), found neither"
        )

    def _mean_crop(self) -> NDArray[np.float32]:
        if self.options.scalar_mean >= 0:
            return np.full(self.shapes[0], self.options.scalar_mean, np.float32)
        margin = (self.side - self.inner) // 2
        inside = slice(margin, margin + self.inner)
        return np.ascontiguousarray(self.store.mean().reshape(self.store.shape)[:, inside, inside])

    def load(self, number: int, epoch: int) -> list[Matrix]:
        return self._load(number, epoch, range(self.num_views))

    def load_view(self, number: int, view: int) -> list[Matrix]:
        return self._load(number, 1, range(view, view + 1))

    def _load(self, number: int, epoch: int, views: range) -> list[Matrix]:
        batch = self.store.read(number)
        rng = self.rng(number, epoch)
        cases = len(batch.jpegs)
        labels, all_labels = self._labels(batch, rng)
        # Drawn for all images at once, so that they do not depend on which thread comes when.
        places = rng.random((cases, 2))
        mirrored = rng.random(cases) < 0.5
        noise = self._colour_noise(cases, rng)
        pixels = np.empty((len(views), cases, self.inner, self.inner, 3), np.uint8)
        # A crop is cut out as its image is decoded; what is left to do is mirroring.
        crops = np.zeros((len(views), cases, 3), np.int32)

        def fill(case: int) -> None:
            image = self._decode(batch, number, case)
            found = self._crops(image, places[case], bool(mirrored[case]), views)
            for i, (y, x, turned) in enumerate(found):
                pixels[i, case] = image[y : y + self.inner, x : x + self.inner]
                crops[i, case, 2] = turned

        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode") as pool:
            for _ in pool.map(fill, range(cases)):
                pass
        return [
            ByteImages(
                pixels.reshape(-1, *pixels.shape[2:]),
                crops.reshape(-1, 3),
                self.mean,
                np.tile(noise, (len(views), 1)),
                1 / (1 + self.noise),
            ),
            np.tile(labels, len(views)).reshape(1, -1),
            np.tile(all_labels, len(views)),
        ]

    def _labels(
        self, batch: JpegBatch, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One label of each case, (cases,), and all of them, (classes, cases)."""
        drawn = rng.random(len(batch.labels))
        one = [
            y[int(u * len(y))] if len(y) else -1 for y, u in zip(batch.labels, drawn, strict=True)
        ]
        every = np.zeros((len(self.label_names), len(batch.labels)), np.float32)
        for case, labels in enumerate(batch.labels):
            every[labels, case] = 1
        return np.array(one, np.float32), every

    def _colour_noise(self, cases: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """What is added to each channel of each case, (cases, 3)."""
        if not self.noise:
            return np.zeros((cases, 3), np.float32)
        return self.pca.noise(self.noise, cases, rng)

    def _decode(self, batch: JpegBatch, number: int, case: int) -> NDArray[np.uint8]:
        try:
            return decode(batch.jpegs[case], self.side)
        except ValueError as error:
            raise DataError(f"{self.path}: batch {number}, image {case}: {error}") from error

    def _crops(
        self, image: NDArray[np.uint8], place: NDArray[np.float64], mirrored: bool, views: range
    ) -> list[tuple[int, int, bool]]:
        """Where these views of an image (height, width, 3) begin, and whether they are mirrored.

        Args: place: in training, how far down and to the right the crop is, as parts of 1.
        """
        down, right = image.shape[0] - self.inner, image.shape[1] - self.inner
        if self.num_views > 1:
            ten = view_places(down, right)
            return [ten[view] for view in views]
        if self.test:
            return [(down // 2, right // 2, False)]
        y, x = int(place[0] * (down + 1)), int(place[1] * (right + 1))
        return [(y, x, mirrored and self.options.mirror)]
