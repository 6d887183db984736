"""Which pictures of faces make a batch: dealt out, or groups of several of the same people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Cases = NDArray[np.intp]


def cut(order: Cases, size: int) -> dict[int, Cases]:
    """Batches of `size` cases, numbered from 1; the last may be smaller."""
    starts = range(0, order.size, size)
    return {number: order[start : start + size] for number, start in enumerate(starts, start=1)}


def deal(batches: Sequence[Cases], rng: np.random.Generator) -> list[Cases]:
    """The cases of all batches, shuffled and dealt into batches of the same sizes."""
    ends = np.cumsum([batch.size for batch in batches])
    return np.split(rng.permutation(np.concatenate(batches)), ends[:-1])


def by_person(cases: Cases, labels: NDArray[np.int32]) -> list[Cases]:
    """The cases of each person who has any.

    Args: labels: (cases,), who is on each.
    """
    order = np.argsort(labels, kind="stable")
    ends = np.flatnonzero(np.diff(labels[order])) + 1
    return np.split(cases[order], ends)


def draw_groups(
    people: Sequence[Cases], persons: int, images: int, groups: int, rng: np.random.Generator
) -> Cases:
    """Groups one after the other, each of `images` different cases of `persons` different people.

    Args: people: the cases of each person, at least `images`; at least `persons` of them.
    Returns: (groups * persons * images,), the cases of a person side by side.
    """
    chosen = [
        rng.choice(people[person], images, replace=False)
        for _ in range(groups)
        for person in rng.choice(len(people), persons, replace=False)
    ]
    return np.concatenate(chosen)
