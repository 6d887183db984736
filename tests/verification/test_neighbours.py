"""Identification against its definition in plain Python, and cases worked out by hand."""

import numpy as np
import pytest

from convnet.verification import neighbours
from convnet.verification.neighbours import draw_gallery, identify, vote
from tests import reference_verification as reference

LIKENESS = {"cosine": reference.cosine, "euclid": lambda a, b: -reference.distance(a, b)}


def people(seed=0, count=40):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, count)
    return (rng.normal(size=(6, 4))[labels] + rng.normal(size=(count, 4))), labels


def test_votes_by_hand():
    labels = np.array([7, 8, 8, 9, 9])
    alike = np.array([[5.0, 4, 3, 2, 1], [1, 2, 3, 4, 5], [3, 4, 1, 2, 0], [1, 1, 1, 1, 1]])
    assert vote(alike, labels, 1).tolist() == [7, 9, 8, 7]
    # With 3: 7 8 8; 9 9 8; 8 7 9 each once, so the nearest; 7 8 8.
    assert vote(alike, labels, 3).tolist() == [8, 9, 8, 8]
    # With all: 8 and 9 have two each; the nearer one wins.
    assert vote(alike, labels, 5).tolist() == [8, 9, 8, 8]


@pytest.mark.parametrize("metric", LIKENESS)
@pytest.mark.parametrize("k", [1, 3, 4, 50])
def test_gallery_and_probes(metric, k, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", 7)
    features, labels = people()
    gallery, probes = np.arange(0, 40, 2), np.arange(1, 40, 2)
    likeness = LIKENESS[metric]
    found = [reference.vote(features[p], features[gallery], labels[gallery], k, likeness)
             for p in probes]  # fmt: skip
    expected = np.mean(found == labels[probes])
    assert identify(features, labels, probes, gallery, k=k, metric=metric) == expected


@pytest.mark.parametrize("metric", LIKENESS)
def test_leave_one_out(metric):
    features, labels = people(1)
    everyone = np.arange(40)
    found = []
    for probe in everyone:
        others = np.delete(everyone, probe)
        found.append(
            reference.vote(features[probe], features[others], labels[others], 3, LIKENESS[metric])
        )
    expected = np.mean(found == labels)
    assert 0 < expected < 1
    assert identify(features, labels, everyone, everyone, k=3, metric=metric) == expected


def test_one_person_is_always_found():
    features = np.zeros((5, 3))
    assert identify(features, np.zeros(5, int), np.arange(5), np.arange(5), k=2) == 1


def test_a_gallery_of_each_person():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), [1, 3, 5, 8, 2]))
    chosen = draw_gallery(labels, 3, np.random.default_rng(1))
    assert np.bincount(labels[chosen]).tolist() == [1, 3, 3, 3, 2]
    again = draw_gallery(labels, 3, np.random.default_rng(1))
    np.testing.assert_array_equal(chosen, again)
    assert (draw_gallery(labels, 3, np.random.default_rng(2)) != chosen).any()


def test_every_picture_is_as_often_in_the_gallery():
    labels = np.repeat([0, 1], [4, 6])
    rng = np.random.default_rng(3)
    often = sum(draw_gallery(labels, 2, rng).astype(int) for _ in range(2000))
    np.testing.assert_allclose(often / 2000, np.repeat([1 / 2, 1 / 3], [4, 6]), atol=0.05)
