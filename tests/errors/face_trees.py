"""What goes wrong when faces are aligned, pruned and split."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.data_providers.helpers import picture_tree
from tests.errors import command


def one_of_two_kinds() -> None:
    picture_tree(Path("raw"), ["ann"])
    Image.new("RGB", (9, 9)).save("raw/ann/0.bmp")


def aligned() -> None:
    picture_tree(Path("raw"), ["ann"])
    Path("out").mkdir()
    Path("out/align.json").write_text("{}")


def two_people() -> None:
    picture_tree(Path("raw"), ["ann", "bob"])


def pruned_before() -> None:
    two_people()
    picture_tree(Path("raw"), ["cy"], 1)
    Path("few/cy").mkdir(parents=True)


def damaged() -> None:
    picture_tree(Path("out"), ["ann"])
    Path("out/align.json").write_text('{"crop": ')


def landmarks(line: str):
    def prepare() -> None:
        picture_tree(Path("raw"), ["ann"])
        Path("points.csv").write_text(f"picture,landmarks\n{line}\n")

    return prepare


FACE_TREES = [
    command(
        "faces align nowhere --out out --landmarks none",
        "nowhere: cannot read it: No such file or directory",
        "correct the path",
    ),
    command(
        "faces align raw --out raw/out --landmarks none",
        "raw/out: is in raw, where it would be a person; name another folder",
        "a folder beside it",
        "there are pictures in raw",
        landmarks("ann/0.png,"),
    ),
    command(
        "faces align raw --out out --landmarks none",
        "raw/ann/0.bmp and 0.png would both become out/ann/0.png; rename one",
        "rename one of them",
        "a person has 0.bmp and 0.png",
        one_of_two_kinds,
    ),
    command(
        "faces align raw --out out --landmarks none",
        "out: was made with other settings, see out/align.json; remove it or name another folder",
        "another folder",
        "it was made with another crop",
        aligned,
    ),
    command(
        "faces align raw --out good --landmarks none",
        "good: holds other things than aligned faces; name another folder",
        "another folder",
        "there are pictures in raw",
        landmarks("ann/0.png,"),
    ),
    command(
        "faces align raw --out out --landmarks mtcn",
        "--landmarks: expected mtcnn, none, or a file .dat or .csv; there is no mtcn",
        "correct the word",
    ),
    command(
        "faces align raw --out out --landmarks layers.cfg",
        "layers.cfg: expected a table (CSV) with the columns picture, landmarks; found no picture, "
        "landmarks",
        "name these columns in its first line",
    ),
    command(
        "faces align raw --out out --landmarks points.csv",
        "points.csv:2: expected 5 or 68 landmarks as x y x y ..., found 2 in '1 2 3 4'",
        "correct the table",
        "it has two points for a picture",
        landmarks("ann/0.png,1 2 3 4"),
    ),
    command(
        "faces align raw --out out --landmarks points.csv",
        "points.csv:2: landmarks: could not convert string to float: 'left'",
        "correct the table",
        "it has words for a picture",
        landmarks("ann/0.png,left right"),
    ),
    command(
        "faces align raw --out out --landmarks points.csv",
        "raw: none of its pictures could be aligned, see out/landmarks.csv",
        "look into this table, which says why",
        "it is about other pictures",
        landmarks("eve/0.png,1 1 2 1 1 2 1 3 2 3"),
    ),
    command(
        "faces prune raw --at-least 4",
        "raw: nobody has 4 pictures, the most are 3; ask for fewer",
        "ask for fewer",
        "two people have three pictures each",
        two_people,
    ),
    command(
        "faces prune raw --at-least 3 --aside raw/few",
        "raw/few: is in raw, where it would be a person; name another folder",
        "a folder beside it",
        "two people have three pictures each",
        two_people,
    ),
    command(
        "faces prune raw --at-least 3 --aside few",
        "few/cy: exists already; name another folder to move to",
        "another folder",
        "cy has one picture, and few/cy exists",
        pruned_before,
    ),
    command(
        "faces split raw --out parts",
        "raw: expected at least 2 people, found only ann",
        "it takes two classes to learn anything",
        "the only person is ann",
        landmarks(""),
    ),
    command(
        "faces split raw --out parts",
        "1 people have one picture only, the first of them cy; expected one for train and one for "
        "val: prune them with --at-least 2, or split --by people",
        "prune them, or split by people",
        "cy has one picture",
        pruned_before,
    ),
    command(
        "faces split raw --out parts --by people --ratio 0.5",
        "--ratio 0.5 of 2 people are 1; expected at least 2 in either part",
        "another ratio, or more people",
        "two people have three pictures each",
        two_people,
    ),
    command(
        "faces split raw --out parts --ratio 10",
        "--ratio: expected a number between 0 and 1; found 10; see --help",
        "a share, such as 0.1",
    ),
    command(
        "faces split raw --out good",
        "good: exists already; name another folder",
        "another folder",
        "two people have three pictures each",
        two_people,
    ),
    command(
        "faces clean raw",
        "expected --load-file RUN with --layer NAME, or --raw WxH instead",
        "name a run and the layer of its features",
        "two people have three pictures each",
        two_people,
    ),
    command(
        "faces info out",
        "out/align.json: not what faces align writes: ...",
        "align the faces again",
        "it was damaged",
        damaged,
    ),
]
