import gzip
import pickle
import re
import zipfile
from itertools import pairwise

import numpy as np
import pytest

from data_providers import DataError, ProviderOptions, create
from data_providers.batches import PickledStore
from data_providers.formats import Batch
from data_providers.pickled_batches import check_part, pixel_batch
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
        ({"label_names": ["a"]}, "batches.meta: expected data_mean, the mean image, or num_vis,"),
        ({"label_names": ["a"], "data_mean": "x"}, "batches.meta: expected data_mean"),
        ({"label_names": ["a"], "num_vis": 0}, "batches.meta: expected data_mean"),
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
        pixel_batch([("b", check_part(raw, "b"))], 12, classes=3)


def test_rows_per_case():
    rows = np.arange(12, dtype=np.uint8).reshape(2, 6)
    pixels, labels = pixel_batch([("b", {"data": rows, "labels": [1, 0]})], 6, 2)
    np.testing.assert_array_equal(pixels, rows.T)
    np.testing.assert_array_equal(labels, [1, 0])


class TestParts:
    """A batch in several files, as either version of cuda-convnet wrote it."""

    @pytest.fixture
    def whole(self):
        return random_batch((3, 4, 4), 12, 4, seed=0)

    def parts(self, whole, cuts):
        return {
            number: Batch(whole.pixels[:, a:b], whole.labels[a:b], True)
            for number, (a, b) in enumerate(pairwise(cuts))
        }

    def check(self, folder, whole):
        store = PickledStore(folder)
        assert store.numbers == (7,)
        pixels, labels = store.read(7)
        np.testing.assert_array_equal(pixels, whole.pixels)
        np.testing.assert_array_equal(labels, whole.labels)

    def test_version_1(self, tmp_path, whole):
        colmajor_folder(tmp_path, self.parts(whole, [0, 5, 9, 12]))
        for number in range(3):
            (tmp_path / f"data_batch_{number}").rename(tmp_path / f"data_batch_7.{number + 1}")
        self.check(tmp_path, whole)

    def test_version_2_in_the_order_of_numbers(self, tmp_path, whole):
        colmajor_folder(tmp_path, self.parts(whole, range(13)))
        (tmp_path / "parts").mkdir()
        for number in range(12):
            path = tmp_path / f"data_batch_{number}"
            path.rename(tmp_path / "parts" / f"data_batch_7.{number}")
        (tmp_path / "parts" / ".hidden").write_text("x")
        (tmp_path / "parts").rename(tmp_path / "data_batch_7")
        (tmp_path / "data_batch_8").mkdir()  # an empty folder is no batch
        self.check(tmp_path, whole)

    def test_packed_with_gzip_or_zip(self, tmp_path, whole):
        colmajor_folder(tmp_path, {7: whole})
        path = tmp_path / "data_batch_7"
        content = path.read_bytes()
        path.write_bytes(gzip.compress(content))
        self.check(tmp_path, whole)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("data", content)
        self.check(tmp_path, whole)


def without_mean(folder):
    path = folder / "batches.meta"
    meta = {"label_names": list("abcd"), "num_vis": np.int64(48)}
    path.write_bytes(pickle.dumps(meta))


def test_without_a_mean_image(tmp_path):
    batch = random_batch((3, 4, 4), 5, 4, seed=0)
    colmajor_folder(tmp_path, {1: batch})
    without_mean(tmp_path)
    source = create("cifar", tmp_path, [1], ProviderOptions(scalar_mean=100.0), test=True)
    np.testing.assert_array_equal(source.load(1, 1)[0], batch.pixels.astype(np.float32) - 100)
    with pytest.raises(DataError, match=r"no data_mean, the mean image; give --scalar-mean, or"):
        create("cifar", tmp_path, [1], ProviderOptions(), test=True)


def test_cropped_by_a_border(tmp_path):
    prepared(tmp_path, shape=(3, 9, 9), cases=(6, 4))
    by_border, by_size = (
        [create(name, tmp_path, [1], options, test=test).load(1, 3)[0] for test in (False, True)]
        for name, options in [
            ("cifar-cropped", ProviderOptions(crop_border=2)),
            ("cifar", ProviderOptions(inner_size=5)),
        ]
    )
    for a, b in zip(by_border, by_size, strict=True):
        np.testing.assert_array_equal(a, b)
    assert create("cifar-cropped", tmp_path, [1], ProviderOptions(), test=True).inner == (1, 1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"crop_border": 5}, "--crop-border 5 leaves nothing of images of 9 pixels"),
        ({"crop_border": -1}, "--crop-border -1: expected 0 or more"),
        ({"inner_size": 4}, "CroppedProvider does not understand --inner-size"),
    ],
)
def test_impossible_borders(tmp_path, options, text):
    prepared(tmp_path, shape=(3, 9, 9))
    with pytest.raises(DataError, match=text):
        create("cifar-cropped", tmp_path, [1], ProviderOptions(**options), test=False)
