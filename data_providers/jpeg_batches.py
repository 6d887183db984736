"""Batches of JPEGs: in the safe format, and in the pickles of cuda-convnet2.

batches.json                   as data_providers/formats.py has it, with "images": "jpeg"
mean.safetensors               mean: float32 (3*S*S, 1); pca_deviations: float32 (3,);
                               pca_directions: float32 (3, 3); all over the training batches
data_batch_<n>.safetensors     data: uint8, the JPEGs one after the other; offsets: int64
                               (cases + 1,), where each begins in data, and the end;
                               labels: int32, the labels of all cases one after the other;
                               label_offsets: int64 (cases + 1,), the same for them
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data_providers.base import Shape
from data_providers.errors import DataError
from data_providers.formats import JPEG, Store
from data_providers.pickled_batches import (
    META,
    find_batches,
    label_names_of,
    load_batch,
    values_per_case,
)
from data_providers.pickles import load_pickle


@dataclass(frozen=True)
class JpegBatch:
    """Cases: a JPEG each, and any number of labels 0 .. classes - 1, perhaps none."""

    jpegs: Sequence[bytes | memoryview]
    labels: Sequence[NDArray[np.integer]]

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The content of the batch's file in the safe format."""
        return {
            "data": np.frombuffer(b"".join(self.jpegs), np.uint8),
            "offsets": _offsets(self.jpegs),
            "labels": np.concatenate([np.zeros(0), *self.labels]).astype(np.int32),
            "label_offsets": _offsets(self.labels),
        }


def _offsets(items: Sequence[Any]) -> NDArray[np.int64]:
    return np.cumsum([0, *map(len, items)], dtype=np.int64)


@dataclass(frozen=True)
class ColourPca:
    """The principal components of the colours of the training pixels.

    deviations: (3,), standard deviations;   directions: (3, 3), unit vectors in the columns
    """

    deviations: NDArray[np.float32]
    directions: NDArray[np.float32]

    @classmethod
    def of(cls, sums: NDArray[np.int64], products: NDArray[np.int64], pixels: int) -> ColourPca:
        """From the sums (3,) of the colours of so many pixels and of their products (3, 3)."""
        mean = sums / pixels
        variances, directions = np.linalg.eigh(products / pixels - np.outer(mean, mean))
        # The sign of an eigenvector is arbitrary: here its largest component is positive.
        largest = np.abs(directions).argmax(axis=0)
        directions = directions * np.sign(directions[largest, range(3)])
        deviations = np.sqrt(np.maximum(variances, 0))
        return cls(deviations.astype(np.float32), directions.astype(np.float32))

    @classmethod
    def of_pictures(cls, pictures: NDArray[np.uint8]) -> ColourPca:
        """From pictures (cases, height, width, 3)."""
        sums = pictures.sum(axis=(0, 1, 2), dtype=np.int64)
        products = sum(map(colour_products, pictures), np.zeros((3, 3), np.int64))
        return cls.of(sums, products, pictures.size // 3)

    def noise(self, scale: float, cases: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Random changes of colour, to be added to each pixel of a case: (cases, 3).

        They are scale * sum_k z_k d_k v_k, with z_k standard normal, and d_k and v_k the standard
        deviations and directions.
        """
        z = rng.standard_normal((3, cases), np.float32)
        noise = self.directions @ (self.deviations[:, None] * z)
        return np.ascontiguousarray((scale * noise).T, np.float32)


def colour_products(picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The products of the colours of each pixel of (height, width, 3), summed up: (3, 3)."""
    colours = picture.reshape(-1, 3).astype(np.float64)  # exact: these are whole numbers
    return (colours.T @ colours).astype(np.int64)


class JpegSource(Protocol):
    """Numbered batches of JPEGs whose shorter side is that of `shape`."""

    shape: Shape
    label_names: tuple[str, ...]
    numbers: tuple[int, ...]

    def mean(self) -> NDArray[np.float32]:
        """The mean training image, (3 * S * S, 1), 0..255."""
        ...

    def colour_pca(self) -> ColourPca: ...

    def read(self, number: int) -> JpegBatch: ...


class JpegStore(Store):
    """Reads JPEGs in the safe format; a `JpegSource`."""

    images = JPEG

    def colour_pca(self) -> ColourPca:
        deviations = self.mean_tensor("pca_deviations", (3,))
        return ColourPca(deviations, self.mean_tensor("pca_directions", (3, 3)))

    def read(self, number: int) -> JpegBatch:
        entry = self.index.batches[number]
        path = str(self.folder / entry.file)
        tensors = self.tensors(entry)
        jpegs = _slices(path, tensors, "data", "offsets", np.uint8, entry.cases)
        labels = _slices(path, tensors, "labels", "label_offsets", np.int32, entry.cases)
        return check_labels(path, [jpeg.data for jpeg in jpegs], labels, len(self.label_names))


def _slices(
    path: str, tensors: dict[str, NDArray[Any]], data: str, offsets: str, dtype: Any, cases: int
) -> list[NDArray[Any]]:
    """A tensor cut at the places that another one tells."""
    values, places = tensors.get(data), tensors.get(offsets)
    if values is None or values.dtype != dtype or values.ndim != 1:
        raise DataError(f"{path}: expected {data} as {np.dtype(dtype)} with one dimension")
    if places is None or places.dtype != np.int64 or places.shape != (cases + 1,):
        raise DataError(f"{path}: expected {offsets} as int64 ({cases + 1},)")
    if places[0] or places[-1] != values.size or (np.diff(places) < 0).any():
        raise DataError(f"{path}: {offsets} must rise from 0 to {values.size}, the end of {data}")
    return [values[a:b] for a, b in pairwise(places.tolist())]


class PickledJpegs:
    """Reads the batches that make-data.py of cuda-convnet2 wrote; a `JpegSource`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where = str(folder / META)
        self.meta = load_pickle(folder / META)
        self.label_names = label_names_of(self.meta, self.where)
        self.files = find_batches(folder)
        self.numbers = tuple(self.files)
        found = self.meta.get("num_vis", np.size(self.meta.get("data_mean", ())))
        size = values_per_case(found)
        side = math.isqrt(size // 3)
        if not side or 3 * side * side != size:
            raise DataError(
                f"{self.where}: expected num_vis, the 3 * S * S values of an image; found {found!r}"
            )
        self.shape = (3, side, side)
        self.label_offset = _whole_numbers(self.where, self.meta.get("label_offset", 0))

    def mean(self) -> NDArray[np.float32]:
        return self._floats("the mean image data_mean", self.meta.get("data_mean"), (-1, 1))

    def colour_pca(self) -> ColourPca:
        pca = self.meta.get("color_pca")
        deviations, directions = pca if isinstance(pca, tuple | list) and len(pca) == 2 else (0, 0)
        return ColourPca(
            self._floats("color_pca, for --color-noise,", deviations, (3,)),
            self._floats("color_pca, for --color-noise,", directions, (3, 3)),
        )

    def _floats(self, what: str, values: object, shape: tuple[int, ...]) -> NDArray[np.float32]:
        expected = tuple(math.prod(self.shape) if n < 0 else n for n in shape)
        numbers = values if isinstance(values, np.ndarray) else np.zeros(0)
        if numbers.dtype.kind not in "fui" or numbers.size != math.prod(expected):
            raise DataError(f"{self.where}: expected {what} as numbers {expected}, found none")
        return np.ascontiguousarray(numbers, np.float32).reshape(expected)

    def read(self, number: int) -> JpegBatch:
        jpegs: list[bytes | memoryview] = []
        labels: list[NDArray[np.integer]] = []
        for where, raw in load_batch(self.files[number]):
            data, listed = raw["data"], raw["labels"]
            if not isinstance(data, list) or not isinstance(listed, list):
                raise DataError(
                    f"{where}: expected data as a list of JPEGs and labels as a list of lists"
                )
            # Python 2 wrote the bytes as strings, which arrive here decoded as latin-1.
            jpegs += [j.encode("latin1") if isinstance(j, str) else j for j in data]
            labels += [_whole_numbers(where, case) + self.label_offset for case in listed]
        where = str(self.files[number][0])
        if not all(isinstance(jpeg, bytes) for jpeg in jpegs):
            raise DataError(f"{where}: expected data as a list of JPEGs, as strings of bytes")
        return check_labels(where, jpegs, labels, len(self.label_names))


def _whole_numbers(where: str, labels: object) -> NDArray[np.integer]:
    """The labels of a case: a list of any length, or a single number."""
    try:
        numbers = np.asarray(labels).reshape(-1)
        return numbers.astype(np.int64, casting="safe" if numbers.size else "unsafe")
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: expected labels as a list of whole numbers each") from error


def check_labels(
    where: str,
    jpegs: Sequence[bytes | memoryview],
    labels: Sequence[NDArray[np.integer]],
    classes: int,
) -> JpegBatch:
    """Raises: DataError unless there is a case, each with a list of labels 0 .. classes - 1."""
    if not jpegs or len(jpegs) != len(labels):
        raise DataError(
            f"{where}: expected as many lists of labels as JPEGs, one at least; found"
            f" {len(labels)} and {len(jpegs)}"
        )
    for case, its_labels in enumerate(labels):
        wrong = its_labels[(its_labels < 0) | (its_labels >= classes)]
        if wrong.size:
            raise DataError(f"{where}: label {wrong[0]} of case {case} is outside 0..{classes - 1}")
    return JpegBatch(jpegs, labels)
