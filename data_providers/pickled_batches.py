"""The folders of pickled batches of cuda-convnet: batches.meta, and data_batch_<n> in parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from data_providers.errors import DataError
from data_providers.images import check_batch
from data_providers.pickles import load_pickle

META = "batches.meta"
_NAME = re.compile(r"data_batch_(\d+)(?:\.(\d+))?")

_Number = TypeVar("_Number", bound=np.generic)
#: The content of a part of a batch, and what to call it in errors.
Part = tuple[str, dict[str, Any]]


def find_batches(folder: Path) -> dict[int, list[Path]]:
    """The files of each batch, by its number.

    A batch is a file data_batch_<n>, or files data_batch_<n>.1, .2, ... (version 1), or a folder
    data_batch_<n> of files (version 2). The parts are in the order of the numbers in their names.
    """
    whole: dict[int, list[Path]] = {}
    parts: dict[int, list[Path]] = {}
    for path in sorted(folder.iterdir(), key=_natural):
        match = _NAME.fullmatch(path.name)
        if match and match[2]:
            parts.setdefault(int(match[1]), []).append(path)
        elif match:
            whole[int(match[1])] = _files(path) if path.is_dir() else [path]
    return {number: files for number, files in (whole | parts).items() if files}


def _files(folder: Path) -> list[Path]:
    return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """A key to sort names by, with the numbers in them in order of size."""
    words = re.findall(r"\d+|\D+", path.name)
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]


def load_batch(files: Sequence[Path]) -> list[Part]:
    """The parts of a batch.  Raises: DataError if one is no dict with data and labels."""
    return [(str(path), check_part(load_pickle(path), str(path))) for path in files]


def check_part(raw: Any, where: str) -> dict[str, Any]:
    """Raises: DataError if `raw` is no dict with data and labels."""
    if not isinstance(raw, dict) or not {"data", "labels"} <= raw.keys():
        raise DataError(f"{where}: expected a dict with data and labels")
    return raw


def label_names_of(meta: Any, where: str) -> tuple[str, ...]:
    """The class names in the content of a `batches.meta`.

    Raises: DataError if there are none.
    """
    names = meta.get("label_names") if isinstance(meta, dict) else None
    if not isinstance(names, list) or not names:
        raise DataError(f"{where}: expected a dict with label_names, a list of class names")
    return tuple(map(str, names))


def values_per_case(number: Any) -> int:
    """The entry num_vis of a `batches.meta`, or 0 if it is no whole number above 0."""
    return int(number) if isinstance(number, int | np.integer) and number > 0 else 0


def pixel_batch(
    parts: Sequence[Part], dimension: int, classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The images (dimension, cases) and labels of a batch, its parts joined.

    The files may have a column per case, or a row as the `python` archive of CIFAR-10.

    Raises: DataError for anything but uint8 images of that dimension and labels of those classes.
    """
    checked = [_pixel_part(where, raw, dimension, classes) for where, raw in parts]
    return (
        np.concatenate([pixels for pixels, _ in checked], axis=1),
        np.concatenate([labels for _, labels in checked]),
    )


def _pixel_part(
    where: str, raw: dict[str, Any], dimension: int, classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    try:
        labels = np.asarray(raw["labels"]).reshape(-1)
        if labels.dtype.kind not in "iu":
            raise ValueError(labels.dtype)
    except ValueError as error:
        raise DataError(f"{where}: expected labels as whole numbers, one per image") from error
    pixels = raw["data"]
    if isinstance(pixels, np.ndarray) and pixels.ndim == 2:
        pixels = case_columns(pixels, dimension)
    return check_batch(where, pixels, labels, dimension, classes)


def case_columns(data: NDArray[_Number], dimension: int) -> NDArray[_Number]:
    """A matrix of cases of this dimension with a column per case, where it has a row per case."""
    rows = data.shape[1] == dimension != data.shape[0]
    return np.ascontiguousarray(data.T) if rows else data
