"""A part of the pictures to train on, and one to judge by."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from convnet import report
from convnet.errors import ConvnetError
from convnet.faces.align import SETTINGS
from convnet.faces.people import find_people
from convnet.options import checked, make_parser, natural, parse_float
from data_providers.formats import new_folder

Parts = dict[str, list[Path]]


def split(arguments: Sequence[str]) -> None:
    """Splits pictures, or people, into train/ and val/."""
    parser = make_parser("python -m convnet faces split", split.__doc__ or "")
    parser.add_argument("path", type=Path, metavar="DIR", help="pictures as PERSON/NAME.jpg")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="of the two parts")
    parser.add_argument(
        "--ratio",
        type=checked(parse_ratio),
        default=0.1,
        metavar="X",
        help="share of val/ [0.1]",
    )
    parser.add_argument(
        "--by",
        choices=("pictures", "people"),
        default="pictures",
        help="pictures: of each person some, at least one; people: whole people [pictures]",
    )
    parser.add_argument("--seed", type=checked(natural), default=0, help="of the draw [0]")
    args = parser.parse_args(arguments)
    people = find_people(args.path)
    if len(people) < 2:
        raise ConvnetError(f"{args.path}: expected at least 2 people, found only {min(people)}")
    rng = np.random.default_rng(args.seed)
    if args.by == "people":
        parts = split_people(people, args.ratio, rng)
    else:
        parts = split_pictures(people, args.ratio, rng)
    write_parts(parts, args.path, args.out)
    for name, files in parts.items():
        persons = len({file.parent for file in files})
        report.text(f"{args.out / name}: {persons:,} people, {len(files):,} pictures")


def parse_ratio(text: str) -> float:
    """Raises: ValueError for anything but a number between 0 and 1."""
    value = parse_float(text)
    if not 0 < value < 1:
        raise ValueError(f"expected a number between 0 and 1; found {text}")
    return value


def split_pictures(
    people: Mapping[str, Sequence[Path]], ratio: float, rng: np.random.Generator
) -> Parts:
    """Of each person's n pictures ratio * n go to val, rounded, but at least one, and not all.

    Raises: ConvnetError if somebody has only one.
    """
    single = [name for name, files in people.items() if len(files) < 2]
    if single:
        raise ConvnetError(
            f"{len(single)} people have one picture only, the first of them {single[0]}; expected "
            "one for train and one for val: prune them with --at-least 2, or split --by people"
        )
    parts: Parts = {"train": [], "val": []}
    for files in people.values():
        count = min(max(round(ratio * len(files)), 1), len(files) - 1)
        order = rng.permutation(len(files))
        parts["val"] += [files[i] for i in sorted(order[:count])]
        parts["train"] += [files[i] for i in sorted(order[count:])]
    return parts


def split_people(
    people: Mapping[str, Sequence[Path]], ratio: float, rng: np.random.Generator
) -> Parts:
    """Of n people ratio * n go to val, rounded.

    Raises: ConvnetError if a part has less than two.
    """
    names = list(people)
    count = round(ratio * len(names))
    if not 2 <= count <= len(names) - 2:
        raise ConvnetError(
            f"--ratio {ratio:g} of {len(names)} people are {count}; expected at least 2 in either "
            "part"
        )
    chosen = {names[i] for i in rng.permutation(len(names))[:count]}
    return {
        part: [
            file for name in names if (name in chosen) == (part == "val") for file in people[name]
        ]
        for part in ("train", "val")
    }


def write_parts(parts: Parts, source: Path, out: Path) -> None:
    """Writes out/PART/PERSON/NAME, hard links where the disk has them, and lists out/PART.txt.

    How the faces were aligned is noted in both parts as well.

    All is there, or nothing.

    Raises: ConvnetError if `out` exists.
    """
    if out.exists():
        raise ConvnetError(f"{out}: exists already; name another folder")
    with new_folder(out.resolve()) as unfinished:
        for part, files in parts.items():
            names = [str(file.relative_to(source)) for file in files]
            for file, name in zip(files, names, strict=True):
                target = unfinished / part / name
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(file, target)
                except OSError:
                    shutil.copy2(file, target)
            if (source / SETTINGS).exists():
                shutil.copy2(source / SETTINGS, unfinished / part)
            text = "".join(f"{name}\n" for name in names)
            (unfinished / f"{part}.txt").write_bytes(os.fsencode(text))
