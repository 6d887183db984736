"""Labelled picture files before they are cut into batches, in folders or inside archives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_providers.errors import DataError
from data_providers.pictures import PictureFiles, find_parts
from data_providers.shuffle import stratified_order


@dataclass(frozen=True, slots=True)
class Slice:
    """A picture file: a whole file, or a part of an archive.

    name: in the archive or the tree, for people and to sort by
    size: in bytes; -1 = up to the end of the file
    """

    path: Path
    name: str
    start: int = 0
    size: int = -1

    def read(self) -> bytes:
        """Raises: DataError if it cannot be read, or its archive ends too early."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                content = file.read(self.size)
        except OSError as error:
            raise DataError(f"{self.path}: cannot read it: {error.strerror}") from error
        if len(content) < self.size:
            raise DataError(f"{self.path}: ends in the middle of {self.name}")
        return content


@dataclass(frozen=True)
class Part:
    """Pictures and their labels, int32 (pictures,)."""

    pictures: tuple[Slice, ...]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.pictures)

    def take(self, cases: NDArray[np.intp]) -> Part:
        return Part(tuple(self.pictures[case] for case in cases), self.labels[cases])

    def by_name(self) -> Part:
        """In the order of the names of the files, whatever folders they are in."""
        keys = [(Path(p.name).name, p.name) for p in self.pictures]
        order = sorted(range(len(self)), key=keys.__getitem__)
        return self.take(np.array(order, np.intp))


@dataclass(frozen=True)
class PictureSet:
    """Pictures to train on and to test on.

    note: what they are, for people
    """

    note: str
    label_names: tuple[str, ...]
    train: Part
    test: Part

    def digest(self) -> str:
        """Tells one set of pictures from another by the names and labels, in order."""
        digest = hashlib.sha256(repr(self.label_names).encode())
        for part in (self.train, self.test):
            digest.update(part.labels.tobytes())
            digest.update("\0".join(p.name for p in part.pictures).encode("utf-8", "replace"))
        return digest.hexdigest()[:16]


def tree_pictures(root: Path, test_fraction: float, seed: int) -> PictureSet:
    """A tree of classes, see `find_parts`; where it has no test part, a share of it is split off.

    Raises: DataError if there are no pictures.
    """
    train, test = find_parts(root)
    parts = [_part(root, files) for files in (train, test) if files is not None]
    if test is None:
        (whole,) = parts
        order = stratified_order(whole.labels, seed)
        kept = order.size - round(test_fraction * order.size)
        parts = [whole.take(np.sort(order[:kept])), whole.take(np.sort(order[kept:]))]
    return PictureSet(f"tree of pictures {root.name}", train.label_names, *parts)


def _part(root: Path, found: PictureFiles) -> Part:
    slices = (Slice(file, str(file.relative_to(root))) for file in found.files)
    return Part(tuple(slices), found.labels)
