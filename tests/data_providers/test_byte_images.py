"""What images as bytes must be; what becomes of them is tested in tests/ops."""

import re

import numpy as np
import pytest

from data_providers import ByteImages, DataError


def make(pixels=None, places=None, mean=None, colours=None):
    return ByteImages(
        np.zeros((2, 5, 6, 3), np.uint8) if pixels is None else pixels,
        np.array([[2, 3, 0], [0, 0, 1]] if places is None else places, np.int32),
        np.zeros((3, 3, 3), np.float32) if mean is None else mean,
        np.zeros((2, 3), np.float32) if colours is None else colours,
    )


def test_crops_are_what_is_seen():
    pixels = np.arange(180, dtype=np.uint8).reshape(2, 5, 6, 3)
    crops = make(pixels).crops()
    np.testing.assert_array_equal(crops[0], pixels[0, 2:5, 3:6])
    np.testing.assert_array_equal(crops[1], pixels[1, 0:3, 2::-1])


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"pixels": np.zeros((2, 5, 6, 3), np.float32)}, "found [('float32', (2, 5, 6, 3)),"),
        ({"pixels": np.zeros((2, 5, 3, 6), np.uint8).transpose(0, 1, 3, 2)}, "C-contiguous"),
        ({"places": [[0, 0, 0]]}, "('int32', (1, 3))"),
        ({"mean": np.zeros((1, 3, 3), np.float32)}, "('float32', (1, 3, 3))"),
        ({"colours": np.zeros((2, 3))}, "('float64', (2, 3))"),
    ],
)
def test_other_arrays_than_expected(arguments, found):
    says = "ByteImages: expected C-contiguous pixels, places, mean, colours [('uint8', (2, 5, "
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        make(**arguments)
    assert found in str(caught.value)


@pytest.mark.parametrize("place", [[3, 0, 0], [0, 4, 0], [-1, 0, 0], [0, 0, 2]])
def test_a_crop_outside_of_its_image(place):
    says = f"case 1: expected a crop of 3x3 within 5x6 pixels, mirrored 0 or 1; found {place}"
    with pytest.raises(DataError, match=re.escape(says)):
        make(places=[[0, 0, 0], place])


def test_all_rows_belong_together():
    with pytest.raises(IndexError, match="only cases can be taken"):
        make()[:9, :1]
