"""Whose picture it is: the people of the nearest pictures vote (k nearest neighbours)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convnet.verification.scores import Floats, unit_rows

# So many probes are compared at a time: 512 with 10,000 pictures take 40 MB.
BLOCK = 512


def likenesses(probes: np.ndarray, gallery: np.ndarray, metric: str) -> Floats:
    """How alike each probe and each picture of the gallery are, float64 (probes, gallery).

    Args:
        probes, gallery: features, (pictures, numbers).
        metric: "cosine", or "euclid" for minus the squared distance.
    """
    if metric == "cosine":
        cosines: Floats = unit_rows(probes) @ unit_rows(gallery).T
        return cosines
    probes, gallery = probes.astype(np.float64), gallery.astype(np.float64)
    squares = [np.einsum("pn,pn->p", rows, rows) for rows in (probes, gallery)]
    distances: Floats = squares[0][:, np.newaxis] + squares[1] - 2 * probes @ gallery.T
    return -distances


def vote(alike: Floats, labels: NDArray[np.integer], k: int) -> NDArray[np.integer]:
    """The person with most of the k pictures that are most alike; of several the nearest one.

    Args:
        alike: (probes, gallery); minus infinity for a picture that has no vote.
        labels: the people of the gallery, (gallery,).

    Returns: one label for each probe.
    """
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, :k]
    votes = labels[nearest]
    # How many votes the person of each vote has; argmax takes the first, which is the nearest.
    counts = (votes[:, :, np.newaxis] == votes[:, np.newaxis, :]).sum(axis=2)
    winners: NDArray[np.integer] = votes[np.arange(len(votes)), counts.argmax(axis=1)]
    return winners


def identify(
    features: np.ndarray,
    labels: NDArray[np.integer],
    probes: NDArray[np.intp],
    gallery: NDArray[np.intp],
    *,
    k: int = 1,
    metric: str = "cosine",
) -> float:
    """The share of probes whose person the vote of the gallery finds.

    Args:
        features: (pictures, numbers). labels: (pictures,).
        probes, gallery: places of pictures. One that is in both does not vote for itself.
    """
    right = 0
    for start in range(0, len(probes), BLOCK):
        block = probes[start : start + BLOCK]
        alike = likenesses(features[block], features[gallery], metric)
        alike[block[:, np.newaxis] == gallery] = -np.inf
        right += int((vote(alike, labels[gallery], k) == labels[block]).sum())
    return right / len(probes)


def draw_gallery(
    labels: NDArray[np.integer], count: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Whether each picture is among `count` random ones of its person."""
    order = np.lexsort([rng.random(labels.size), labels])
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    chosen = np.zeros(labels.size, bool)
    chosen[order] = np.arange(labels.size) - np.repeat(starts, sizes) < count
    return chosen
