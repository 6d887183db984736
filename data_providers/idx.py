"""The idx files of MNIST and Fashion-MNIST, plain or gzipped: reading them, and the provider."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_providers.base import Shape
from data_providers.errors import DataError
from data_providers.images import ImageProvider, check_batch, mean_image

UNSIGNED_BYTE = 8

Labelled = tuple[NDArray[np.uint8], NDArray[np.int32]]


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An idx file of unsigned bytes with that many dimensions.

    The format: two zero bytes, the type (8 = unsigned byte), the number of dimensions, each size as
    a big-endian 32-bit number, then the values, the last dimension running fastest.

    Raises: DataError if the file cannot be read or is not of this form, or its length is wrong.
    """
    header_size = 4 + 4 * dimensions
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(header_size)
            if header[:4] != bytes([0, 0, UNSIGNED_BYTE, dimensions]) or len(header) < header_size:
                raise DataError(f"{path}: not an idx file of bytes with {dimensions} dimensions")
            sizes = np.frombuffer(header, ">u4", offset=4).tolist()
            expected = math.prod(sizes)
            # One byte too many is enough to see that there are too many.
            values = file.read(expected + 1)
    except (OSError, EOFError, zlib.error, MemoryError, OverflowError) as error:
        raise DataError(f"{path}: cannot read it: {error}") from error
    if len(values) != expected:
        found = "more" if len(values) > expected else str(len(values))
        raise DataError(f"{path}: expected {expected} values after the header, found {found}")
    return np.frombuffer(values, np.uint8).reshape(sizes)


def read_labelled(folder: Path, part: str) -> tuple[Shape, Labelled]:
    """The images and labels of a part, `train` or `t10k`, of the data set in `folder`.

    Returns: the shape (1, height, width), and pixels (height * width, cases) with labels (cases,).
    """
    images = read_idx(_find(folder, f"{part}-images"), 3)
    labels_path = _find(folder, f"{part}-labels")
    cases, height, width = images.shape
    pixels = np.ascontiguousarray(images.reshape(cases, -1).T)
    labels = read_idx(labels_path, 1)
    checked = check_batch(str(labels_path), pixels, labels, height * width, classes=256)
    return (1, height, width), checked


def _find(folder: Path, start: str) -> Path:
    # Both train-images-idx3-ubyte and train-images.idx3-ubyte are in use.
    found = sorted(folder.glob(f"{start}*ubyte*"))
    if not found:
        raise DataError(f"{folder}: expected a file {start}-*-ubyte, plain or .gz")
    return found[0]


class IdxStore:
    """Cuts both parts into batches; test batches continue the numbering. An `ImageStore`.

    train, test: pixels (height * width, cases) and labels (cases,) of all images
    """

    def __init__(self, folder: Path, batch_size: int = 10000) -> None:
        self.shape, self.train = read_labelled(folder, "train")
        test_shape, self.test = read_labelled(folder, "t10k")
        if test_shape != self.shape:
            raise DataError(
                f"{folder}: expected test images of {self.shape} as in training, found {test_shape}"
            )
        classes = 1 + max(int(labels.max()) for _, labels in (self.train, self.test))
        self.label_names = tuple(str(label) for label in range(classes))
        batches = [
            (pixels[:, start : start + batch_size], labels[start : start + batch_size])
            for pixels, labels in (self.train, self.test)
            for start in range(0, labels.size, batch_size)
        ]
        self.batches = dict(enumerate(batches, start=1))
        self.numbers = tuple(self.batches)

    def mean(self) -> NDArray[np.float32]:
        return mean_image(self.train[0])

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        return self.batches[number]


class IdxProvider(ImageProvider):
    """MNIST's own files, in batches of 10000 (--batch-size): 1-6 to train, 7 to test."""

    understands = ImageProvider.understands | {"batch_size"}

    def open_store(self) -> IdxStore:
        return IdxStore(self.path, self.options.batch_size or 10000)
