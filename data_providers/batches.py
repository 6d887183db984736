"""The provider `cifar` (or `batches`): a folder of batches, in the original's format or in ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_providers.base import infer_shape
from data_providers.errors import DataError
from data_providers.formats import INDEX, PreparedStore
from data_providers.images import ImageProvider, ImageStore
from data_providers.pickled_batches import (
    META,
    find_batches,
    label_names_of,
    load_batch,
    pixel_batch,
    values_per_case,
)
from data_providers.pickles import load_pickle


class PickledStore:
    """Reads `batches.meta` and `data_batch_<n>` as in cifar-10-py-colmajor; an `ImageStore`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        meta = load_pickle(folder / META)
        self.label_names = label_names_of(meta, str(folder / META))
        mean = meta.get("data_mean")
        self._mean = mean if isinstance(mean, np.ndarray) and mean.dtype.kind in "fui" else None
        numbers = meta.get("num_vis") if self._mean is None else self._mean.size
        self.dimension = values_per_case(numbers)
        if not self.dimension:
            raise DataError(
                f"{folder / META}: expected data_mean, the mean image, or num_vis, its number of"
                " values; found neither"
            )
        self.shape = infer_shape(self.dimension)
        self.files = find_batches(folder)
        self.numbers = tuple(self.files)

    def mean(self) -> NDArray[np.float32]:
        if self._mean is None:
            raise DataError(
                f"{self.folder / META}: no data_mean, the mean image; give --scalar-mean, or"
                " prepare the data first"
            )
        return np.ascontiguousarray(self._mean, np.float32).reshape(-1, 1)

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        return pixel_batch(load_batch(self.files[number]), self.dimension, len(self.label_names))


class BatchesProvider(ImageProvider):
    """A folder of prepared batches, or the original's pickled cifar-10-py-colmajor."""

    def open_store(self) -> ImageStore:
        if (self.path / INDEX).exists():
            return PreparedStore(self.path)
        if (self.path / META).exists():
            return PickledStore(self.path)
        raise DataError(
            f"{self.path}: expected a folder with {INDEX} (prepared data) or {META} (the original's"
            " pickles), found neither"
        )


class CroppedProvider(BatchesProvider):
    """The same, cropped by --crop-border pixels (4) on each side, as version 1 of cuda-convnet."""

    understands = frozenset(BatchesProvider.understands - {"inner_size"} | {"crop_border"})

    def crop_side(self) -> int:
        border, side = self.options.crop_border, min(self.store.shape[1:])
        if 2 * border >= side:
            raise DataError(
                f"{self.path}: --crop-border {border} leaves nothing of images of {side} pixels"
            )
        return side - 2 * border
