"""Arrays of images, (C, H, W, N), seen as matrices."""

from __future__ import annotations

from convnet.ops.roles import Array


def rows_of(array: Array) -> tuple[int, int]:
    """The shape with a column for each image: (.., N) -> (numbers of an image, N)."""
    return array.size // array.shape[-1], array.shape[-1]


def channels_of(images: Array) -> tuple[int, int]:
    """The shape with a row for each channel: (C, H, W, N) -> (C, H * W * N)."""
    return images.shape[0], images.size // images.shape[0]
