"""What goes wrong with the tools for faces."""

from __future__ import annotations

import hashlib
from pathlib import Path

from PIL import Image

from data_providers.face_packs import write_pack
from data_providers.face_sets import tree_faces
from tests.data_providers.helpers import picture_tree
from tests.errors import DEF, Prepare, command, file
from tests.errors.data import change_a_byte, cut

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


def write_test_pack() -> None:
    people()
    write_pack(Path("people"), tree_faces(Path("tree")), made={})


def pack_with(edit: Prepare) -> Prepare:
    """A pack of the tree of two people, changed."""

    def prepare() -> None:
        write_test_pack()
        edit()

    return prepare


def label_beyond_the_classes() -> None:
    """With a right checksum."""
    index, header = Path("people.idx"), Path("people.json")
    old = hashlib.sha256(index.read_bytes()).hexdigest()
    index.write_text(index.read_text().replace("bob/4.png\t1", "bob/4.png\t2"))
    new = hashlib.sha256(index.read_bytes()).hexdigest()
    header.write_text(header.read_text().replace(old, new))


PACK = {**TREE, "data_path": "people", "data_provider": "face-pack"}


def one_of_two_kinds() -> None:
    picture_tree(Path("raw"), ["ann"])
    Image.new("RGB", (9, 9)).save("raw/ann/0.bmp")


def aligned() -> None:
    picture_tree(Path("raw"), ["ann"])
    Path("out").mkdir()
    Path("out/align.json").write_text("{}")


def landmarks(line: str):
    def prepare() -> None:
        picture_tree(Path("raw"), ["ann"])
        Path("points.csv").write_text(f"picture,landmarks\n{line}\n")

    return prepare


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
    command(
        "faces pack nowhere --out=people",
        "nowhere: expected a folder with pictures as PERSON/NAME.jpg, or a pack with nowhere.bin "
        "and nowhere.idx; found neither",
        "correct the path",
    ),
    command(
        "faces pack tree --out=people",
        "people.bin: exists already; remove it, or name another pack",
        "another name",
        "there is such a pack",
        write_test_pack,
    ),
    command(
        "faces pack tree people tree --out=all",
        "tree, people, tree: expected different names, as people are called SOURCE-PERSON; rename "
        "one, or give --merge 1 if people of one name are the same",
        "`--merge 1`, or another name for a folder",
        "",
        write_test_pack,
    ),
    command(
        "faces unpack people --out=tree",
        "...tree: is not an empty folder; name another one",
        "another name",
        "people is a pack",
        write_test_pack,
    ),
    command(
        "faces info people",
        "people.bin: the pack is damaged, make it again: its checksum is not the one in "
        "people.json",
        "make it again",
        "a byte of people.bin is changed",
        pack_with(change_a_byte("people.bin")),
    ),
    file(
        "people.bin is cut short",
        "people.bin: the pack is damaged, make it again: expected ... bytes as in people.idx, "
        "found ...",
        "make it again",
        pack_with(cut("people.bin")),
        **PACK,
    ),
    file(
        "people.idx has a label too large, and the right checksum",
        "people.idx: line 10: label 2 is outside 0..1, the classes of people.json",
        "make it again",
        pack_with(label_beyond_the_classes),
        **PACK,
    ),
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
        "--landmarks: expected mtcnn, none or a table; there is no file mtcn",
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
]
