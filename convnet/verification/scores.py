"""How well scores tell pairs of one person from pairs of two: the LFW protocol, and the ROC curve.

A score is high where two pictures are alike; a pair is taken for one person where its score is at
least a threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convnet.errors import ConvnetError

Floats = NDArray[np.float64]


def cosines(first: np.ndarray, second: np.ndarray) -> Floats:
    """The cosine of each row of `first`, (pairs, numbers), and that of `second`; 0 if one is 0."""
    first, second = unit_rows(first), unit_rows(second)
    product: Floats = np.einsum("pn,pn->p", first, second)
    return product


def squared_distances(first: np.ndarray, second: np.ndarray) -> Floats:
    """Minus the squared Euclidean distance of each row of `first` and that of `second`."""
    difference = first.astype(np.float64) - second
    squares: Floats = np.einsum("pn,pn->p", difference, difference)
    return -squares


def unit_rows(features: np.ndarray) -> Floats:
    """Rows of length 1, float64; rows of zeros stay."""
    rows = features.astype(np.float64)
    lengths = np.sqrt(np.einsum("pn,pn->p", rows, rows))
    unit: Floats = rows / np.where(lengths > 0, lengths, 1)[:, np.newaxis]
    return unit


#: How two rows of features are compared, by name.
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], Floats]] = {
    "cosine": cosines,
    "euclid": squared_distances,
}


@dataclass(frozen=True)
class Roc:
    """What each threshold lets through, from the one above all scores downwards.

    Attributes:
        thresholds: (points,), falling; between two scores that are neighbours half way.
        far: false accepts, the share of pairs of two people at or above each threshold.
        tar: true accepts, the share of pairs of one person there.
        same, different: numbers of pairs.
    """

    thresholds: Floats
    far: Floats
    tar: Floats
    same: int
    different: int

    @property
    def auc(self) -> float:
        """The area under tar over far.

        So often a pair of one person scores higher than one of two; ties count half.
        """
        return float(np.trapezoid(self.tar, self.far))

    @property
    def eer(self) -> float:
        """The rate at which mistakes of both kinds are equally frequent, linear between points."""
        gap = self.far - (1 - self.tar)  # rises from -1 to 1
        after = int(np.argmax(gap >= 0))
        before = after - 1
        part = -gap[before] / (gap[after] - gap[before])
        return float(self.far[before] + part * (self.far[after] - self.far[before]))

    def tar_at(self, far: float) -> float:
        """The largest tar with a far of at most this; NaN where one pair of two people is more."""
        if far * self.different < 1:
            return float("nan")
        return float(self.tar[self.far <= far][-1])

    @property
    def accuracies(self) -> Floats:
        """The share of pairs that each threshold judges rightly."""
        right = self.tar * self.same + (1 - self.far) * self.different
        return right / (self.same + self.different)

    @property
    def best_threshold(self) -> float:
        """The one with the best accuracy; of several the middle one."""
        accuracies = self.accuracies
        best = np.flatnonzero(accuracies >= accuracies.max() - 1e-12)
        return float(self.thresholds[best[len(best) // 2]])


def roc(scores: np.ndarray, same: NDArray[np.bool_]) -> Roc:
    """The curve of some pairs.

    Args:
        scores: (pairs,), finite. same: whether a pair is of one person, (pairs,).

    Raises:
        ConvnetError: they are all of one kind.
    """
    if same.all() or not same.any():
        raise ConvnetError("expected pairs of one person and pairs of two; found one kind only")
    values, place = np.unique(-scores.astype(np.float64), return_inverse=True)
    values = -values  # falling
    middle = (values[:-1] + values[1:]) / 2
    middle = np.where(middle > values[1:], middle, values[:-1])  # where neighbours touch
    thresholds = np.concatenate([[np.nextafter(values[0], np.inf)], middle, values[-1:]])
    counts = [
        np.concatenate([[0], np.cumsum(np.bincount(place[kind], minlength=values.size))])
        for kind in (same, ~same)
    ]
    (accepted, wrongly), (total, others) = counts, [int(count[-1]) for count in counts]
    return Roc(thresholds, wrongly / others, accepted / total, total, others)


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Attributes:
        thresholds, accuracies: of each fold; the threshold is the best of all other folds.
        roc: of all pairs.
    """

    thresholds: Sequence[float]
    accuracies: Sequence[float]
    roc: Roc

    @property
    def accuracy(self) -> float:
        """The mean of the folds."""
        return float(np.mean(self.accuracies))

    @property
    def deviation(self) -> float:
        """The standard deviation of the folds' accuracies, divided by their number."""
        return float(np.std(self.accuracies))

    def as_dict(self) -> dict[str, float]:
        """What is told of it, by name."""
        return {
            "accuracy": self.accuracy,
            "deviation": self.deviation,
            "auc": self.roc.auc,
            "eer": self.roc.eer,
        }

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.4f} +- {self.deviation:.4f} ({len(self.accuracies)} folds), "
            f"AUC {self.roc.auc:.4f}, EER {self.roc.eer:.4f}"
        )


def judge(scores: np.ndarray, same: NDArray[np.bool_], fold: NDArray[np.integer]) -> Verification:
    """Judges scores by the LFW protocol: each fold with the threshold that is best for the others.

    Args:
        scores, same: see roc. fold: of each pair, from 0; two folds at least, both kinds in each.
    """
    thresholds, accuracies = [], []
    for number in range(int(fold.max()) + 1):
        inside = fold == number
        threshold = roc(scores[~inside], same[~inside]).best_threshold
        thresholds.append(threshold)
        accuracies.append(float(np.mean((scores[inside] >= threshold) == same[inside])))
    return Verification(thresholds, accuracies, roc(scores, same))
