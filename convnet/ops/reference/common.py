"""What several families of the reference operations use."""

from __future__ import annotations

from convnet.ops.roles import Array


def store(target: Array, result: Array, add: bool = False) -> None:
    """Results come here whole, so a target may be one of the arrays they were computed from."""
    if add:
        target += result
    else:
        target[...] = result
