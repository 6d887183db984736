"""What goes wrong with the tools for faces."""

from __future__ import annotations

from pathlib import Path

from tests.data_providers.helpers import picture_tree
from tests.errors import DEF, command, file

TREE = {
    "data_path": "tree",
    "data_provider": "face-folder",
    "train_range": 1,
    "test_range": 1,
    "inner_size": None,
}


def people() -> None:
    """A tree of two people with five pictures each, and a net for pictures in colour."""
    picture_tree(Path("tree"), ["ann", "bob"], count=5, size=(7, 6))
    layers = Path(DEF)
    layers.write_text(layers.read_text().replace("channels = 2", "channels = 3"))


def strangers() -> None:
    people()
    Path("tree").rename("train")
    picture_tree(Path("tree/val"), ["cy", "dan"], count=1, size=(7, 6))
    Path("train").rename("tree/train")


def wrong_attribute() -> None:
    people()
    Path("tree/attributes.csv").write_text("picture,age\nann,young\n")


FACES = [
    command(
        "faces inof data",
        "faces: no tool 'inof'; did you mean info?",
        "correct the word",
    ),
    file(
        "`--people-per-batch=2 --images-per-person=3` with minibatches of 4",
        "--mini 4: expected a multiple of 6, so that minibatches hold whole groups of "
        "--people-per-batch 2 with --images-per-person 3",
        "another `--mini`, or other groups",
        people,
        **TREE,
        people_per_batch=2,
        images_per_person=3,
    ),
    file(
        "`--people-per-batch=2`",
        "--people-per-batch 2 --images-per-person 0: give both or none",
        "give both",
        people,
        **TREE,
        people_per_batch=2,
    ),
    file(
        "`--people-per-batch=3 --images-per-person=4`, but there are two people",
        "tree: expected at least 3 people (--people-per-batch) with 4 pictures each "
        "(--images-per-person) in the training range, found 2; ask for fewer",
        "ask for fewer, or get more pictures; `faces info` counts them",
        people,
        **TREE,
        people_per_batch=3,
        images_per_person=4,
        mini=12,
    ),
    file(
        "people to test on who are none of the net's classes",
        "batch 1: labels must be whole numbers from 0 to 2, the classes of 'probs'; found 3",
        "test on pictures of the people that the net was trained on, or use a cost without classes",
        strangers,
        **TREE,
        test_freq=1,
    ),
    file(
        "tree/attributes.csv with the line `ann,young`",
        "tree/attributes.csv: line 2: expected whole numbers from 0, or nothing; found 'young'",
        "number what the labels say",
        wrong_attribute,
        **TREE,
    ),
]
