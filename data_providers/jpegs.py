"""JPEGs of square pictures: making them from pictures of any size, and decoding them."""

from __future__ import annotations

import contextlib
import importlib
import io
import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_providers.pictures import read_picture

QUALITY = 95
EXIF_ORIENTATION = 0x0112

# Twice as fast as Pillow and bit for bit the same: both are libjpeg-turbo. An optional extra.
simplejpeg: Any = None
with contextlib.suppress(ImportError):
    simplejpeg = importlib.import_module("simplejpeg")


def decode(content: bytes | memoryview, side: int) -> NDArray[np.uint8]:
    """The pixels (height, width, 3) of a JPEG whose shorter side is `side`.

    Raises: ValueError for another size, which is looked at before anything is decoded, or a file
        that cannot be decoded.
    """
    if simplejpeg is not None:
        with contextlib.suppress(ValueError):  # of what it finds odd, Pillow has the last word
            height, width, *_ = simplejpeg.decode_jpeg_header(content)
            _check_size(height, width, side)
            pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(content, "RGB")
            return pixels
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as picture:
            _check_size(picture.height, picture.width, side)
            return np.asarray(picture.convert("RGB"))
    except Exception as error:  # decoders raise nearly anything for a damaged file
        raise ValueError(f"not a JPEG of {side} pixels: {error}") from error


def _check_size(height: int, width: int, side: int) -> None:
    if min(height, width) != side:
        raise ValueError(f"its shorter side has {min(height, width)}")


def encode_square(content: bytes, name: str, side: int) -> tuple[bytes, NDArray[np.uint8]]:
    """A picture file as a JPEG of side x side, and the pixels that went into it.

    The picture is scaled until its shorter side is `side`, and the centre is cut out. What is such
    a JPEG already stays as it is.

    Args: name: says in errors which picture it is.
    Returns: the JPEG, and its pixels before compression, (side, side, 3).
    Raises: DataError if the picture cannot be decoded.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of damaged EXIF data; they name no picture
        picture = read_picture(io.BytesIO(content), name, at_least=side)
        finished = _is_finished(content, side)
    pixels = scale_to_square(picture, side)
    if finished:
        return content, pixels
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=QUALITY)
    return out.getvalue(), pixels


def _is_finished(content: bytes, side: int) -> bool:
    with Image.open(io.BytesIO(content)) as picture:
        good = picture.format == "JPEG" and picture.mode in ("RGB", "L")
        upright = picture.getexif().get(EXIF_ORIENTATION, 1) == 1
        return good and upright and picture.size == (side, side)


def scale_to_square(picture: Image.Image, side: int) -> NDArray[np.uint8]:
    """The centre of an RGB picture, (side, side, 3), its shorter side scaled to `side`.

    Shrinking averages areas; growing is bicubic. The longer side is rounded to whole pixels.
    """
    short = min(picture.size)
    width, height = (round(length * side / short) for length in picture.size)
    left, top = (width - side) // 2, (height - side) // 2
    if short < side:
        grown = picture.resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(grown.crop((left, top, left + side, top + side)))
    image = np.asarray(picture)
    if short > side:
        lines = _average(image, axis=0, length=height, first=top, count=side)
        image = np.rint(_average(lines, axis=1, length=width, first=left, count=side))
        return image.astype(np.uint8)
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def _average(
    image: NDArray[Any], axis: int, length: int, first: int, count: int
) -> NDArray[np.float32]:
    """Pixels first .. first + count - 1 of an image scaled down to `length` along an axis.

    Pixel i of the result is the mean over [i * r, (i + 1) * r) of the original, r being the ratio
    of the lengths; pixels that lie in it in part count in part.
    """
    ratio = image.shape[axis] / length
    low = (first + np.arange(count)) * ratio
    high = low + ratio
    shape = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    out: Any = 0
    for step in range(math.ceil(ratio) + 1):
        pixel = np.floor(low).astype(int) + step
        covered = np.minimum(high, pixel + 1) - np.maximum(low, pixel)
        weight = np.maximum(covered, 0).astype(np.float32).reshape(shape) / np.float32(ratio)
        values = np.take(image, np.minimum(pixel, image.shape[axis] - 1), axis=axis)
        out += values * weight
    return np.asarray(out, np.float32)
