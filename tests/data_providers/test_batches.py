import pickle
import re

import numpy as np
import pytest

from data_providers import DataError, ProviderOptions, create
from data_providers.batches import PickledStore, pickled_batch
from tests.data_providers.helpers import colmajor_folder, prepared, random_batch

SHAPE = (3, 6, 6)


@pytest.fixture
def original(tmp_path):
    """A folder as cuda-convnet's own: Python 2 pickles, a column per case."""
    batches = {n: random_batch(SHAPE, 4 + n, 4, seed=n) for n in (1, 2, 6)}
    colmajor_folder(tmp_path / "original", batches)
    return tmp_path / "original", batches


def test_reads_the_original_pickles(original):
    folder, batches = original
    source = create("cifar", folder, [1, 2], ProviderOptions(), test=False)
    assert source.shapes == (SHAPE, (1, 1, 1))
    assert source.label_names == ("a", "b", "c", "d")
    mean = np.mean([b.pixels.mean(axis=1) for b in batches.values()], axis=0)[:, None]
    matrix, labels = source.load(2, 1)
    np.testing.assert_allclose(matrix, batches[2].pixels - mean, atol=1e-4)
    np.testing.assert_array_equal(labels[0], batches[2].labels)


def test_both_formats_give_the_same(tmp_path):
    batches = prepared(tmp_path / "ours", SHAPE)
    training = np.concatenate([b.pixels for b in batches[:2]], axis=1)
    colmajor_folder(tmp_path / "theirs", dict(enumerate(batches, start=1)))
    meta = {"label_names": list("abcd"), "data_mean": training.mean(axis=1, keepdims=True)}
    (tmp_path / "theirs" / "batches.meta").write_bytes(pickle.dumps(meta, 2))
    options = ProviderOptions(inner_size=4, seed=3)
    ours, theirs = (
        create("cifar", tmp_path / name, [1, 2], options, test=False).load(2, 7)
        for name in ("ours", "theirs")
    )
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_the_range_names_what_exists(original):
    with pytest.raises(DataError, match="no batch 3-5 for the training range 1-5; there is 1-2,6"):
        create("cifar", original[0], range(1, 6), ProviderOptions(), test=False)


def test_neither_format(tmp_path):
    text = f"{tmp_path}: expected a folder with batches.json (prepared data) or batches.meta"
    with pytest.raises(DataError, match=re.escape(text)):
        create("cifar", tmp_path, [1], ProviderOptions(), test=False)


def test_a_truncated_batch(original):
    folder, _ = original
    path = folder / "data_batch_2"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=re.escape(f"{path}: not a readable pickle")):
        PickledStore(folder).read(2)


@pytest.mark.parametrize(
    ("meta", "text"),
    [
        ({"label_names": ["a"]}, "no data_mean, the mean image; this is not the py-colmajor"),
        ({"label_names": ["a"], "data_mean": "x"}, "batches.meta: no data_mean"),
        ({"data_mean": np.zeros(3)}, "expected a dict with label_names, a list of class names"),
        ([1], "expected a dict with label_names, a list of class names"),
    ],
)
def test_another_meta_than_expected(tmp_path, meta, text):
    (tmp_path / "batches.meta").write_bytes(pickle.dumps(meta))
    with pytest.raises(DataError, match=text):
        PickledStore(tmp_path)


PIXELS = np.zeros((12, 2), np.uint8)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ([], "b: expected a dict with data and labels"),
        ({"data": PIXELS}, "b: expected a dict with data and labels"),
        ({"data": PIXELS, "labels": ["a", "b"]}, "expected labels as whole numbers, one per"),
        ({"data": PIXELS, "labels": [[1], [2, 3]]}, "expected labels as whole numbers, one per"),
        ({"data": PIXELS, "labels": [0, 3]}, "b: label 3 of case 1 is outside 0..2"),
        ({"data": PIXELS[:3], "labels": [0, 1]}, "expected images of 12 values"),
        ({"data": "x", "labels": [0, 1]}, "expected images as uint8 (12, cases), found none"),
    ],
)
def test_another_batch_than_expected(raw, text):
    with pytest.raises(DataError, match=re.escape(text)):
        pickled_batch(raw, "b", 12, classes=3, rows=False)


def test_rows_per_case():
    rows = np.arange(12, dtype=np.uint8).reshape(2, 6)
    pixels, labels = pickled_batch({"data": rows, "labels": [1, 0]}, "b", 6, 2, rows=True)
    np.testing.assert_array_equal(pixels, rows.T)
    np.testing.assert_array_equal(labels, [1, 0])
