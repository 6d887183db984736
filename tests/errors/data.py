"""Mistakes in the data, and damage to them."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import safetensors.numpy

from data_providers.formats import PreparedStore
from tests.errors import DEF, Prepare, command, edited, file, option


def cut(path: str) -> Prepare:
    return lambda: os.truncate(path, os.path.getsize(path) // 2)


def change_a_byte(path: str) -> Prepare:
    def change() -> None:
        content = bytearray(Path(path).read_bytes())
        content[len(content) // 2] ^= 1
        Path(path).write_bytes(content)

    return change


def label_an_image(label: int) -> Prepare:
    """Of batch 2, in a file with a right checksum."""

    def change() -> None:
        pixels, labels = PreparedStore(Path("data")).read(2)
        labels[3] = label
        content = safetensors.numpy.save({"data": pixels, "labels": labels})
        Path("data/data_batch_2.safetensors").write_bytes(content)
        index = json.loads(Path("data/batches.json").read_text())
        index["batches"]["2"]["sha256"] = hashlib.sha256(content).hexdigest()
        Path("data/batches.json").write_text(json.dumps(index))

    return change


def hostile_pickle() -> None:
    Path("data/batches.json").unlink()
    Path("data/batches.meta").write_bytes(b"cos\nsystem\n(S'ls'\ntR.")


def false_picture() -> None:
    Path("tree/cat").mkdir(parents=True)
    Path("tree/cat/1.png").write_bytes(b"not a picture")


DATA = [
    option(
        "no data provider 'batchs'; did you mean batches?",
        "correct the name",
        data_provider="batchs",
    ),
    option(
        "nowhere: expected a folder with batches.json (prepared data) or batches.meta (the "
        "original's pickles), found neither",
        "correct the path, or prepare the data with `python -m convnet data`",
        data_path="nowhere",
    ),
    option(
        "data: no batch 7 for the training range 1-7; there is 1-6",
        "correct the range",
        train_range="1-7",
    ),
    option(
        "data: no batch 9 for the test range 9; there is 1-6",
        "correct the range",
        test_range=9,
    ),
    option(
        "data: --inner-size 9 does not fit images of 6x7 pixels",
        "a smaller crop",
        inner_size=9,
    ),
    option(
        "--multiview-test 1 needs --inner-size: the views are crops",
        "give both or neither",
        inner_size=0,
        multiview_test=1,
    ),
    option(
        "DummyProvider does not understand --inner-size; leave it out, or give --inner-size 0 "
        "where a checkpoint brings another value",
        "leave it out",
        data_provider="dummy-cn-75",
    ),
    file(
        "a batch file is deleted",
        "data/data_batch_2.safetensors: cannot read it: No such file or directory",
        "prepare the data again",
        lambda: os.remove("data/data_batch_2.safetensors"),
    ),
    file(
        "a batch file is cut short",
        "data/data_batch_2.safetensors: damaged: its checksum is not the one in batches.json; "
        "prepare the data again",
        "prepare the data again",
        cut("data/data_batch_2.safetensors"),
    ),
    file(
        "a byte of a batch file is changed",
        "data/data_batch_2.safetensors: damaged: its checksum is not the one in batches.json; "
        "prepare the data again",
        "prepare the data again",
        change_a_byte("data/data_batch_2.safetensors"),
    ),
    file(
        "the index of the batches is cut short",
        "data/batches.json: damaged: ...; prepare the data again",
        "prepare the data again",
        cut("data/batches.json"),
    ),
    file(
        "a label outside the classes of the data",
        "data/data_batch_2.safetensors: label 3 of case 3 is outside 0..2",
        "correct the data",
        label_an_image(3),
    ),
    edited(
        DEF,
        "outputs = 3",
        "outputs = 2",
        "batch 1: labels must be whole numbers from 0 to 1, the classes of 'probs'; found 2",
        "as many outputs as classes",
    ),
    file(
        "a pickle that would run a program",
        "data/batches.meta: refused: it asks for os.system, and only numpy arrays and plain "
        "containers are read",
        "do not trust whoever gave it to you",
        hostile_pickle,
    ),
    file(
        "a file in a tree of pictures that is none",
        "tree/cat/1.png: not a readable picture: ...",
        "remove it",
        false_picture,
        data_path="tree",
        data_provider="folder",
    ),
    command(
        "data mnist-6k --out=mnist",
        "no data set 'mnist-6k'; did you mean mnist-5k?",
        "correct the name",
    ),
    command(
        "data folder --out=pictures",
        "a folder of pictures needs --source: the tree CLASS/picture.*",
        "name the folder with the pictures",
    ),
    command(
        "data folder --source=nowhere --out=pictures",
        "nowhere: no such file or folder to prepare folder from",
        "correct the path",
    ),
]
