"""The pictures of ILSVRC-2012, in the tar files as they are distributed."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data_providers.errors import DataError
from data_providers.matfile import read_table
from data_providers.picture_sets import Part, PictureSet, Slice

TRAIN = "ILSVRC2012_img_train.tar"
VALIDATION = "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"


def is_ilsvrc(folder: Path) -> bool:
    return any((folder / name).exists() for name in (TRAIN, VALIDATION, DEVKIT))


def ilsvrc_pictures(folder: Path) -> PictureSet:
    """The training and the validation pictures; their label is ILSVRC2012_ID - 1.

    The devkit's meta.mat has the number and the names of each class, and a text file the number of
    each validation picture, in the order of their names.

    Raises: DataError if one of the three files cannot be read or they do not fit each other.
    """
    synsets, truth = _devkit(folder / DEVKIT)
    numbers = {wnid: number for number, (wnid, _) in enumerate(synsets)}
    train = _train_part(folder / TRAIN, numbers)
    validation = sorted(_members(folder / VALIDATION), key=lambda item: item.name)
    if len(truth) != len(validation):
        raise DataError(
            f"{folder / VALIDATION}: expected {len(truth)} pictures, as many as {DEVKIT} has labels"
            f" for, found {len(validation)}"
        )
    return PictureSet(
        "ILSVRC-2012",
        tuple(words for _, words in synsets),
        train,
        Part(tuple(validation), truth),
    )


def _train_part(path: Path, numbers: dict[str, int]) -> Part:
    """The pictures in the tar files, one for each class, inside the tar file of training."""
    slices: list[Slice] = []
    labels: list[int] = []
    for archive in _members(path):
        wnid = Path(archive.name).stem
        if wnid not in numbers:
            raise DataError(f"{path}: {archive.name} is not a class of {DEVKIT}")
        members = list(_members(path, archive))
        slices += members
        labels += [numbers[wnid]] * len(members)
    return Part(tuple(slices), np.array(labels, np.int32))


def _members(path: Path, inside: Slice | None = None) -> Iterator[Slice]:
    """Where the files of a tar archive lie; `inside`, one that lies in the archive itself."""
    try:
        with path.open("rb") as file:
            start = inside.start if inside else 0
            file.seek(start)
            # Offsets are counted from the beginning of the file, wherever the archive begins.
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if member.isfile():
                        yield Slice(path, member.name, member.offset_data, member.size)
                # The reader takes a damaged header for the end, which is a block of zeros.
                file.seek(archive.offset)
                if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                    raise tarfile.ReadError(f"damaged at byte {archive.offset}")
    except (OSError, tarfile.TarError) as error:
        where = f"{path}: {inside.name}" if inside else str(path)
        raise DataError(f"{where}: cannot read it as a tar archive: {_reason(error)}") from error


def _devkit(path: Path) -> tuple[list[tuple[str, str]], np.ndarray[Any, np.dtype[np.int32]]]:
    """The WordNet ID and the words of each class, and the labels of the validation pictures."""
    contents: dict[str, bytes] = {}
    wanted = ("meta.mat", "ILSVRC2012_validation_ground_truth.txt")
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                if name in wanted and (file := archive.extractfile(member)):
                    contents[name] = file.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot read it as a tar.gz archive: {_reason(error)}") from error
    try:
        rows = read_table(contents[wanted[0]], "synsets")
        # Rows with children are groups of classes.
        leaves = {
            int(row["ILSVRC2012_ID"][0]): (str(row["WNID"]), str(row["words"]))
            for row in rows
            if not row["num_children"][0]
        }
        if sorted(leaves) != list(range(1, len(leaves) + 1)):
            raise ValueError("the classes are not numbered from 1")
        truth = np.array(contents[wanted[1]].split(), np.int32) - 1
        if not truth.size or truth.min() < 0 or truth.max() >= len(leaves):
            raise ValueError(f"labels of validation pictures outside 1..{len(leaves)}")
    except KeyError as error:
        raise DataError(f"{path}: there is no {error} in it") from error
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise DataError(f"{path}: {error}") from error
    return [leaves[number] for number in sorted(leaves)], truth.astype(np.int32)


def _reason(error: Exception) -> object:
    """What an error says, without the path."""
    return error.strerror or error if isinstance(error, OSError) else error
