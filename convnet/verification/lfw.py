"""The files of LFW, "Labeled Faces in the Wild": which pictures are compared, and which people
belong together. Huang, Ramesh, Berg and Learned-Miller (2007), section IV.

    pairs.txt: folds <tab> pairs, or pairs alone    people.txt: folds, or none
      then for each fold the pairs of one person      then for each fold their number
        NAME <tab> i <tab> j                            NAME <tab> pictures
      and as many pairs of two people
        NAME <tab> i <tab> NAME <tab> j

Picture i of a person is the file with this number at the end of its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from convnet.errors import ConvnetError
from data_providers.pictures import find_pictures


class Numbered(NamedTuple):
    """Picture `number` of a person."""

    person: str
    number: int


class Pair(NamedTuple):
    first: Numbered
    second: Numbered


@dataclass(frozen=True)
class Fold:
    """Pairs of pictures of one person, and as many pairs of two people."""

    same: Sequence[Pair]
    different: Sequence[Pair]


def read_pairs(path: Path) -> list[Fold]:
    """The folds of a file of pairs; one fold if it names no number of folds.

    Raises:
        ConvnetError: it cannot be read; or names the line that is not as expected.
    """
    lines = _lines(path)
    _, head = next(lines, (1, []))
    if len(head) not in (1, 2) or not all(word.isdecimal() and int(word) for word in head):
        raise ConvnetError(
            f"{path}:1: expected the number of folds and of pairs, or of pairs alone; "
            f"found '{' '.join(head)}'"
        )
    folds, count = (int(head[0]), int(head[1])) if len(head) == 2 else (1, int(head[0]))
    found = []
    for _ in range(folds):
        same = [_pair(path, lines, same=True) for _ in range(count)]
        found.append(Fold(same, [_pair(path, lines, same=False) for _ in range(count)]))
    number, rest = next(lines, (0, []))
    if rest:
        raise ConvnetError(
            f"{path}:{number}: expected the end after {folds} folds of {count} + {count} pairs; "
            f"found '{' '.join(rest)}'"
        )
    return found


def _pair(path: Path, lines: Iterator[tuple[int, list[str]]], *, same: bool) -> Pair:
    number, words = next(lines, (0, []))
    form = "NAME i j" if same else "NAME i NAME j"
    numbers = [words[i] for i in ((1, 2) if same else (1, 3)) if i < len(words)]
    good = len(words) == len(form.split()) and all(word.isdecimal() for word in numbers)
    if not good or (not same and words[0] == words[2]):
        kind = "one person" if same else "two people"
        place = f"{path}:{number}" if number else f"{path}"
        raise ConvnetError(
            f"{place}: expected a pair of {kind}, {form}; found "
            + (f"'{' '.join(words)}'" if number else "the end of the file")
        )
    first, second = map(int, numbers)
    return Pair(Numbered(words[0], first), Numbered(words[0 if same else 2], second))


def pairs_text(folds: Sequence[Fold]) -> str:
    """The file of these folds, which have the same number of pairs."""
    rows: list[Iterable[object]] = [(len(folds), len(folds[0].same))]
    for fold in folds:
        rows += [(a.person, a.number, b.number) for a, b in fold.same]
        rows += [(*a, *b) for a, b in fold.different]
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def read_people(path: Path) -> list[list[str]]:
    """The people of each fold; one fold if the file names no number of folds.

    Raises:
        ConvnetError: it cannot be read; or names the line that is not as expected.
    """
    lines = list(_lines(path))
    folds: list[list[str]] = []
    left = 0
    # A number alone begins a fold, but for the first of two, the number of folds.
    alone = [len(words) == 1 and words[0].isdecimal() for _, words in lines]
    start = 1 if alone[:2] == [True, True] else 0
    for (number, words), begins in zip(lines[start:], alone[start:], strict=True):
        if begins and not left:
            left = int(words[0])
            folds.append([])
        elif left and len(words) == 2 and words[1].isdecimal():
            folds[-1].append(words[0])
            left -= 1
        else:
            expected = "NAME and its number of pictures" if left else "the people of a fold"
            raise ConvnetError(f"{path}:{number}: expected {expected}; found '{' '.join(words)}'")
    if not folds or left or (start and int(lines[0][1][0]) != len(folds)):
        promised = lines[0][1][0] if start else "1"
        raise ConvnetError(
            f"{path}: expected {promised} whole folds of people; found {len(folds) - (left > 0)}"
        )
    return folds


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The words of each line that is not empty, and its number."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise ConvnetError(f"{path}: cannot read it: {reason}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, (line.split("\t") if "\t" in line else line.split())


def numbered_pictures(root: Path) -> dict[str, dict[int, Path]]:
    """The pictures of each person by number: that at the end of a name, NAME_0007.jpg or 7.pgm.

    Where the names of a person's pictures do not all end in numbers of their own, it is their place
    in the order of names, from 1.

    Raises:
        DataError: `root` holds no pictures.
    """
    found = find_pictures(root)
    people: dict[str, list[Path]] = {name: [] for name in found.label_names}
    for file, label in zip(found.files, found.labels, strict=True):
        people[found.label_names[label]].append(file)
    return {name: dict(_numbered(files)) for name, files in people.items()}


def _numbered(files: Sequence[Path]) -> Iterable[tuple[int, Path]]:
    ends = [re.search(r"\d+$", file.stem) for file in files]
    numbers = {int(end[0]) for end in ends if end}
    if len(numbers) == len(files):
        return sorted((int(end[0]), file) for end, file in zip(ends, files, strict=True) if end)
    return enumerate(files, start=1)
