"""Transforms against ones worked by hand, templates against the numbers of their authors."""

import numpy as np
import pytest
from PIL import Image

from convnet.faces.crops import CROPS, affine, cut_out, middle, similarity
from data_providers.errors import DataError

IDENTITY = [[1, 0, 0], [0, 1, 0]]
ARCFACE = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)


def test_a_quarter_turn_twice_as_large_and_a_shift():
    """(0, 0) -> (10, 20) and (1, 0) -> (10, 22), so (x, y) -> (10 - 2 y, 20 + 2 x)."""
    found = similarity([(0, 0), (1, 0)], [(10, 20), (10, 22)])
    np.testing.assert_allclose(found, [[0, -2, 10], [2, 0, 20]], atol=1e-12)


def test_similarity_is_the_least_squares():
    """Its four numbers a, b, c, d, with (x, y) -> (a x - b y + c, b x + a y + d), solve a linear
    problem, unless mirroring would be better."""
    rng = np.random.default_rng(0)
    source = rng.normal(size=(5, 2)) * 30 + 50
    target = source @ [[0.5, 0.4], [-0.4, 0.5]] + [3, 7] + rng.normal(size=(5, 2))
    rows = [row for x, y in source for row in ((x, -y, 1, 0), (y, x, 0, 1))]
    (a, b, c, d), *_ = np.linalg.lstsq(np.array(rows), target.ravel(), rcond=None)
    np.testing.assert_allclose(similarity(source, target), [[a, -b, c], [b, a, d]], rtol=1e-9)


def test_similarity_never_mirrors():
    square = np.array([(0, 0), (4, 0), (4, 1), (0, 1)])
    found = similarity(square, square * [-1, 1])
    assert np.linalg.det(found[:, :2]) > 0


def test_affine_is_exact():
    source, target = [(1, 2), (5, 1), (3, 9)], [(10, 0), (0, 20), (7, 7)]
    matrix = affine(source, target)
    found = np.array(source) @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(found, target, atol=1e-12)


def test_landmarks_that_fit_nothing():
    with pytest.raises(DataError, match="all the same point"):
        CROPS["arcface"].transform(np.ones((5, 2)))
    with pytest.raises(DataError, match="on a line"):
        CROPS["openface-outer"].transform(np.arange(10).reshape(5, 2))
    with pytest.raises(DataError, match="expected 5 or 68 landmarks, found 4"):
        CROPS["arcface"].transform(np.ones((4, 2)))


@pytest.mark.parametrize(
    ("crop", "size", "left"),
    [("arcface", (112, 112), 0), ("arcface-112x96", (96, 112), -8), ("arcface-128", (128, 128), 8)],
)
def test_arcface(crop, size, left):
    assert CROPS[crop].size() == size
    found = CROPS[crop].transform(np.add(ARCFACE, (left, 0)))
    np.testing.assert_allclose(found, IDENTITY, atol=1e-9)


def test_another_size():
    crop = CROPS["arcface-112x96"]
    assert crop.size(224) == (192, 224)
    doubled = [[2, 0, 0], [0, 2, 0]]
    np.testing.assert_allclose(
        crop.transform(np.subtract(ARCFACE, (8, 0)), 224), doubled, atol=1e-9
    )


@pytest.mark.parametrize(
    ("crop", "points"),
    [
        ("openface-inner", {39: (34.923, 17.083), 42: (59.420, 16.587), 57: (48.020, 72.056)}),
        ("openface-outer", {36: (18.639, 16.250), 45: (75.730, 15.184), 33: (47.515, 49.386)}),
        # (p + 0.25) / 1.5 * 224
        (
            "dlib",
            {
                45: (165.6957, 69.2160),
                42: (133.8116, 71.5262),
                36: (55.3399, 69.2504),
                39: (87.2241, 71.5396),
                33: (110.5231, 131.0848),
            },
        ),
    ],
)
def test_68_landmarks(crop, points):
    landmarks = np.random.default_rng(0).normal(size=(68, 2))
    for index, point in points.items():
        landmarks[index] = point
    np.testing.assert_allclose(CROPS[crop].transform(landmarks), IDENTITY, atol=1e-3)


def test_arcface_takes_the_five_parts_among_68_landmarks():
    landmarks = np.full((68, 2), -1000.0)
    around = np.array([(-2, 0), (-1, -1), (1, -1), (2, 0), (1, 1), (-1, 1)])
    landmarks[36:42], landmarks[42:48] = ARCFACE[0] + around, ARCFACE[1] + around
    landmarks[[30, 48, 54]] = ARCFACE[2:]
    np.testing.assert_allclose(CROPS["arcface"].transform(landmarks), IDENTITY, atol=1e-9)


def test_the_five_parts_are_where_the_68_landmarks_put_them():
    """OpenFace's and dlib's templates are mean faces: a face cut out by either kind is the same,
    but for the differences between the two mean faces."""
    five = CROPS["dlib"].template[5] * 96
    inner, outer = (CROPS[f"openface-{kind}"].transform(five) for kind in ("inner", "outer"))
    np.testing.assert_allclose(inner, outer, atol=0.05)


def random_picture(size=(40, 30)):
    values = np.random.default_rng(0).integers(0, 256, (size[1] // 2, size[0] // 2, 3), np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BILINEAR)


def sampled(picture, transform, size):
    """Bilinear sampling as loops; NaN where a neighbour is outside the picture."""
    pixels = np.asarray(picture, np.float64)
    back = np.linalg.inv(np.vstack([transform, [0, 0, 1]]))
    result = np.full((size[1], size[0], 3), np.nan)
    for row in range(size[1]):
        for column in range(size[0]):
            x, y, _ = back @ [column, row, 1]
            left, top = int(np.floor(x)), int(np.floor(y))
            if 0 <= left < picture.width - 1 and 0 <= top < picture.height - 1:
                fx, fy = x - left, y - top
                upper = (1 - fx) * pixels[top, left] + fx * pixels[top, left + 1]
                lower = (1 - fx) * pixels[top + 1, left] + fx * pixels[top + 1, left + 1]
                result[row, column] = (1 - fy) * upper + fy * lower
    return result


@pytest.mark.parametrize(
    "transform",
    [
        IDENTITY,
        [[1, 0, 3], [0, 1, -2]],
        [[0, -1.3, 35], [1.3, 0, 1]],
        [[0.8, 0.3, -2], [-0.2, 1, 5]],
    ],
)
def test_cut_out(transform):
    picture, transform = random_picture(), np.array(transform, float)
    found = np.asarray(cut_out(picture, transform, (33, 25)), float)
    expected = sampled(picture, transform, (33, 25))
    inside = ~np.isnan(expected)
    assert inside.mean() > 0.3
    assert np.abs(found - expected)[inside].max() < 1.01


def test_outside_the_picture_is_black():
    found = np.asarray(
        cut_out(Image.new("RGB", (10, 10), "white"), np.array(IDENTITY) * 1.0, (20, 5))
    )
    assert (found[:, :10] == 255).all()
    assert not found[:, 10:].any()


def test_shrinking_takes_the_mean_of_all_pixels():
    """Stripes a pixel wide become grey; without that the sample is of one colour."""
    stripes = np.zeros((80, 80, 3), np.uint8)
    stripes[:, ::2] = 255
    quarter = np.array([[0.25, 0, -0.375], [0, 0.25, -0.375]])  # the middles of 4 x 4 pixels
    found = np.asarray(cut_out(Image.fromarray(stripes), quarter, (20, 20)))
    assert set(np.unique(found)) <= {127, 128}


def test_middle():
    stripes = Image.fromarray(np.repeat(np.arange(30, dtype=np.uint8) * 8, 10).reshape(30, 10))
    found = np.asarray(middle(stripes, (10, 10)))
    assert (found[:, 0] == np.arange(10, 20) * 8).all()
