"""Verification and identification in plain Python, from their definitions."""

from __future__ import annotations

import itertools
import math


def cosine(a, b):
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def rates(scores, same, threshold):
    """(false accepts, true accepts) as shares."""
    accepted = [score >= threshold for score in scores]
    kinds = {kind: [a for a, s in zip(accepted, same, strict=True) if s == kind] for kind in (0, 1)}
    return tuple(sum(kinds[kind]) / len(kinds[kind]) for kind in (0, 1))


def auc(scores, same):
    """How often a pair of one person scores higher than one of two; ties count half."""
    one = [score for score, s in zip(scores, same, strict=True) if s]
    two = [score for score, s in zip(scores, same, strict=True) if not s]
    wins = sum((a > b) + (a == b) / 2 for a, b in itertools.product(one, two))
    return wins / (len(one) * len(two))


def tar_at(scores, same, far):
    points = [rates(scores, same, t) for t in [*scores, math.inf]]
    return max(tar for found, tar in points if found <= far)


def best_accuracy(scores, same):
    return max(accuracy(scores, same, t) for t in [*scores, math.inf])


def accuracy(scores, same, threshold):
    right = [(score >= threshold) == bool(s) for score, s in zip(scores, same, strict=True)]
    return sum(right) / len(right)


def vote(probe, gallery, labels, k, likeness):
    """The label with most votes of the k that are most alike; of several the nearest."""
    order = sorted(range(len(gallery)), key=lambda i: -likeness(probe, gallery[i]))[:k]
    voters = [labels[i] for i in order]
    most = max(voters.count(label) for label in voters)
    return next(label for label in voters if voters.count(label) == most)
