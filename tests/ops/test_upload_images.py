"""Images that are uploaded as bytes."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.ops.base import Ops
from convnet.ops.reference import ReferenceOps
from data_providers import ByteImages


def byte_images(
    cases: int, stored: tuple[int, int, int], crop: tuple[int, int], seed: int = 0
) -> ByteImages:
    """Random images of (rows, columns, channels), cropped anywhere."""
    rng = np.random.default_rng(seed)
    rows, columns, channels = stored
    places = np.column_stack(
        [
            rng.integers(0, rows - crop[0], cases, endpoint=True),
            rng.integers(0, columns - crop[1], cases, endpoint=True),
            rng.integers(0, 2, cases),
        ]
    )
    return ByteImages(
        rng.integers(0, 256, (cases, *stored), np.uint8),
        places.astype(np.int32),
        rng.normal(128, 5, (channels, *crop)).astype(np.float32),
        rng.normal(0, 9, (cases, channels)).astype(np.float32),
        1 / 1.1,
    )


def numbers(images: ByteImages) -> np.ndarray:
    """(channels, height, width, cases), number by number."""
    width = images.mean.shape[-1]
    acts = np.empty((*images.mean.shape, len(images.pixels)), np.float32)
    for c, y, x, n in np.ndindex(*acts.shape):
        top, left, mirrored = images.places[n]
        column = left + (width - 1 - x if mirrored else x)
        number = np.float32(images.pixels[n, top + y, column, c]) - images.mean[c, y, x]
        number = np.float32(number + images.colours[n, c])
        acts[c, y, x, n] = np.float32(number * np.float32(images.scale))
    return acts


CASES = {
    "a pixel": byte_images(1, (1, 1, 1), (1, 1)),
    "whole": byte_images(7, (5, 3, 3), (5, 3)),
    "crops": byte_images(33, (9, 8, 3), (5, 6)),
    "grey": byte_images(70, (7, 11, 1), (4, 9)),
    "long rows": byte_images(5, (3, 50, 3), (2, 47)),
    "five channels": byte_images(32, (3, 40, 5), (3, 33)),
}


@pytest.mark.parametrize("case", CASES)
def test_every_backend_makes_the_same_bits(ops: Ops, case: str) -> None:
    images = CASES[case]
    expected = numbers(images)
    acts = ops.empty(expected.size)
    ops.upload_images(images, acts.reshape(expected.shape))
    np.testing.assert_array_equal(ops.download(acts), expected.reshape(-1))


def test_the_matrix_that_they_stand_for() -> None:
    images = CASES["crops"]
    assert (images.shape, images.ndim, images.dtype) == ((90, 33), 2, np.float32)
    matrix = np.asarray(images)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, numbers(images).reshape(90, 33))


@pytest.mark.parametrize("cases", [slice(5, 20), slice(30, 64), np.array([7, 0, 7])], ids=str)
def test_some_of_the_cases(cases: slice | np.ndarray) -> None:
    images = CASES["crops"]
    some = images[:, cases]
    np.testing.assert_array_equal(np.asarray(some), np.asarray(images)[:, cases])
    ops = ReferenceOps(np.float32)
    acts = ops.empty(some.shape[0] * some.shape[1])
    ops.upload_images(some, acts)
    np.testing.assert_array_equal(acts.reshape(some.shape), np.asarray(some))
