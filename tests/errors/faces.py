"""What goes wrong with the tools for faces."""

from __future__ import annotations

from pathlib import Path

from tests.data_providers.helpers import picture_tree
from tests.errors import command


def tree() -> None:
    picture_tree(Path("faces"), "abcd", count=3)


def people_txt() -> None:
    tree()
    Path("people.txt").write_text("2\n1\na\t3\n1\ne\t3\n")


FACES = [
    command(
        "faces inof data",
        "faces: no tool 'inof'; did you mean info?",
        "correct the word",
    ),
    command(
        "faces pairs faces --out pairs.txt --folds 2 --pairs 7",
        "the 2 people of a fold, 6 pictures, make 6 pairs of one person and 9 of two; expected 7 "
        "of each: ask for fewer --pairs or --folds",
        "ask for fewer; or let the folds share people: `--people-disjoint 0`",
        "four people have three pictures each",
        tree,
    ),
    command(
        "faces pairs faces --out pairs.txt --people people.txt",
        "people.txt: 1 of its people have no pictures below faces, the first of them e",
        "name the folder that the list belongs to",
        "the list names a, and e who is not there",
        people_txt,
    ),
]
