"""Verification against its definitions in plain Python, and cases worked out by hand."""

import math

import numpy as np
import pytest

from convnet.errors import ConvnetError
from convnet.verification.scores import METRICS, cosines, judge, roc, squared_distances
from tests import reference_verification as reference

# Scores of pairs, and whether these are of one person.
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.4, 0.2])
SAME = np.array([True, True, False, True, False, False])


def random_pairs(seed, count=60, levels=0):
    """Scores with `levels` different values, 0: as many as pairs."""
    rng = np.random.default_rng(seed)
    same = rng.random(count) < 0.4
    scores = rng.normal(same * 1.0, 1)
    if levels:
        scores = np.round(scores * levels / 6)
    return scores, same


def test_scores_of_features():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 7, 5)).astype(np.float32)
    first[3] = 0
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    np.testing.assert_allclose(cosines(first, second), [reference.cosine(*p) for p in pairs])
    np.testing.assert_allclose(
        squared_distances(first, second), [-reference.distance(*p) for p in pairs]
    )
    assert list(METRICS) == ["cosine", "euclid"]


def test_cosine_and_distance_of_unit_vectors_agree():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 7, 5))
    first, second = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (first, second))
    np.testing.assert_allclose(
        squared_distances(first, second), 2 * cosines(first, second) - 2, atol=1e-14
    )


def test_a_curve_by_hand():
    curve = roc(SCORES, SAME)
    np.testing.assert_allclose(curve.thresholds[1:], [0.85, 0.75, 0.65, 0.5, 0.3, 0.2])
    assert curve.thresholds[0] > 0.9
    np.testing.assert_allclose(curve.far, np.array([0, 0, 0, 1, 1, 2, 3]) / 3)
    np.testing.assert_allclose(curve.tar, np.array([0, 1, 2, 2, 3, 3, 3]) / 3)
    assert (curve.same, curve.different) == (3, 3)
    assert curve.auc == pytest.approx(8 / 9)  # of 9 comparisons 0.6 < 0.7 is wrong
    # From (0, 2/3) to (1/3, 2/3) the curve meets far = 1 - tar at its end.
    assert curve.eer == pytest.approx(1 / 3)
    assert curve.tar_at(0.34) == pytest.approx(1)
    assert curve.tar_at(1 / 3) == pytest.approx(1)
    assert math.isnan(curve.tar_at(0.33))  # of 3 pairs none is as little
    np.testing.assert_allclose(curve.accuracies, np.array([3, 4, 5, 4, 5, 4, 3]) / 6)
    assert curve.best_threshold == pytest.approx(0.5)  # 0.75 is as good; the middle one of both


def test_equal_scores():
    curve = roc(np.full(5, 0.3), np.array([True, False, False, True, True]))
    np.testing.assert_array_equal(curve.far, [0, 1])
    np.testing.assert_array_equal(curve.tar, [0, 1])
    assert curve.auc == curve.eer == 0.5
    assert curve.tar_at(0.5) == 0
    assert curve.best_threshold == 0.3  # accepting all is right more often than none
    assert roc(np.full(5, 0.3), np.array([True, False, False, True, False])).best_threshold > 0.3


@pytest.mark.parametrize("kind", [True, False])
def test_pairs_of_one_kind(kind):
    with pytest.raises(ConvnetError, match="found one kind only"):
        roc(SCORES, np.full(6, kind))


def test_perfect_and_inverted_scores():
    perfect = roc(SCORES, SCORES > 0.5)
    assert (perfect.auc, perfect.eer, perfect.tar_at(0.5)) == (1, 0, 1)
    assert perfect.best_threshold == pytest.approx(0.5)
    inverted = roc(SCORES, SCORES < 0.5)
    assert (inverted.auc, inverted.eer) == (0, 1)


def test_neighbouring_numbers_are_told_apart():
    low = 0.1
    high = np.nextafter(low, 1)
    curve = roc(np.array([high, low]), np.array([True, False]))
    assert low < curve.best_threshold <= high


@pytest.mark.parametrize("levels", [0, 4, 12])
@pytest.mark.parametrize("seed", range(5))
def test_curve(seed, levels):
    scores, same = random_pairs(seed, levels=levels)
    curve = roc(scores, same)
    points = [reference.rates(scores, same, t) for t in curve.thresholds]
    np.testing.assert_allclose(np.column_stack([curve.far, curve.tar]), points)
    assert len(points) == len(set(scores)) + 1
    assert curve.auc == pytest.approx(reference.auc(scores, same))
    for far in (0.03, 0.1, 0.5):
        assert curve.tar_at(far) == pytest.approx(reference.tar_at(scores, same, far))
    accuracies = [reference.accuracy(scores, same, t) for t in curve.thresholds]
    np.testing.assert_allclose(curve.accuracies, accuracies)
    best = reference.accuracy(scores, same, curve.best_threshold)
    assert best == pytest.approx(reference.best_accuracy(scores, same))
    # Where as many are accepted as rejected by mistake lies between two points of the curve.
    after = next(i for i, (far, tar) in enumerate(points) if far >= 1 - tar)
    (far0, tar0), (far1, tar1) = points[after - 1], points[after]
    assert far0 <= curve.eer <= far1
    assert 1 - tar1 <= curve.eer <= 1 - tar0


@pytest.mark.parametrize("levels", [0, 6])
def test_folds(levels):
    scores, same = random_pairs(9, 90, levels)
    fold = np.random.default_rng(2).permutation(np.arange(90) % 5)
    result = judge(scores, same, fold)
    for number in range(5):
        inside = fold == number
        threshold = result.thresholds[number]
        outside = scores[~inside], same[~inside]
        assert reference.accuracy(*outside, threshold) == reference.best_accuracy(*outside)
        expected = reference.accuracy(scores[inside], same[inside], threshold)
        assert result.accuracies[number] == expected
    mean = sum(result.accuracies) / 5
    assert result.accuracy == pytest.approx(mean)
    deviation = math.sqrt(sum((a - mean) ** 2 for a in result.accuracies) / 5)
    assert result.deviation == pytest.approx(deviation)
    assert result.roc.auc == roc(scores, same).auc


def test_a_fold_does_not_choose_its_own_threshold():
    scores = np.array([0.9, 0.1, 0.5, 0.4])
    same = np.array([True, False, True, False])
    result = judge(scores, same, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(result.thresholds, [0.45, 0.5])
    assert result.accuracies == [1, 1]
    result = judge(scores - [0, 0, 0.42, 0.42], same, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(result.thresholds, [0.03, 0.5])
    assert result.accuracies == [0.5, 0.5]
