"""The check that every array passes on its way to a kernel."""

from __future__ import annotations

from math import prod

import numpy as np

from convnet.errors import ShapeError
from convnet.ops.roles import Array


def checked(name: str, array: Array, *shape: int) -> Array:
    """`array` as a float32 array of `shape`, sharing its memory."""
    if array.dtype != np.float32 or not array.flags.c_contiguous or array.size != prod(shape):
        order = "" if array.flags.c_contiguous else " not C-contiguous"
        raise ShapeError(
            f"'{name}' must be a C-contiguous float32 array of shape {shape}; "
            f"found{order} {array.dtype} of shape {array.shape}"
        )
    return array.reshape(shape)
