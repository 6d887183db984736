"""Mistakes in the data, and damage to them."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import safetensors.numpy

from data_providers.formats import PreparedStore
from data_providers.jpeg_batches import JpegBatch
from tests.data_providers.helpers import picture_tree
from tests.data_providers.imagenet import write_ilsvrc
from tests.data_providers.jpegs import jpeg_batch, jpeg_folder
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


def pictures() -> None:
    picture_tree(Path("tree"), count=5)


def cut_archive() -> None:
    write_ilsvrc(Path("ilsvrc"))
    cut("ilsvrc/ILSVRC2012_img_val.tar")()


def false_jpeg() -> None:
    batch = jpeg_batch(2, 0)
    damaged = JpegBatch([batch.jpegs[0], b"not a JPEG"], batch.labels)
    jpeg_folder(Path("jpegs"), {0: damaged, 1000: batch})
    layers = Path(DEF)
    layers.write_text(layers.read_text().replace("channels = 2", "channels = 3"))


def pickles_without_a_mean() -> None:
    meta = {"label_names": ["a", "b", "c"], "num_vis": 147}
    Path("data/batches.json").unlink()
    Path("data/batches.meta").write_bytes(pickle.dumps(meta))


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
    option(
        "BatchesProvider does not understand --color-noise; leave it out, or give --color-noise 0 "
        "where a checkpoint brings another value",
        "leave it out, or make batches of JPEGs with `make-data`",
        color_noise=0.1,
    ),
    option(
        "data: --crop-border 4 leaves nothing of images of 6 pixels",
        "a smaller border",
        data_provider="cifar-cropped",
        inner_size=None,
    ),
    option(
        "data: its batches hold pixels, and jpeg are expected; read it with --data-provider "
        "batches",
        "the other provider",
        data_provider="image",
    ),
    option(
        "nowhere: expected a folder with batches.json (of make-data) or batches.meta (the "
        "original's pickles), found neither",
        "correct the path, or make the data with `python -m convnet make-data`",
        data_provider="image",
        data_path="nowhere",
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
    file(
        "a batch of JPEGs is damaged, though its checksum is right",
        "jpegs: batch 0, image 1: not a JPEG of 8 pixels: ...",
        "make the data again",
        false_jpeg,
        data_path="jpegs",
        data_provider="image",
        train_range=0,
        test_range=1000,
    ),
    file(
        "data of cuda-convnet without a mean image",
        "data/batches.meta: no data_mean, the mean image; give --scalar-mean, or prepare the data "
        "first",
        "`--scalar-mean 128`, say",
        pickles_without_a_mean,
    ),
    command(
        "make-data --src-dir=nowhere --tgt-dir=jpegs",
        "nowhere: no such folder to make data from",
        "correct the path",
    ),
    command(
        "make-data --src-dir=good --tgt-dir=jpegs",
        "good: expected pictures as CLASS/NAME.jpg (or .png ...), found none",
        "name the folder with the pictures, or with the files of ILSVRC-2012",
    ),
    command(
        "make-data --src-dir=tree --tgt-dir=data",
        "...data: holds other data (test) than asked for (make-data, size 256, ...); remove it or "
        "name another folder",
        "another folder",
        "there are pictures in tree",
        pictures,
    ),
    command(
        "make-data --src-dir=ilsvrc --tgt-dir=jpegs",
        "ilsvrc/ILSVRC2012_img_val.tar: cannot read it as a tar archive: unexpected end of data",
        "download it again",
        "an archive is cut short",
        cut_archive,
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
