"""A tree of pictures as PERSON/NAME.jpg, and taking some of it away."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from data_providers.errors import DataError
from data_providers.pictures import find_pictures


def find_people(root: Path) -> dict[str, list[Path]]:
    """The pictures of each person who has some, in the order of names.

    Raises: DataError if there is none.
    """
    found = find_pictures(root)
    people: dict[str, list[Path]] = {name: [] for name in found.label_names}
    for file, label in zip(found.files, found.labels, strict=True):
        people[found.label_names[label]].append(file)
    return people


def move_aside(paths: Sequence[Path], root: Path, aside: Path) -> None:
    """Moves folders or files that are below `root` to the same places below `aside`.

    Raises: DataError if that is inside `root`, or one of them is there already; none is moved then.
    """
    if aside.resolve().is_relative_to(root.resolve()):
        raise DataError(f"{aside}: is in {root}, where it would be a person; name another folder")
    targets = [aside / path.relative_to(root) for path in paths]
    for target in targets:
        if target.exists():
            raise DataError(f"{target}: exists already; name another folder to move to")
    for path, target in zip(paths, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)


def add_aside(parser: argparse.ArgumentParser) -> None:
    """The option of tools that take pictures away."""
    parser.add_argument(
        "--aside", type=Path, metavar="DIR", help="move them there [only list them]"
    )


def told(aside: Path | None, what: str) -> str:
    """The last line of such a tool."""
    return f"{what} {f'moved to {aside}' if aside else 'would go; move them with --aside DIR'}"
