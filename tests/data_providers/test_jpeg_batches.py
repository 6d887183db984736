import hashlib
import json
import pickle
import re

import numpy as np
import pytest
import safetensors.numpy

from data_providers import DataError
from data_providers.jpeg_batches import ColourPca, JpegBatch, JpegStore, PickledJpegs
from tests.data_providers.helpers import python2_list
from tests.data_providers.jpegs import (
    MEAN,
    NAMES,
    PCA,
    jpeg_batch,
    jpeg_folder,
    pickled_jpeg_folder,
    python2_bytes,
)

LABELS = [[2], [0, 3], [], [1, 2, 3], [1]]


@pytest.fixture
def batch():
    return jpeg_batch(5, 0, LABELS)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("pickled", [False, True])
def test_what_is_written_is_read(tmp_path, batch, parts, pickled):
    batches = {0: jpeg_batch(2, 1), 1000: batch}
    if pickled:
        store = PickledJpegs(pickled_jpeg_folder(tmp_path, batches, parts))
    else:
        store = JpegStore(jpeg_folder(tmp_path, batches))
        store.verify()
    assert store.numbers == (0, 1000)
    assert store.label_names == NAMES
    assert store.shape == (3, 8, 8)
    found = store.read(1000)
    assert [bytes(jpeg) for jpeg in found.jpegs] == batch.jpegs
    assert [labels.tolist() for labels in found.labels] == LABELS
    np.testing.assert_array_equal(store.mean(), MEAN)
    np.testing.assert_array_equal(store.colour_pca().deviations, PCA.deviations)
    np.testing.assert_array_equal(store.colour_pca().directions, PCA.directions)


def test_the_files_are_as_documented(tmp_path, batch):
    folder = jpeg_folder(tmp_path, {4: batch})
    tensors = safetensors.numpy.load_file(folder / "data_batch_4.safetensors")
    assert tensors["data"].tobytes() == b"".join(batch.jpegs)
    assert tensors["offsets"].dtype == tensors["label_offsets"].dtype == np.int64
    sizes = [len(jpeg) for jpeg in batch.jpegs]
    assert tensors["offsets"].tolist() == [sum(sizes[:i]) for i in range(6)]
    assert (tensors["labels"].dtype, tensors["labels"].tolist()) == (
        np.int32,
        [2, 0, 3, 1, 2, 3, 1],
    )
    assert tensors["label_offsets"].tolist() == [0, 1, 3, 3, 6, 7]
    assert json.loads((folder / "batches.json").read_text())["images"] == "jpeg"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"data": np.zeros(3, np.float32)}, "expected data as uint8 with one dimension"),
        ({"labels": np.zeros(7, np.int64)}, "expected labels as int32 with one dimension"),
        ({"offsets": np.zeros(6, np.int32)}, "expected offsets as int64 (6,)"),
        ({"offsets": np.zeros(5, np.int64)}, "expected offsets as int64 (6,)"),
        ({"offsets": np.zeros(6, np.int64)}, "offsets must rise from 0 to "),
        ({"label_offsets": np.array([1, 1, 3, 3, 6, 7])}, "label_offsets must rise from 0 to 7"),
        ({"label_offsets": np.array([0, 3, 1, 3, 6, 7])}, "label_offsets must rise from 0 to 7"),
        (
            {"labels": np.array([2, 0, 4, 1, 2, 3, 1], np.int32)},
            "label 4 of case 1 is outside 0..3",
        ),
        ({"labels": np.array([-1, 0, 0, 1, 2, 3, 1], np.int32)}, "label -1 of case 0 is outside"),
    ],
)
def test_other_tensors_than_expected(tmp_path, batch, change, text):
    folder = jpeg_folder(tmp_path, {4: batch})
    content = safetensors.numpy.save({**batch.tensors(), **change})
    (folder / "data_batch_4.safetensors").write_bytes(content)
    index = json.loads((folder / "batches.json").read_text())
    index["batches"]["4"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "batches.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=re.escape(text)):
        JpegStore(folder).read(4)


def test_label_offset(tmp_path):
    one_based = JpegBatch(jpeg_batch(3, 0).jpegs, [np.array(y) for y in ([1], [4, 2], [])])
    folder = pickled_jpeg_folder(tmp_path, {1: one_based}, label_offset=b"J\xff\xff\xff\xff")
    found = PickledJpegs(folder).read(1)
    assert [labels.tolist() for labels in found.labels] == [[0], [3, 1], []]


def test_a_single_label_need_not_be_in_a_list(tmp_path, batch):
    folder = pickled_jpeg_folder(tmp_path, {})
    (folder / "data_batch_1").write_bytes(
        pickle.dumps({"data": batch.jpegs, "labels": [1, 0, 3, 2, 1]})
    )
    assert [y.tolist() for y in PickledJpegs(folder).read(1).labels] == [[1], [0], [3], [2], [1]]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ([], "data_batch_1: expected a dict with data and labels"),
        ({"data": np.zeros(3), "labels": []}, "expected data as a list of JPEGs and labels as a"),
        ({"data": [7], "labels": [[1]]}, "expected data as a list of JPEGs, as strings of bytes"),
        ({"data": [b"x"], "labels": [[1.5]]}, "expected labels as a list of whole numbers each"),
        ({"data": [b"x"], "labels": [["a"]]}, "expected labels as a list of whole numbers each"),
        ({"data": [b"x"], "labels": []}, "as many lists of labels as JPEGs, one at least; found 0"),
        (
            {"data": [], "labels": []},
            "as many lists of labels as JPEGs, one at least; found 0 and 0",
        ),
        ({"data": [b"x"], "labels": [[9]]}, "label 9 of case 0 is outside 0..3"),
    ],
)
def test_other_pickles_than_expected(tmp_path, raw, text):
    folder = pickled_jpeg_folder(tmp_path, {})
    (folder / "data_batch_1").write_bytes(pickle.dumps(raw))
    with pytest.raises(DataError, match=re.escape(text)):
        PickledJpegs(folder).read(1)


@pytest.mark.parametrize(
    ("meta", "text"),
    [
        ({"num_vis": b"K\x07"}, "expected num_vis, the 3 * S * S values of an image; found 7"),
        ({"num_vis": python2_bytes(b"x")}, "expected num_vis, the 3 * S * S values of an image"),
        ({"data_mean": b"K\x07"}, "expected the mean image data_mean as numbers (192, 1)"),
        ({"color_pca": b"K\x07"}, "expected color_pca, for --color-noise, as numbers (3,)"),
        ({"label_names": b"K\x07"}, "expected a dict with label_names, a list of class names"),
        ({"label_offset": python2_list(["a"])}, "expected labels as a list of whole numbers"),
    ],
)
def test_another_meta_than_expected(tmp_path, batch, meta, text):
    folder = pickled_jpeg_folder(tmp_path, {1: batch}, **meta)

    def use():
        store = PickledJpegs(folder)
        store.mean()
        store.colour_pca()

    with pytest.raises(DataError, match=re.escape(text)):
        use()


def test_the_side_follows_from_the_mean_too(tmp_path, batch):
    folder = pickled_jpeg_folder(tmp_path, {1: batch})
    path = folder / "batches.meta"
    path.write_bytes(path.read_bytes().replace(b"num_vis", b"unknown"))
    assert PickledJpegs(folder).shape == (3, 8, 8)


def test_the_components_of_known_colours():
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    colours = 128 + directions @ (np.array([[3], [10], [30]]) * rng.standard_normal((3, 100000)))
    colours = np.rint(colours).astype(np.int64)
    pca = ColourPca.of(colours.sum(axis=1), colours @ colours.T, colours.shape[1])
    np.testing.assert_allclose(pca.deviations, [3, 10, 30], rtol=0.02)
    np.testing.assert_allclose(np.abs(pca.directions.T @ directions), np.eye(3), atol=0.01)
    assert (pca.directions[np.abs(pca.directions).argmax(axis=0), range(3)] > 0).all()


def test_the_components_of_one_colour():
    sums = np.array([10, 20, 30])
    pca = ColourPca.of(10 * sums, 10 * np.outer(sums, sums), 10)
    np.testing.assert_array_equal(pca.deviations, 0)
