"""What goes wrong with the tools for faces."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from data_providers.face_packs import write_pack
from data_providers.face_sets import tree_faces
from tests.data_providers.helpers import picture_tree
from tests.data_providers.mxnet import arcface
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


def person_without_pictures() -> None:
    people()
    Path("tree/cy").mkdir()


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


def too_few_classes() -> None:
    arcface(Path("arcface"))
    Path("arcface/property").write_text("5,112,112")


def cut_records() -> None:
    os.truncate(arcface(Path("arcface")), 300)


def hostile_pairs() -> None:
    Path("lfw.bin").write_bytes(b"cos\nsystem\n(S'ls'\ntR.")


PACK = {**TREE, "data_path": "people", "data_provider": "face-pack"}

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
        "a person without pictures",
        "tree/cy: expected pictures of this person, found none; remove it",
        "remove the empty folder",
        person_without_pictures,
        **TREE,
    ),
    file(
        "a single person",
        "tree: expected pictures of several people to train on, found those of ann alone",
        "get pictures of others",
        lambda: picture_tree(Path("tree"), ["ann"]),
        **TREE,
    ),
    file(
        "people to test on who are none of the net's classes",
        "test data: labels must be whole numbers from 0 to 2, the classes of 'probs'; found 3",
        "test on pictures of the people that the net was trained on, or use a cost without classes",
        strangers,
        **TREE,
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
        "faces unpack arcface/train.rec --out=tree",
        "arcface/train.rec: record 3 at byte ...: label 5 is outside 0..4, the classes of the file "
        "property",
        "correct the first number in arcface/property, or get the right file",
        "arcface/property says 5 classes",
        too_few_classes,
    ),
    command(
        "faces unpack arcface/train.rec --out=tree",
        "arcface/train.rec: record 4 at byte ...: no record begins here; is the .idx that of this "
        ".rec?",
        "get both files again",
        "arcface/train.rec is cut short",
        cut_records,
    ),
    command(
        "faces unpack lfw.bin --out=tree",
        "lfw.bin: refused: it asks for os.system, and only numpy arrays and plain containers are "
        "read",
        "do not trust whoever gave it to you",
        "lfw.bin would run a program",
        hostile_pairs,
    ),
    command(
        "faces plot good --out curves.txt",
        "--out: expected a name that ends in .png, .svg, .pdf, .csv; found 'curves.txt'; "
        "see --help",
        "choose one of these",
    ),
    command(
        "faces plot roc.csv --out roc.png",
        "roc.csv: expected a ROC curve as `faces verify --out` writes it, with the columns "
        "threshold, far, tar",
        "name the right file",
        "the file has other columns",
        lambda: Path("roc.csv").write_text("a,b\n1,2\n"),
    ),
]
