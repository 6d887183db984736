import re

import numpy as np
import pytest

from data_providers import DataError, ProviderOptions, create
from data_providers.images import check_batch
from tests.data_providers.helpers import matrices, prepared

SHAPE = (3, 7, 9)
INNER = 4


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data", prepared(tmp_path / "data", SHAPE, cases=(50, 40, 3))


def provider(folder, test=False, batch_range=(1,), **options):
    return create("batches", folder, batch_range, ProviderOptions(**options), test=test)


def crop(images, y, x, mirrored=False):
    """Images (C, H, W, N) cropped at y, x, element by element."""
    channels, _, _, cases = images.shape
    out = np.empty((channels, INNER, INNER, cases))
    for c in range(channels):
        for i in range(INNER):
            for j in range(INNER):
                column = x + INNER - 1 - j if mirrored else x + j
                out[c, i, j] = images[c, y + i, column]
    return out


def mean_of(batches):
    training = np.concatenate([b.pixels for b in batches if b.training], axis=1)
    return training.mean(axis=1, keepdims=True).reshape(*SHAPE, 1)


def test_whole_images_minus_the_mean(data):
    folder, batches = data
    source = provider(folder)
    matrix, labels = matrices(source, 2, 1)
    expected = batches[1].pixels - mean_of(batches).reshape(-1, 1)
    np.testing.assert_allclose(matrix, expected, atol=1e-4)
    np.testing.assert_array_equal(labels, batches[1].labels[None])
    assert matrix.dtype == labels.dtype == np.float32
    assert matrix.flags.c_contiguous
    assert labels.flags.c_contiguous
    assert source.shapes == (SHAPE, (1, 1, 1))
    assert source.label_names == ("a", "b", "c", "d")


def test_scalar_mean_replaces_the_mean_image(data):
    folder, batches = data
    matrix, _ = matrices(provider(folder, scalar_mean=100.0), 1, 1)
    np.testing.assert_array_equal(matrix, batches[0].pixels.astype(np.float32) - 100)


@pytest.mark.parametrize("options", [{}, {"scalar_mean": 100.0}, {"inner_size": INNER}])
def test_plottable_images_are_the_pixels_of_the_file(data, options):
    folder, batches = data
    source = provider(folder, test=True, **options)
    shown = source.plottable(source.load(1, 1)[0])
    _, height, width = source.shapes[0]
    y, x = (SHAPE[1] - height) // 2, (SHAPE[2] - width) // 2
    pixels = batches[0].pixels.reshape(*SHAPE, -1)[:, y : y + height, x : x + width]
    np.testing.assert_allclose(shown, pixels.transpose(3, 1, 2, 0) / 255, atol=1e-6)
    assert shown.min() >= 0
    assert shown.max() <= 1


def test_test_images_are_cropped_at_the_centre(data):
    folder, batches = data
    source = provider(folder, test=True, batch_range=(3,), inner_size=INNER)
    matrix, _ = matrices(source, 3, 1)
    images = batches[2].pixels.reshape(*SHAPE, -1) - mean_of(batches)
    np.testing.assert_allclose(matrix, crop(images, 1, 2).reshape(-1, 3), atol=1e-4)
    assert source.shapes[0] == (3, INNER, INNER)


def test_training_images_are_cropped_anywhere_and_mirrored_at_random(data):
    folder, batches = data
    source = provider(folder, inner_size=INNER)
    images = batches[0].pixels.reshape(*SHAPE, -1)
    mean = crop(mean_of(batches), 1, 2)
    choices = {
        (y, x, mirrored): (crop(images, y, x, mirrored) - mean).reshape(-1, 50)
        for y in range(SHAPE[1] - INNER + 1)
        for x in range(SHAPE[2] - INNER + 1)
        for mirrored in (False, True)
    }
    seen = []
    for epoch in range(20):
        matrix, labels = matrices(source, 1, epoch)
        np.testing.assert_array_equal(labels[0], batches[0].labels)
        for case in range(50):
            fits = [
                place
                for place, expected in choices.items()
                if np.allclose(matrix[:, case], expected[:, case], atol=1e-4)
            ]
            assert len(fits) == 1
            seen += fits
    # 1000 crops over 48 equal choices: about 21 of each.
    counts = [seen.count(place) for place in choices]
    assert min(counts) > 5
    assert max(counts) < 45


def test_mirroring_can_be_switched_off(data):
    folder, batches = data
    images = batches[0].pixels.reshape(*SHAPE, -1)
    matrix, _ = matrices(provider(folder, inner_size=7, mirror=False, scalar_mean=0.0), 1, 1)
    crops = matrix.reshape(3, 7, 7, 50)
    for case in range(50):
        assert any(
            np.array_equal(crops[..., case], images[:, :, x : x + 7, case]) for x in range(3)
        )


def test_a_batch_depends_on_number_epoch_and_seed_alone(data):
    folder, _ = data
    source = provider(folder, inner_size=INNER, seed=5)
    first = matrices(source, 1, 3)[0]
    matrices(source, 2, 1)
    np.testing.assert_array_equal(matrices(source, 1, 3)[0], first)
    again = provider(folder, inner_size=INNER, seed=5)
    np.testing.assert_array_equal(matrices(again, 1, 3)[0], first)
    assert not np.array_equal(matrices(source, 1, 4)[0], first)
    assert not np.array_equal(matrices(provider(folder, inner_size=INNER, seed=6), 1, 3)[0], first)


def test_ten_views(data):
    folder, batches = data
    source = provider(folder, test=True, inner_size=INNER, multiview_test=True)
    matrix, labels = matrices(source, 3, 1)
    assert source.num_views == 10
    assert matrix.shape == (3 * INNER * INNER, 30)
    images = batches[2].pixels.reshape(*SHAPE, -1)
    mean = crop(mean_of(batches), 1, 2)
    places = [(0, 0), (0, 5), (1, 2), (3, 0), (3, 5)]
    for view, (y, x) in enumerate(places):
        for mirrored in (False, True):
            expected = (crop(images, y, x, mirrored) - mean).reshape(-1, 3)
            start = 3 * (view + 5 * mirrored)
            np.testing.assert_allclose(matrix[:, start : start + 3], expected, atol=1e-4)
            np.testing.assert_array_equal(labels[0, start : start + 3], batches[2].labels)
            alone = source.load_view(3, view + 5 * mirrored)
            np.testing.assert_array_equal(alone[0], matrix[:, start : start + 3])
            np.testing.assert_array_equal(alone[1], labels[:, start : start + 3])


def test_multiview_leaves_training_alone(data):
    source = provider(data[0], inner_size=INNER, multiview_test=True)
    assert source.num_views == 1
    assert matrices(source, 1, 1)[0].shape == (3 * INNER * INNER, 50)


def test_the_crop_must_fit(data):
    with pytest.raises(DataError, match="--inner-size 8 does not fit images of 7x9 pixels"):
        provider(data[0], inner_size=8)


def test_the_crop_must_not_be_negative(data):
    with pytest.raises(DataError, match="--inner-size -1: expected 0 or more"):
        provider(data[0], inner_size=-1)


def test_views_need_a_crop(data):
    with pytest.raises(DataError, match="--multiview-test 1 needs --inner-size: the views are"):
        provider(data[0], multiview_test=True)


PIXELS = np.zeros((6, 3), np.uint8)
LABELS = np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("pixels", "labels", "text"),
    [
        (None, LABELS, "b: expected images as uint8 (6, cases), found none"),
        (PIXELS.astype(float), LABELS, "expected images as uint8 (6, cases), found float64 (6, 3)"),
        (PIXELS[:5], LABELS, "expected images of 6 values (channels x height x width), one per"),
        (PIXELS, LABELS[:2], "expected one label for each of 3 images (one at least), found 2"),
        (PIXELS[:, :0], LABELS[:0], "expected one label for each of 0 images (one at least)"),
        (PIXELS, np.array([0, 2, 1]), "b: label 2 of case 1 is outside 0..1"),
        (PIXELS, np.array([0, 1, -1]), "b: label -1 of case 2 is outside 0..1"),
    ],
)
def test_what_stores_check(pixels, labels, text):
    with pytest.raises(DataError, match=re.escape(text)):
        check_batch("b", pixels, labels, 6, classes=2)
