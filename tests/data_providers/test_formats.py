import hashlib
import json
import re

import numpy as np
import pytest
import safetensors.numpy

from data_providers import DataError, ProviderOptions, create
from data_providers.formats import PreparedStore, write_data_set
from tests.data_providers.helpers import prepared, random_batch


@pytest.fixture
def folder(tmp_path):
    prepared(tmp_path / "data")
    return tmp_path / "data"


def edit(folder, change):
    path = folder / "batches.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def replace_tensors(folder, file, **tensors):
    """Writes other tensors into a file of the data set, with the right checksum."""
    content = safetensors.numpy.save(tensors)
    (folder / file).write_bytes(content)

    def change(index):
        for entry in [index["mean"], *index["batches"].values()]:
            if entry["file"] == file:
                entry["sha256"] = hashlib.sha256(content).hexdigest()

    edit(folder, change)


def test_what_is_written_is_read(tmp_path):
    batches = prepared(tmp_path / "x")
    store = PreparedStore(tmp_path / "x")
    store.verify()
    assert store.shape == (3, 7, 9)
    assert store.label_names == ("a", "b", "c", "d")
    assert store.numbers == (1, 2, 3)
    for number, batch in enumerate(batches, start=1):
        pixels, labels = store.read(number)
        np.testing.assert_array_equal(pixels, batch.pixels)
        np.testing.assert_array_equal(labels, batch.labels)
    training = np.concatenate([batch.pixels for batch in batches[:2]], axis=1)
    np.testing.assert_allclose(store.mean(), training.mean(axis=1, keepdims=True), rtol=1e-6)


def test_the_files_are_as_documented(folder):
    names = ["batches.json", *(f"data_batch_{n}.safetensors" for n in (1, 2, 3))]
    assert sorted(p.name for p in folder.iterdir()) == [*names, "mean.safetensors"]
    batch = safetensors.numpy.load_file(folder / "data_batch_1.safetensors")
    assert (batch["data"].dtype, batch["data"].shape) == (np.uint8, (189, 5))
    assert (batch["labels"].dtype, batch["labels"].shape) == (np.int32, (5,))
    index = json.loads((folder / "batches.json").read_text())
    assert (index["version"], index["shape"]) == (1, [3, 7, 9])
    assert index["batches"]["1"]["cases"] == 5


def test_an_interrupted_writing_leaves_nothing(tmp_path):
    def batches():
        yield random_batch((1, 2, 2), 3, 2, seed=0)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_data_set(
            tmp_path / "out",
            batches(),
            shape=(1, 2, 2),
            label_names=("a", "b"),
            recipe="",
            source="",
            report=lambda line: None,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_truncated_batch(folder, size):
    path = folder / "data_batch_2.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    source = create("cifar", folder, [2], ProviderOptions(), test=False)
    with pytest.raises(DataError, match=re.escape(f"{path}: damaged: its checksum is not the one")):
        source.load(2, 1)


def test_a_missing_batch_file(folder):
    (folder / "data_batch_2.safetensors").unlink()
    with pytest.raises(DataError, match=r"data_batch_2.safetensors: cannot read it: No such file"):
        PreparedStore(folder).read(2)


PIXELS = np.zeros((189, 2), np.uint8)
LABELS = np.zeros(2, np.int32)


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ({"data": PIXELS, "labels": LABELS.astype(np.int64)}, "expected labels as int32 (cases,)"),
        ({"data": PIXELS}, "expected labels as int32 (cases,)"),
        ({"data": PIXELS, "labels": LABELS}, "data_batch_3.safetensors: expected 3 cases, found 2"),
        ({"labels": np.zeros(3, np.int32)}, "expected images as uint8 (189, cases), found none"),
    ],
)
def test_other_tensors_than_expected(folder, tensors, text):
    replace_tensors(folder, "data_batch_3.safetensors", **tensors)
    with pytest.raises(DataError, match=re.escape(text)):
        PreparedStore(folder).read(3)


@pytest.mark.parametrize("mean", [np.zeros((9, 1), np.float32), np.zeros((189, 1))])
def test_another_mean_than_expected(folder, mean):
    replace_tensors(folder, "mean.safetensors", mean=mean)
    with pytest.raises(DataError, match=re.escape("expected the mean image as float32 (189, 1)")):
        PreparedStore(folder).mean()


def test_a_file_that_is_no_safetensors_file(folder):
    (folder / "mean.safetensors").write_bytes(b"nothing of the kind")
    digest = hashlib.sha256(b"nothing of the kind").hexdigest()
    edit(folder, lambda index: index["mean"].update(sha256=digest))
    with pytest.raises(DataError, match=r"mean.safetensors: not a safetensors file: "):
        PreparedStore(folder).mean()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda i: i.pop("shape"), "batches.json: no entry 'shape'; prepare the data again"),
        (lambda i: i.update(version=9), "expected format version 1, found 9"),
        (lambda i: i.update(shape=[3, -1, 2]), "damaged: shape must be three positive whole"),
        (lambda i: i.update(shape="big"), "damaged: shape must be three positive whole"),
        (lambda i: i.update(batches={}), "batches.json: no classes or no batches; prepare"),
        (lambda i: i.update(label_names=[]), "batches.json: no classes or no batches; prepare"),
        (lambda i: i["mean"].update(file="../x"), "damaged: '../x' is not a plain file name"),
        (lambda i: i["mean"].update(extra=1), "batches.json: damaged: "),
        (lambda i: i.update(batches=[1]), "batches.json: damaged: "),
    ],
)
def test_a_damaged_index(folder, change, text):
    edit(folder, change)
    with pytest.raises(DataError, match=re.escape(text)):
        PreparedStore(folder)


@pytest.mark.parametrize("content", ["", "[1, 2", "[1]", "[" * 100000, "\x00"])
def test_an_index_that_is_no_json_object(folder, content):
    (folder / "batches.json").write_text(content)
    with pytest.raises(DataError, match=r"batches.json: damaged: .*prepare the data again"):
        PreparedStore(folder)


def test_a_missing_index(tmp_path):
    with pytest.raises(DataError, match=r"batches.json: cannot read it: No such file"):
        PreparedStore(tmp_path)
