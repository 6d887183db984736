"""The safe format of prepared data: a folder of safetensors files and their index.

batches.json                   what is where, with sizes and checksums
mean.safetensors               mean: float32 (C*H*W, 1), over the training batches
data_batch_<n>.safetensors     data: uint8 (C*H*W, cases); labels: int32 (cases,)

The batches may also hold JPEGs; data_providers/jpeg_batches.py describes those.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from data_providers.base import Shape
from data_providers.errors import DataError
from data_providers.images import check_batch

INDEX = "batches.json"
VERSION = 1
PIXELS, JPEG = "pixels", "jpeg"
READ_BY = {PIXELS: "batches", JPEG: "image"}


@dataclass(frozen=True)
class FileEntry:
    """A file of the data set; the mean image counts as one case."""

    file: str
    cases: int
    sha256: str


@dataclass(frozen=True)
class Index:
    """The content of batches.json.

    recipe:   the data set's name and options, by which a second preparation knows its own work
    source:   where the data came from, for people
    images:   PIXELS or JPEG, how the batches hold them
    left_out: pictures that could not be read
    """

    recipe: str
    source: str
    label_names: tuple[str, ...]
    shape: Shape
    mean: FileEntry
    batches: dict[int, FileEntry]
    images: str = PIXELS
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Images (C*H*W, cases) and their labels (cases,); only training batches enter the mean."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]
    training: bool


class Store(ABC):
    """A folder in the safe format, whatever its batches hold."""

    images: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        """Raises: DataError if there is no sound index, or the batches hold something else."""
        self.folder = folder
        self.index = read_index(folder / INDEX)
        if self.index.images != self.images:
            provider = READ_BY.get(self.index.images, "of a newer version")
            raise DataError(
                f"{folder}: its batches hold {self.index.images}, and {self.images} are expected;"
                f" read it with --data-provider {provider}"
            )
        self.shape = self.index.shape
        self.label_names = self.index.label_names
        self.numbers = tuple(self.index.batches)

    def mean(self) -> NDArray[np.float32]:
        return self.mean_tensor("mean", (math.prod(self.shape), 1))

    def mean_tensor(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """A tensor of the file with the mean image.  Raises: DataError unless it is as expected."""
        entry = self.index.mean
        tensor = self.tensors(entry).get(name)
        if tensor is None or tensor.dtype != np.float32 or tensor.shape != shape:
            path = self.folder / entry.file
            what = "the mean image" if name == "mean" else name
            raise DataError(f"{path}: expected {what} as float32 {shape}")
        return tensor

    @abstractmethod
    def read(self, number: int) -> object:
        """One batch, checked."""

    def verify(self) -> None:
        """Raises: DataError if any file is missing or damaged."""
        self.mean()
        for number in self.numbers:
            self.read(number)

    def tensors(self, entry: FileEntry) -> dict[str, NDArray[Any]]:
        """The content of a file.  Raises: DataError if it cannot be read or is damaged."""
        path = self.folder / entry.file
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot read it: {error.strerror}") from error
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise DataError(
                f"{path}: damaged: its checksum is not the one in {INDEX}; prepare the data again"
            )
        try:
            return safetensors.numpy.load(content)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: not a safetensors file: {error}") from error


class PreparedStore(Store):
    """Reads batches of pixels; an `ImageStore`."""

    images = PIXELS

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        entry = self.index.batches[number]
        path = str(self.folder / entry.file)
        tensors = self.tensors(entry)
        labels = tensors.get("labels")
        if labels is None or labels.dtype != np.int32:
            raise DataError(f"{path}: expected labels as int32 (cases,)")
        if labels.size != entry.cases:
            raise DataError(f"{path}: expected {entry.cases} cases, found {labels.size}")
        pixels = tensors.get("data")
        return check_batch(path, pixels, labels, math.prod(self.shape), len(self.label_names))


def is_complete(out: Path, recipe: str, store: type[Store]) -> bool:
    """Whether `out` holds the data of this recipe, undamaged; False if nothing is there.

    Raises: DataError if anything else is there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / INDEX).exists():
        raise DataError(f"{out}: is not empty and holds no prepared data; name another folder")
    found = read_index(out / INDEX).recipe
    if found != recipe:
        raise DataError(
            f"{out}: holds other data ({found}) than asked for ({recipe}); remove it or name"
            " another folder"
        )
    store(out).verify()
    return True


def read_index(path: Path) -> Index:
    """Reads and checks batches.json.

    Raises: DataError naming the file and the first thing wrong in it.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["version"] != VERSION:
            raise DataError(f"{path}: expected format version {VERSION}, found {raw['version']}")
        index = Index(
            recipe=str(raw["recipe"]),
            source=str(raw["source"]),
            label_names=tuple(map(str, raw["label_names"])),
            shape=_shape(raw["shape"]),
            mean=_file_entry(raw["mean"]),
            batches={int(number): _file_entry(item) for number, item in raw["batches"].items()},
            images=str(raw.get("images", PIXELS)),
            left_out=tuple(map(str, raw.get("left_out", ()))),
        )
    except OSError as error:
        raise DataError(f"{path}: cannot read it: {error.strerror}") from error
    except KeyError as error:
        raise DataError(f"{path}: no entry {error}; prepare the data again") from error
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged: {error}; prepare the data again") from error
    if not index.label_names or not index.batches:
        raise DataError(f"{path}: no classes or no batches; prepare the data again")
    return index


def _shape(raw: list[int]) -> Shape:
    channels, height, width = raw
    if not all(isinstance(size, int) and size > 0 for size in raw):
        raise ValueError(f"shape must be three positive whole numbers, found {raw}")
    return channels, height, width


def _file_entry(raw: dict[str, Any]) -> FileEntry:
    entry = FileEntry(**raw)
    # A name with a folder in it would read files from outside the data set.
    if Path(entry.file).name != entry.file:
        raise ValueError(f"{entry.file!r} is not a plain file name")
    return entry


def write_data_set(
    out: Path,
    batches: Iterable[Batch],
    *,
    shape: Shape,
    label_names: tuple[str, ...],
    recipe: str,
    source: str,
    report: Callable[[str], object],
) -> None:
    """Writes `batches`, numbered from 1, and the mean of the training ones as the folder `out`.

    `out` appears when all is complete; it may exist if it is empty.

    Raises: OSError where the files cannot be written.
    """
    with new_folder(out) as unfinished:
        entries: dict[int, FileEntry] = {}
        total, cases = np.zeros(math.prod(shape)), 0
        for number, batch in enumerate(batches, start=1):
            tensors: dict[str, NDArray[Any]] = {"data": batch.pixels, "labels": batch.labels}
            entries[number] = write_tensors(
                unfinished / f"data_batch_{number}.safetensors", tensors, batch.labels.size
            )
            if batch.training:
                total += batch.pixels.sum(axis=1, dtype=np.int64)
                cases += batch.labels.size
            role = "training" if batch.training else "test"
            report(f"batch {number}: {batch.labels.size} {role} images")
        mean = {"mean": (total / cases).astype(np.float32).reshape(-1, 1)}
        mean_entry = write_tensors(unfinished / "mean.safetensors", mean, 1)
        write_index(unfinished, Index(recipe, source, label_names, shape, mean_entry, entries))


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write into; it gets that name in the end, if there is no error.

    So `out` is complete or not there at all. It may exist if it is empty.

    Raises: OSError where it cannot be made, or `out` holds anything.
    """
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_tensors(path: Path, tensors: dict[str, NDArray[Any]], cases: int) -> FileEntry:
    """Writes a file of the data set.  Raises: OSError."""
    content = safetensors.numpy.save(tensors)
    write_whole(path, content)
    return FileEntry(path.name, cases, hashlib.sha256(content).hexdigest())


def write_index(folder: Path, index: Index) -> None:
    """Writes batches.json.  Raises: OSError."""
    text = json.dumps({"version": VERSION, **asdict(index)}, indent=1)
    write_whole(folder / INDEX, text.encode())


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file that is there completely or not at all.  Raises: OSError."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)
