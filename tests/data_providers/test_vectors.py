import pickle
import re

import numpy as np
import pytest

from data_providers import DataError, ProviderOptions, create

DATA = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
LABELS = [2, 0, 1, 1]
MEAN = np.arange(6.0).reshape(6, 1)


def write(folder, meta, batch):
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, 2))
    (folder / "data_batch_3").write_bytes(pickle.dumps(batch, 2))


def open_at(folder, name="labeled", **options):
    return create(name, folder, [3], ProviderOptions(**options), test=False)


@pytest.mark.parametrize("name", ["default", "memory", "labeled", "labeled-memory"])
@pytest.mark.parametrize("data", [DATA, DATA.T, (DATA * 9).astype(np.int8)])
def test_numbers_minus_the_mean(tmp_path, name, data):
    write(tmp_path, {"data_mean": MEAN, "label_names": ["x"]}, {"data": data, "labels": LABELS})
    provider = open_at(tmp_path, name)
    assert provider.shapes[0] == (6, 1, 1)
    matrix, *labels = provider.load(3, 1)
    columns = data if data.shape == (6, 4) else data.T
    np.testing.assert_allclose(matrix, columns - MEAN, atol=1e-6)
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert len(provider.shapes) == 1 + len(labels)
    if name.startswith("labeled"):
        np.testing.assert_array_equal(labels, [[LABELS]])
        assert labels[0].dtype == np.float32


def test_without_a_mean_or_with_another(tmp_path):
    write(tmp_path, {"num_vis": 6}, {"data": DATA})
    np.testing.assert_array_equal(open_at(tmp_path, "default").load(3, 1)[0], DATA)
    shifted = open_at(tmp_path, "default", scalar_mean=2.0).load(3, 1)[0]
    np.testing.assert_array_equal(shifted, DATA - 2)


def test_parts_are_joined(tmp_path):
    write(tmp_path, {"num_vis": 6}, {"data": DATA, "labels": LABELS})
    (tmp_path / "data_batch_3").rename(tmp_path / "data_batch_3.1")
    (tmp_path / "data_batch_3.2").write_bytes(pickle.dumps({"data": -DATA, "labels": LABELS}))
    matrix, labels = open_at(tmp_path).load(3, 1)
    np.testing.assert_array_equal(matrix, np.hstack([DATA, -DATA]))
    np.testing.assert_array_equal(labels, [LABELS + LABELS])


@pytest.mark.parametrize(
    ("meta", "batch", "text"),
    [
        ([], {}, "batches.meta: expected a dict"),
        ({"num_vis": "x"}, {}, "expected num_vis, the numbers of a case, or a data_mean of them"),
        ({"num_vis": 5, "data_mean": MEAN}, {}, "found 5 and a mean of 6"),
        ({"data_mean": "x"}, {}, "batches.meta: expected data_mean as numbers"),
        ({"num_vis": 6}, [], "data_batch_3: expected a dict with data"),
        ({"num_vis": 6}, {"data": DATA}, "data_batch_3: expected a dict with labels"),
        ({"num_vis": 6}, {"data": ["a"]}, "data_batch_3: expected data as numbers"),
        ({"num_vis": 7}, {"data": DATA}, "expected data as (7, cases), found (6, 4)"),
    ],
)
def test_other_content_than_expected(tmp_path, meta, batch, text):
    write(tmp_path, meta, batch)
    with pytest.raises(DataError, match=re.escape(text)):
        open_at(tmp_path).load(3, 1)


def test_crops_make_no_sense_here(tmp_path):
    write(tmp_path, {"num_vis": 6}, {"data": DATA})
    with pytest.raises(DataError, match="does not understand --inner-size"):
        open_at(tmp_path, inner_size=1)
