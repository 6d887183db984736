"""What several families of the reference operations use."""

from __future__ import annotations

import numpy as np

from convnet.ops.roles import Array


def store(target: Array, result: Array, add: bool = False) -> None:
    """Results come here whole, so a target may be one of the arrays they were computed from."""
    if add:
        target += result
    else:
        target[...] = result


def along(axis: int, matrix: Array, values: Array) -> Array:
    """The matrix times every column of numbers that lies along `axis`."""
    return np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)
