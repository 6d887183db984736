"""The order in which images are dealt into batches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_order(labels: NDArray[np.integer], seed: int) -> NDArray[np.intp]:
    """A random order of the cases in which any stretch holds the classes in equal measure.

    The k-th of a class's n cases (in random order) gets a random place in [k/n, (k+1)/n); all cases
    are sorted by place. So batches cut from this order have every class in its share, to within
    one case at each end.

    Args: labels: (cases,), 0 .. classes - 1.   Returns: case numbers, (cases,).
    """
    rng = np.random.default_rng(seed)
    place = np.empty(labels.size)
    by_label = np.argsort(labels, kind="stable")
    for same in np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1):
        cases = rng.permutation(same)
        place[cases] = (np.arange(cases.size) + rng.random(cases.size)) / cases.size
    return np.argsort(place, kind="stable")
