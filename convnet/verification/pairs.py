"""The pairs of a verification, and the pictures that they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convnet.errors import ConvnetError
from convnet.verification.lfw import Fold, numbered_pictures, read_pairs
from convnet.verification.scores import METRICS, Verification, judge

# So many folds are made of pairs that come in one.
FOLDS = 10
# So many missing pictures are named.
SHOWN = 3


@dataclass(frozen=True)
class PairSet:
    """Pairs of pictures.

    Attributes:
        files: the pictures, each once.
        places: of the two pictures of each pair among them, (pairs, 2).
        same: whether they are of one person, (pairs,).
        fold: of each pair from 0, (pairs,).
    """

    files: list[Path]
    places: NDArray[np.intp]
    same: NDArray[np.bool_]
    fold: NDArray[np.intp]

    def verify(self, features: np.ndarray, metric: str) -> Verification:
        """Judges features, (files, numbers), that are compared by one of METRICS."""
        first, second = (features[places] for places in self.places.T)
        return judge(METRICS[metric](first, second), self.same, self.fold)


def open_pairs(path: Path, root: Path, only: int = 0) -> PairSet:
    """The pairs of a file, whose pictures are below `root`.

    Args:
        only: > 0: those of this fold alone. Pairs that come in one fold are dealt to ten.

    Raises:
        ConvnetError: the file is damaged, has no such fold or a single pair of each kind, or names
            pictures that are missing.
        DataError: there are no pictures below `root`.
    """
    folds = read_pairs(path)
    if only > len(folds):
        raise ConvnetError(f"{path}: expected fold 1 to {len(folds)}; found {only}")
    if only:
        folds = folds[only - 1 : only]
    if len(folds) == 1:
        parts = min(FOLDS, len(folds[0].same))
        if parts < 2:
            raise ConvnetError(
                f"{path}: expected two pairs of each kind at least, one to choose the threshold by "
                "and one to judge; found one"
            )
        folds = cut_fold(folds[0], parts)
    return locate(folds, root, str(path))


def cut_fold(fold: Fold, parts: int) -> list[Fold]:
    """The pairs of a fold dealt to several with equal numbers of each kind; a rest is left out."""
    end = len(fold.same) // parts * parts
    return [Fold(fold.same[i:end:parts], fold.different[i:end:parts]) for i in range(parts)]


def locate(folds: Sequence[Fold], root: Path, name: str) -> PairSet:
    """Finds the pictures of pairs below a folder.

    Args:
        name: of the file of pairs, for the message.

    Raises:
        ConvnetError: some are missing.
        DataError: there are no pictures.
    """
    pictures = numbered_pictures(root)
    pairs = [pair for fold in folds for pair in (*fold.same, *fold.different)]
    wanted = list(dict.fromkeys(picture for pair in pairs for picture in pair))
    missing = [p for p in wanted if p.number not in pictures.get(p.person, {})]
    if missing:
        listed = ", ".join(f"{p.person} {p.number}" for p in missing[:SHOWN])
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise ConvnetError(
            f"{name}: {len(missing)} of its {len(wanted)} pictures are not below {root}: "
            f"{listed}{more}; expected as PERSON/NAME_0001.jpg"
        )
    places = {picture: place for place, picture in enumerate(wanted)}
    sizes = [2 * len(fold.same) for fold in folds]
    return PairSet(
        [pictures[p.person][p.number] for p in wanted],
        np.array([[places[a], places[b]] for a, b in pairs]),
        np.concatenate([np.arange(size) < size // 2 for size in sizes]),
        np.repeat(np.arange(len(folds)), sizes),
    )
