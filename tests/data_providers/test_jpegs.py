import io

import numpy as np
import pytest
from PIL import Image

from data_providers import DataError
from data_providers.jpegs import encode_square, scale_to_square
from tests.data_providers.jpegs import encoded, picture, pixels


def overlap(first, last, pixel):
    """How much of [pixel, pixel + 1) lies in [first, last)."""
    return max(0.0, min(last, pixel + 1) - max(first, pixel))


def shrunk(image, side):
    """The mean over the area of each pixel of the result, with plain loops."""
    height, width, channels = image.shape
    short = min(height, width)
    lines, columns = round(height * side / short), round(width * side / short)
    top, left = (lines - side) // 2, (columns - side) // 2
    out = np.zeros((side, side, channels))
    for i in range(side):
        for j in range(side):
            y0, y1 = ((top + i + k) * height / lines for k in (0, 1))
            x0, x1 = ((left + j + k) * width / columns for k in (0, 1))
            total = 0.0
            for y in range(height):
                for x in range(width):
                    weight = overlap(y0, y1, y) * overlap(x0, x1, x)
                    out[i, j] += weight * image[y, x]
                    total += weight
            out[i, j] /= total
    return out


@pytest.mark.parametrize("size", [(13, 11), (9, 20), (8, 8), (7, 15), (31, 8), (7, 7)])
def test_shrinking_averages_areas(size):
    image = picture(1, size)
    found = scale_to_square(image, 7)
    assert found.shape == (7, 7, 3)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found, shrunk(np.asarray(image), 7), atol=0.501)


def test_what_has_the_right_height_is_only_cut():
    image = picture(1, (13, 7))
    np.testing.assert_array_equal(scale_to_square(image, 7), np.asarray(image)[:, 3:10])


def test_growing_is_bicubic():
    image = picture(1, (6, 8))
    whole = np.asarray(image.resize((9, 12), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(scale_to_square(image, 9), whole[1:10])


@pytest.mark.parametrize(
    "content",
    [
        encoded(picture(2, (20, 16)), "PNG"),
        encoded(picture(2, (30, 20)), quality=90),
        encoded(picture(2, (5, 4), grey=True)),
        encoded(picture(2, (16, 16)).convert("CMYK")),
        encoded(picture(2, (16, 16)), "PNG"),
    ],
)
def test_any_picture_becomes_a_jpeg(content):
    jpeg, plain = encode_square(content, "x", 16)
    assert jpeg == encoded(Image.fromarray(plain), quality=95)
    np.testing.assert_array_equal(plain, scale_to_square(Image.fromarray(pixels(content)), 16))


@pytest.mark.parametrize("grey", [True, False])
def test_a_finished_jpeg_is_kept(grey):
    content = encoded(picture(3, (16, 16), grey), quality=60)
    jpeg, plain = encode_square(content, "x", 16)
    assert jpeg == content
    np.testing.assert_array_equal(plain, pixels(content))


def test_a_turned_jpeg_is_turned_back():
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    content = encoded(picture(3, (16, 16)), exif=exif, quality=95)
    jpeg, plain = encode_square(content, "x", 16)
    assert jpeg != content
    np.testing.assert_array_equal(plain, pixels(content)[::-1, ::-1])
    assert not Image.open(io.BytesIO(jpeg)).getexif()


def test_damaged_exif_data_are_no_obstacle():
    content = encoded(picture(3, (16, 16)), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03")
    assert encode_square(content, "x", 16)[0] == content


def test_large_jpegs_are_read_at_a_part_of_their_size():
    """And still are the mean over the area, to within what a JPEG loses."""
    image = picture(4, (640, 512))
    _, found = encode_square(encoded(image, quality=98), "x", 16)
    expected = scale_to_square(image, 16)
    assert np.abs(found.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("content", [b"", b"GIF89a", encoded(picture(1, (99, 99)))[:700]])
def test_what_is_no_picture(content):
    with pytest.raises(DataError, match=r"n01/x\.JPEG: not a readable picture: "):
        encode_square(content, "n01/x.JPEG", 16)
