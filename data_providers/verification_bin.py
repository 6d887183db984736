"""Pairs of faces to be verified, in one pickle: NAME.bin as ArcFace's test sets come.

It is a list or tuple of two: the encoded pictures, bytes or uint8 arrays, of which 2 i and 2 i + 1
are pair i; and for each pair whether it shows one person. Python 2 and 3 have written such files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_providers.errors import DataError
from data_providers.face_sets import FaceSet
from data_providers.pickles import load_pickle

FOLDS = 10


def verification_faces(path: Path) -> tuple[FaceSet, str]:
    """The pictures of the pairs, and the pairs in the format of LFW's pairs.txt.

    Nobody knows who is who, so each pair of one person has a person of its own, and each other pair
    two. There are ten folds, one after the other, or one if they were not balanced.

    Raises: DataError if it cannot be read or is no such pickle, or there are not as many pairs of
        one person as of two.
    """
    content = load_pickle(path)
    parts = content if isinstance(content, list | tuple) and len(content) == 2 else ((), ())
    pictures, flags = map(_listed, parts)
    encoded = [picture for picture in map(_bytes, pictures) if picture]
    same = [bool(flag) for flag in flags if isinstance(flag, int | np.bool_)]
    if not same or not len(pictures) == len(encoded) == 2 * len(flags) == 2 * len(same):
        raise DataError(
            f"{path}: expected a list of encoded pictures, and a list that says of each two of them"
            f" whether they show one person; found {len(encoded)} and {len(same)}"
        )
    people: list[str] = []
    labels = []
    for pair, one in enumerate(same):
        labels += [len(people), len(people) + (not one)]
        people += [f"{pair:06}"] if one else [f"{pair:06}-a", f"{pair:06}-b"]
    names = [
        f"{people[label]}/{people[label]}_{1 + (same[number // 2] and number % 2):04}.jpg"
        for number, label in enumerate(labels)
    ]
    numbers = np.array(labels, np.int32)
    faces = FaceSet(str(path), names, numbers, tuple(people), encoded.__getitem__)
    return faces, _pairs_text(path, same)


def _pairs_text(path: Path, same: Sequence[bool]) -> str:
    parts = _balanced(same, FOLDS) or _balanced(same, 1)
    if not parts:
        raise DataError(
            f"{path}: expected as many pairs of one person as of two, found {sum(same)} and"
            f" {len(same) - sum(same)}"
        )
    lines = [f"{len(parts)}\t{len(parts[0]) // 2}"]
    for part in parts:
        lines += [f"{pair:06}\t1\t2" for pair in part if same[pair]]
        lines += [f"{pair:06}-a\t1\t{pair:06}-b\t1" for pair in part if not same[pair]]
    return "\n".join(lines) + "\n"


def _balanced(same: Sequence[bool], folds: int) -> list[range]:
    """The pairs of each fold; none if they are not as many of one person as of two in each."""
    size, more = divmod(len(same), folds)
    parts = [range(fold * size, (fold + 1) * size) for fold in range(folds)]
    even = size and not more and all(2 * sum(same[pair] for pair in part) == size for part in parts)
    return parts if even else []


def _listed(items: Any) -> list[Any]:
    return list(items) if isinstance(items, list | tuple | np.ndarray) else []


def _bytes(picture: Any) -> bytes | None:
    """An encoded picture as bytes; strings of Python 2 have arrived decoded as latin-1."""
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8:
        return picture.tobytes()
    if isinstance(picture, str):
        return picture.encode("latin1", "replace")
    return picture if isinstance(picture, bytes) else None
