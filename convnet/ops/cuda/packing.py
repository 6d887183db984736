"""Arguments that change from step to step, as numbers that kernels read from device memory.

A kernel that is replayed has the arguments that it was captured with. So what changes is none, but
lies where an argument points to.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convnet.ops.roles import RandomKey
from convnet.ops.spec.images import ByteImages
from convnet.resampling import Resampling


def packed(value: Any) -> np.ndarray | None:
    """See DeviceOps.packed.

    A float is a number; a RandomKey its five words, as the bits of float32 numbers; a Resampling
    see packed_matrices. Others, which choose between kernels or between ways of one, are None.
    """
    if isinstance(value, float):
        return np.array([value], np.float32)
    if isinstance(value, RandomKey):
        return np.array([word & 0xFFFFFFFF for word in value], np.uint32).view(np.float32)
    if isinstance(value, Resampling):
        return packed_matrices(value)
    return None


def image_words(images: ByteImages) -> list[np.ndarray]:
    """Pixels, places, mean and colours, each as the bits of float32 numbers; bytes are padded."""
    pixels = images.pixels.reshape(-1)
    padded = np.pad(pixels, (0, -pixels.size % 4)) if pixels.size % 4 else pixels
    arrays = (padded, images.places, images.mean, images.colours)
    return [array.reshape(-1).view(np.float32) for array in arrays]


def packed_matrices(g: Resampling) -> np.ndarray:
    """The matrices of rows and of columns, then those of the way back, one after the other."""
    return np.concatenate([_with_spans(m).reshape(-1) for m in _matrices(g)])


def matrix_places(g: Resampling) -> list[slice]:
    """Where these matrices lie, each a number of rows of `length + 2`, see kernels/images.cu."""
    places, start = [], 0
    for height, length in (m.shape for m in _matrices(g)):
        places.append(slice(start, start + height * (length + 2)))
        start = places[-1].stop
    return places


def _matrices(g: Resampling) -> tuple[np.ndarray, ...]:
    return g.rows, g.columns, g.rows.T, g.columns.T


def _with_spans(matrix: np.ndarray) -> np.ndarray:
    """Rows with the first and last + 1 of their numbers that are not zero before them."""
    used = matrix != 0
    first = used.argmax(axis=1)
    end = np.where(used.any(axis=1), matrix.shape[1] - used[:, ::-1].argmax(axis=1), 0)
    return np.column_stack([first, end, matrix]).astype(np.float32)
