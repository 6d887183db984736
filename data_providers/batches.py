"""The provider `cifar` (or `batches`): a folder of batches, in the original's format or in ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_providers.base import infer_shape
from data_providers.errors import DataError
from data_providers.formats import INDEX, PreparedStore
from data_providers.images import ImageProvider, ImageStore, check_batch
from data_providers.pickles import load_pickle

META = "batches.meta"
PREFIX = "data_batch_"


class PickledStore:
    """Reads `batches.meta` and `data_batch_<n>` as in cifar-10-py-colmajor; an `ImageStore`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        meta = load_pickle(folder / META)
        self.label_names = pickled_label_names(meta, str(folder / META))
        mean = meta.get("data_mean")
        if not isinstance(mean, np.ndarray) or mean.dtype.kind not in "fui" or not mean.size:
            raise DataError(
                f"{folder / META}: no data_mean, the mean image; this is not the py-colmajor"
                " archive, so prepare the data first"
            )
        self._mean = np.ascontiguousarray(mean, np.float32).reshape(-1, 1)
        self.shape = infer_shape(mean.size)
        suffixes = [path.name.removeprefix(PREFIX) for path in folder.glob(f"{PREFIX}*")]
        self.numbers = tuple(int(suffix) for suffix in suffixes if suffix.isdecimal())

    def mean(self) -> NDArray[np.float32]:
        return self._mean

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        path = self.folder / f"{PREFIX}{number}"
        return pickled_batch(
            load_pickle(path), str(path), self._mean.size, len(self.label_names), rows=False
        )


def pickled_label_names(meta: Any, where: str) -> tuple[str, ...]:
    """The class names in the content of a `batches.meta`.

    Raises: DataError if there are none.
    """
    names = meta.get("label_names") if isinstance(meta, dict) else None
    if not isinstance(names, list) or not names:
        raise DataError(f"{where}: expected a dict with label_names, a list of class names")
    return tuple(map(str, names))


def pickled_batch(
    raw: Any, where: str, dimension: int, classes: int, rows: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The images (dimension, cases) and labels in the content of a `data_batch_<n>`.

    Args: rows: whether the file has a row per case, as the `python` archive of CIFAR-10 does.
    Raises: DataError for anything but uint8 images of that dimension and labels of those classes.
    """
    if not isinstance(raw, dict) or not {"data", "labels"} <= raw.keys():
        raise DataError(f"{where}: expected a dict with data and labels")
    try:
        labels = np.asarray(raw["labels"]).reshape(-1)
        if labels.dtype.kind not in "iu":
            raise ValueError(labels.dtype)
    except ValueError as error:
        raise DataError(f"{where}: expected labels as whole numbers, one per image") from error
    pixels = raw["data"]
    if rows and isinstance(pixels, np.ndarray):
        pixels = np.ascontiguousarray(pixels.T)
    return check_batch(where, pixels, labels, dimension, classes)


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
