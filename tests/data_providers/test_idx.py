import re

import numpy as np
import pytest

from data_providers import DataError, ProviderOptions, create
from data_providers.idx import read_idx
from tests.data_providers.helpers import idx_folder, matrices, write_idx


def provider(folder, batch_range=(1,), **options):
    return create("idx", folder, batch_range, ProviderOptions(**options), test=False)


def test_batches_of_both_parts_are_numbered_on(tmp_path):
    parts = idx_folder(tmp_path, train=7, test=4)
    source = provider(tmp_path, range(1, 6), batch_size=3)
    images = np.concatenate([parts["train"][0], parts["t10k"][0]]).reshape(11, 20).T
    labels = np.concatenate([parts["train"][1], parts["t10k"][1]])
    mean = parts["train"][0].mean(axis=0).reshape(-1, 1)
    assert source.shapes == ((1, 4, 5), (1, 1, 1))
    assert source.label_names == ("0", "1", "2")
    for number, cases in enumerate([[0, 1, 2], [3, 4, 5], [6], [7, 8, 9], [10]], start=1):
        matrix, found = matrices(source, number, 1)
        np.testing.assert_allclose(matrix, images[:, cases] - mean, atol=1e-4)
        np.testing.assert_array_equal(found[0], labels[cases])
        assert matrix.flags.c_contiguous


def test_other_separator_in_the_file_names(tmp_path):
    idx_folder(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    assert matrices(provider(tmp_path), 1, 1)[0].shape == (20, 7)


def test_crops(tmp_path):
    idx_folder(tmp_path)
    assert matrices(provider(tmp_path, inner_size=3), 1, 1)[0].shape == (9, 7)


def test_a_missing_batch(tmp_path):
    idx_folder(tmp_path)
    with pytest.raises(DataError, match="no batch 3 for the training range 1,3; there is 1-2"):
        provider(tmp_path, [1, 3])


def test_a_missing_file(tmp_path):
    idx_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"expected a file t10k-labels-\*-ubyte, plain or .gz"):
        provider(tmp_path)


def test_parts_of_different_sizes(tmp_path):
    idx_folder(tmp_path)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", np.zeros((4, 3, 3)))
    text = "expected test images of (1, 4, 5) as in training, found (1, 3, 3)"
    with pytest.raises(DataError, match=re.escape(text)):
        provider(tmp_path)


def test_more_labels_than_images(tmp_path):
    idx_folder(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(9))
    with pytest.raises(DataError, match=r"train-labels-.* expected one label for each of 7 images"):
        provider(tmp_path)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not an idx file of bytes with 1 dimensions"),
        (b"\0\0\x08\x03\0\0\0\x01", "not an idx file of bytes with 1 dimensions"),
        (b"\0\0\x0d\x01\0\0\0\x01a", "not an idx file of bytes with 1 dimensions"),
        (b"\0\0\x08\x01\0\0\0\x03ab", "expected 3 values after the header, found 2"),
        (b"\0\0\x08\x01\0\0\0\x01ab", "expected 1 values after the header, found more"),
    ],
)
def test_damaged_files(tmp_path, content, text):
    path = tmp_path / "labels"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path}: {text}"):
        read_idx(path, 1)


@pytest.mark.parametrize("cut", [5, 30, -4])
def test_damaged_gzip_files(tmp_path, cut):
    path = tmp_path / "images.gz"
    write_idx(path, np.arange(24).reshape(2, 3, 4))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=f"{path}: cannot read it: "):
        read_idx(path, 3)
