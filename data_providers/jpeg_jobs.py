"""Making one batch of JPEGs, and many at a time in processes of their own.

Each process makes a whole batch, writes it, and then a second file with what the rest of the work
needs to know of it. So a batch is done when the second file is there.
"""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
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
        if _stop.value:
            raise InterruptedError("the work is given up")
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


def make_batches(jobs: Sequence[Job], workers: int) -> Iterator[Job]:
    """Makes all batches, each of which is given out when it is done.

    Raises: as make_batch; DataError if a worker is killed.
    """
    if min(workers, len(jobs)) <= 1:
        for job in jobs:
            make_batch(job)
            yield job
        return
    context = multiprocessing.get_context("spawn")
    stop = context.RawValue(ctypes.c_bool, False)  # without a lock that a killed worker might hold
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _start_worker, (stop,)) as pool:
        try:
            futures = {pool.submit(make_batch, job): job for job in jobs}
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BrokenExecutor as error:
            raise DataError(
                "a worker was killed, perhaps for want of memory; start again with fewer --workers"
            ) from error
        finally:  # after an error or Ctrl-C, nobody waits for batches in the making
            stop.value = True
            pool.shutdown(cancel_futures=True)


#: In a worker: true when the work is given up.
_stop = ctypes.c_bool(False)


def _start_worker(stop: ctypes.c_bool) -> None:
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    # A worker whose parent was killed would wait for its next job for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
