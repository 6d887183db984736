"""Making one batch of JPEGs, which a process of its own does.

It makes a whole batch, writes it, and then a second file with what the rest of the work needs to
know of it. So a batch is done when the second file is there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from data_providers.errors import DataError
from data_providers.formats import FileEntry, write_tensors, write_whole
from data_providers.jpeg_batches import JpegBatch, colour_products
from data_providers.jpegs import encode_square
from data_providers.picture_sets import Part
from data_providers.workers import stop_if_given_up

PROGRESS = "progress"


@dataclass(frozen=True)
class Job:
    """A batch to make, in `folder`; `size` is the side of its images."""

    folder: Path
    number: int
    part: Part
    training: bool
    size: int

    @property
    def progress_file(self) -> Path:
        return self.folder / PROGRESS / f"{self.number}.safetensors"


@dataclass(frozen=True)
class Done:
    """What is known of a finished batch.

    left_out: pictures that could not be read, each with the reason
    sums:     of the training pixels, (size, size, 3), and of the products of their colours, (3, 3)
    """

    entry: FileEntry
    left_out: tuple[str, ...]
    sums: NDArray[np.int64]
    products: NDArray[np.int64]

    def save(self, path: Path) -> None:
        known = [self.entry.file, self.entry.cases, self.entry.sha256, *self.left_out]
        tensors = {"sums": self.sums, "products": self.products}
        write_whole(path, safetensors.numpy.save(tensors, {"known": json.dumps(known)}))

    @classmethod
    def load(cls, path: Path) -> Done:
        with safetensors.safe_open(path, "numpy") as file:
            name, cases, sha256, *left_out = json.loads(file.metadata()["known"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return cls(FileEntry(name, cases, sha256), tuple(left_out), **tensors)


def make_batch(job: Job) -> None:
    """Makes a batch and writes both its files.

    It returns nothing, since a worker that is killed while it sends much would leave the others
    waiting.

    Raises: DataError if none of its pictures can be read; OSError where it cannot be written.
    """
    jpegs: list[bytes] = []
    labels: list[NDArray[np.int32]] = []
    left_out: list[str] = []
    sums = np.zeros((job.size, job.size, 3), np.int64)
    products = np.zeros((3, 3), np.int64)
    for picture, label in zip(job.part.pictures, job.part.labels, strict=True):
        stop_if_given_up()
        try:
            jpeg, pixels = encode_square(picture.read(), picture.name, job.size)
        except DataError as error:
            left_out.append(str(error))
            continue
        jpegs.append(jpeg)
        labels.append(np.array([label]))
        if job.training:
            sums += pixels
            products += colour_products(pixels)
    if not jpegs:
        raise DataError(
            f"batch {job.number}: none of its pictures can be read; the first: {left_out[0]}"
        )
    path = job.folder / f"data_batch_{job.number}.safetensors"
    entry = write_tensors(path, JpegBatch(jpegs, labels).tensors(), len(jpegs))
    Done(entry, tuple(left_out), sums, products).save(job.progress_file)
