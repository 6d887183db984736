import re
from pathlib import Path

import numpy as np
import pytest

from data_providers import DataError, DataProvider, ProviderOptions
from data_providers.base import infer_shape, number_ranges


class Counting(DataProvider):
    """Batch n holds the number n, in two cases."""

    def open(self):
        self.shapes = ((1, 1, 2), (1, 1, 1))
        self.label_names = ("x", "y")
        return (1, 2, 3, 5)

    def load(self, number, epoch):
        return [np.full((2, 2), number, np.float32), np.zeros((1, 2), np.float32)]


def make(batch_range=(1, 2), options=None, test=False):
    return Counting(Path("somewhere"), batch_range, options or ProviderOptions(), test=test)


def test_the_range_must_exist():
    with pytest.raises(DataError, match=re.escape("somewhere: no batch 4,6-7 for the training")):
        make([3, 4, 5, 6, 7])
    with pytest.raises(DataError, match=re.escape("the test range 9; there is 1-3,5")):
        make([9], test=True)


def test_plottable_images_are_scaled_together():
    images = np.array([[-1, 3], [0, 1]], np.float32)
    shown = make().plottable(images)
    assert shown.tolist() == [[[[0], [0.25]]], [[[1], [0.5]]]]
    assert not make().plottable(np.full((2, 3), 7, np.float32)).any()


def test_the_range_must_not_be_empty():
    with pytest.raises(DataError, match="the test range is empty; name at least one batch"):
        make([], test=True)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (ProviderOptions(inner_size=3), "--inner-size"),
        (ProviderOptions(mirror=False), "--mirror"),
    ],
)
def test_options_that_would_have_no_effect_are_refused(options, name):
    with pytest.raises(DataError, match=f"Counting does not understand {name}; leave it out"):
        make(options=options)


def test_every_provider_takes_a_seed_even_a_negative_one():
    a, b = (make(options=ProviderOptions(seed=seed)).rng(1, 1).random(3) for seed in (-1, -2))
    assert not np.array_equal(a, b)


def test_random_numbers_depend_on_batch_and_epoch_only():
    provider = make()
    first = provider.rng(2, 3).random(4)
    provider.rng(1, 1).random()
    np.testing.assert_array_equal(provider.rng(2, 3).random(4), first)
    assert not np.array_equal(provider.rng(3, 2).random(4), first)


@pytest.mark.parametrize(
    ("dimension", "shape"),
    [(192, (3, 8, 8)), (3, (3, 1, 1)), (784, (1, 28, 28)), (1, (1, 1, 1)), (10, (10, 1, 1))],
)
def test_infer_shape(dimension, shape):
    assert infer_shape(dimension) == shape


def test_a_view_is_a_part_of_what_is_loaded():
    class Views(Counting):
        num_views = 3

        def load(self, number, epoch):
            return [np.arange(12.0, dtype=np.float32).reshape(2, 6), np.zeros((1, 6), np.float32)]

    provider = Views(Path(), [1], ProviderOptions(), test=True)
    data, labels = provider.load_view(1, 2)
    assert data.tolist() == [[4, 5], [10, 11]]
    assert labels.shape == (1, 2)
    provider.num_views = 4
    with pytest.raises(DataError, match="batch 1: expected 4 views of its cases, found 6 columns"):
        provider.load_view(1, 0)


def test_number_ranges():
    assert number_ranges([7, 3, 1, 2, 2]) == "1-3,7"
    assert number_ranges([]) == "none"


def test_an_error_is_one_line():
    assert str(DataError("one\ntwo")) == "one two"


def test_a_provider_must_set_its_shapes(tmp_path):
    class Shapeless(Counting):
        def open(self):
            return [1]

    with pytest.raises(DataError, match=r"^Shapeless\.open must set shapes, one for each matrix$"):
        Shapeless(tmp_path, [1], ProviderOptions(), test=False)
