"""The provider `image` against plain loops over the pictures."""

import re

import numpy as np
import pytest

from data_providers import DataError, ProviderOptions, create, image, jpegs
from data_providers.jpeg_batches import JpegBatch
from tests.data_providers.helpers import matrices, prepared
from tests.data_providers.jpegs import (
    MEAN,
    NAMES,
    PCA,
    SIDE,
    encoded,
    jpeg_batch,
    jpeg_folder,
    pickled_jpeg_folder,
    picture,
    pixels,
)

LABELS = [[2], [0, 3], [], [1, 2, 3], [1], [3, 0], [2]]
INNER = 5


@pytest.fixture(scope="module")
def batches():
    return {0: jpeg_batch(7, 1, LABELS), 3: jpeg_batch(37, 2), 1000: jpeg_batch(6, 3)}


@pytest.fixture(scope="module", params=["safe", "pickled"])
def folder(request, tmp_path_factory, batches):
    path = tmp_path_factory.mktemp("jpegs")
    if request.param == "safe":
        return jpeg_folder(path, batches)
    return pickled_jpeg_folder(path, batches, parts=3)


def open_at(folder, batch_range=(0, 3), test=False, **options):
    return create("image", folder, batch_range, ProviderOptions(**options), test=test)


def mean_crop(inner=INNER):
    """(inner, inner, 3)"""
    start = (SIDE - inner) // 2
    inside = slice(start, start + inner)
    return MEAN.reshape(3, SIDE, SIDE)[:, inside, inside].transpose(1, 2, 0)


def as_image(column, inner=INNER):
    return column.reshape(3, inner, inner).transpose(1, 2, 0)


def matching_crops(whole, found, inner=INNER):
    """The places (y, x, mirrored) at which the picture minus the mean crop is `found`."""
    height, width, _ = whole.shape
    return [
        (y, x, mirrored)
        for y in range(height - inner + 1)
        for x in range(width - inner + 1)
        for mirrored in (False, True)
        for crop in [whole[y : y + inner, x : x + inner]]
        if np.allclose((crop[:, ::-1] if mirrored else crop) - mean_crop(inner), found, atol=1e-3)
    ]


def test_shapes_and_names(folder):
    provider = open_at(folder, inner_size=INNER)
    assert provider.shapes == ((3, INNER, INNER), (1, 1, 1), (4, 1, 1))
    assert provider.label_names == NAMES
    for matrix, rows in zip(matrices(provider, 3, 1), (75, 1, 4), strict=True):
        assert matrix.shape == (rows, 37)
        assert matrix.dtype == np.float32
        assert matrix.flags.c_contiguous


def test_training_crops_lie_anywhere_in_the_picture(folder, batches):
    provider = open_at(folder, inner_size=INNER)
    places, mirrored = set(), 0
    for epoch in range(1, 4):
        data = matrices(provider, 3, epoch)[0]
        for case, jpeg in enumerate(batches[3].jpegs):
            whole = pixels(jpeg).astype(float)
            ((y, x, turned),) = matching_crops(whole, as_image(data[:, case]))
            places |= {("y", y), ("x", x)}
            mirrored += turned
    # Pictures are up to 13 high and 11 wide.
    assert places == {("y", y) for y in range(9)} | {("x", x) for x in range(7)}
    assert 30 < mirrored < 81  # of 111


def test_no_mirroring_and_no_crop(folder, batches):
    plain = open_at(folder, inner_size=INNER, mirror=False)
    data = matrices(plain, 3, 1)[0]
    for case, jpeg in enumerate(batches[3].jpegs):
        ((_, _, turned),) = matching_crops(pixels(jpeg).astype(float), as_image(data[:, case]))
        assert not turned
    whole = open_at(folder)
    assert whole.shapes[0] == (3, SIDE, SIDE)
    data = matrices(whole, 0, 1)[0]
    for case, jpeg in enumerate(batches[0].jpegs):
        assert matching_crops(pixels(jpeg).astype(float), as_image(data[:, case], SIDE), SIDE)


def test_test_images_are_the_centre(folder, batches):
    provider = open_at(folder, [1000], test=True, inner_size=INNER, color_noise=0.5)
    data = matrices(provider, 1000, 1)[0]
    for case, jpeg in enumerate(batches[1000].jpegs):
        whole = pixels(jpeg)
        y, x = (whole.shape[0] - INNER) // 2, (whole.shape[1] - INNER) // 2
        expected = whole[y : y + INNER, x : x + INNER] - mean_crop()
        np.testing.assert_allclose(as_image(data[:, case]), expected, atol=1e-4)


@pytest.mark.parametrize("mean", [-1.0, 40.0])
def test_pictures_to_look_at(folder, batches, mean):
    provider = open_at(folder, [1000], test=True, scalar_mean=mean)
    pictures = provider.plottable(provider.load(1000, 1)[0])
    assert pictures.shape == (6, SIDE, SIDE, 3)
    np.testing.assert_allclose(pictures[0] * 255, pixels(batches[1000].jpegs[0]), atol=1e-3)


def test_ten_views(folder, batches):
    provider = open_at(folder, [1000], test=True, inner_size=INNER, multiview_test=True)
    assert provider.num_views == 10
    data, labels, matrix = matrices(provider, 1000, 1)
    cases = len(batches[1000].jpegs)
    assert data.shape == (75, 60)
    for case, jpeg in enumerate(batches[1000].jpegs):
        whole = pixels(jpeg)
        down, right = whole.shape[0] - INNER, whole.shape[1] - INNER
        corners = [(0, 0), (0, right), (down // 2, right // 2), (down, 0), (down, right)]
        for view in range(10):
            y, x = corners[view % 5]
            crop = whole[y : y + INNER, x : x + INNER]
            expected = (crop[:, ::-1] if view >= 5 else crop) - mean_crop()
            column = data[:, view * cases + case]
            np.testing.assert_allclose(as_image(column), expected, atol=1e-4)
    np.testing.assert_array_equal(labels, [[0, 1, 2, 3, 0, 1] * 10])
    np.testing.assert_array_equal(matrix, np.tile(np.eye(4)[:, [0, 1, 2, 3, 0, 1]], 10))
    whole = (data, labels, matrix)
    for view in range(10):
        for alone, together in zip(provider.load_view(1000, view), whole, strict=True):
            np.testing.assert_array_equal(alone, together[:, view * cases : (view + 1) * cases])


def test_scalar_mean(folder, batches):
    data = matrices(open_at(folder, [1000], test=True, scalar_mean=30.0), 1000, 1)[0]
    square = batches[1000].jpegs[0]
    np.testing.assert_array_equal(as_image(data[:, 0], SIDE), pixels(square) - 30.0)


def test_labels(folder):
    provider = open_at(folder)
    drawn = np.array([matrices(provider, 0, epoch)[1][0] for epoch in range(1, 41)])
    for case, labels in enumerate(LABELS):
        assert set(drawn[:, case]) == set(labels or [-1])
    matrix = matrices(provider, 0, 1)[2]
    for case, labels in enumerate(LABELS):
        assert [k for k in range(4) if matrix[k, case]] == sorted(labels)
    assert set(np.unique(matrix)) == {0, 1}


def test_colour_noise(folder):
    """The same crops with and without it differ by one colour for each image, and a scale."""
    a = 0.1
    changes = []
    for epoch in range(1, 41):
        plain, noisy = (
            matrices(open_at(folder, inner_size=INNER, color_noise=noise), 3, epoch)[0].reshape(
                3, 25, 37
            )
            for noise in (0.0, a)
        )
        change = noisy * (1 + a) - plain
        np.testing.assert_allclose(change, change[:, :1].repeat(25, axis=1), atol=1e-3)
        changes.append(change[:, 0])
    colours = np.concatenate(changes, axis=1) / a  # 3 x 1480
    along = PCA.directions.T @ colours / PCA.deviations[:, None]
    # z is standard normal; 1480 of them have mean 0 and covariance 1 to within about 0.1.
    np.testing.assert_allclose(along.mean(axis=1), 0, atol=0.12)
    np.testing.assert_allclose(np.cov(along), np.eye(3), atol=0.15)


def test_a_batch_depends_on_seed_epoch_and_number_only(folder):
    options = {"inner_size": INNER, "color_noise": 0.2}
    first = matrices(open_at(folder, **options), 3, 2)
    other = open_at(folder, **options)
    matrices(other, 0, 1)
    for a, b in zip(first, matrices(other, 3, 2), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], matrices(other, 3, 3)[0])
    assert not np.array_equal(first[0], matrices(open_at(folder, seed=1, **options), 3, 2)[0])


def test_the_number_of_threads_changes_nothing(folder, monkeypatch):
    expected = matrices(open_at(folder, inner_size=INNER, color_noise=0.2), 3, 1)
    monkeypatch.setattr(image.os, "cpu_count", lambda: 3)
    found = matrices(open_at(folder, inner_size=INNER, color_noise=0.2), 3, 1)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_both_decoders_give_the_same_bits(folder, monkeypatch):
    pytest.importorskip("simplejpeg", reason="the optional faster decoder is not installed")
    fast = matrices(open_at(folder), 3, 1)[0]
    monkeypatch.setattr(jpegs, "simplejpeg", None)
    np.testing.assert_array_equal(matrices(open_at(folder), 3, 1)[0], fast)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"inner_size": 9}, "--inner-size 9 does not fit images of 8x8 pixels"),
        ({"multiview_test": True}, "--multiview-test 1 needs --inner-size: the views are crops"),
        ({"color_noise": -0.1}, "--color-noise -0.1: expected 0 or more"),
        ({"image_size": 4}, "JpegProvider does not understand --image-size"),
    ],
)
def test_impossible_options(folder, options, text):
    with pytest.raises(DataError, match=text):
        open_at(folder, **options)


def test_no_batches(tmp_path):
    with pytest.raises(DataError, match=r"expected a folder with batches.json \(of make-data\) or"):
        open_at(tmp_path)


def test_each_format_has_its_provider(tmp_path):
    prepared(tmp_path / "pixels")
    text = "its batches hold pixels, and jpeg are expected; read it with --data-provider batches"
    with pytest.raises(DataError, match=text):
        open_at(tmp_path / "pixels", [1])
    jpeg_folder(tmp_path / "jpegs", {1: jpeg_batch(2, 0)})
    with pytest.raises(DataError, match=r"hold jpeg, .* read it with --data-provider image"):
        create("batches", tmp_path / "jpegs", [1], ProviderOptions(), test=False)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("jpeg", "text"),
    [
        (b"", "batch 0, image 1: not a JPEG of 8 pixels: "),
        (encoded(picture(0))[:-40], "batch 0, image 1: not a JPEG of 8 pixels: "),
        (encoded(picture(0), "PNG"), "batch 0, image 1: not a JPEG of 8 pixels: "),
        (encoded(picture(0, (7, 20))), "not a JPEG of 8 pixels: its shorter side has 7"),
        (encoded(picture(0, (9, 20))), "not a JPEG of 8 pixels: its shorter side has 9"),
    ],
)
def test_other_pictures_than_expected(tmp_path, monkeypatch, jpeg, text, fast):
    if not fast:
        monkeypatch.setattr(jpegs, "simplejpeg", None)
    batch = JpegBatch([encoded(picture(0)), jpeg], [np.array([0]), np.array([1])])
    provider = open_at(jpeg_folder(tmp_path, {0: batch}), [0])
    with pytest.raises(DataError, match=re.escape(text)):
        matrices(provider, 0, 1)
