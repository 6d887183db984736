"""Pairs, and the pictures that they name."""

from itertools import chain

import numpy as np
import pytest

from convnet.errors import ConvnetError
from convnet.verification.lfw import Fold, pairs_text
from convnet.verification.pairs import cut_fold, locate, open_pairs
from convnet.verification.scores import cosines, judge
from tests.data_providers.helpers import picture_tree
from tests.verification.test_lfw import pair


@pytest.fixture
def pairs_file(tmp_path):
    """Three folds of two pairs of each kind, of two people with four pictures."""
    picture_tree(tmp_path / "faces", ["a", "b"], count=4)
    folds = [
        Fold(
            [pair("a", i, "a", i + 1), pair("b", i, "b", i + 1)],
            [pair("a", i, "b", i), pair("a", i, "b", i + 1)],
        )
        for i in range(3)
    ]
    (tmp_path / "pairs.txt").write_text(pairs_text(folds))
    return tmp_path / "pairs.txt"


def test_features_are_verified(pairs_file):
    pairs = open_pairs(pairs_file, pairs_file.parent / "faces")
    assert len(pairs.files) == 8
    features = np.random.default_rng(0).normal(size=(8, 5))
    expected = judge(
        cosines(features[pairs.places[:, 0]], features[pairs.places[:, 1]]), pairs.same, pairs.fold
    )
    assert pairs.verify(features, "cosine").accuracies == expected.accuracies
    assert pairs.fold.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_one_fold_is_dealt_to_several(pairs_file):
    pairs = open_pairs(pairs_file, pairs_file.parent / "faces", only=2)
    assert pairs.fold.tolist() == [0, 0, 1, 1]
    assert pairs.same.tolist() == [True, False, True, False]
    assert [file.name for file in pairs.files[:2]] == ["1.png", "2.png"]


def test_one_pair_of_each_kind_is_not_enough(pairs_file):
    pairs_file.write_text("1\na 1 2\na 1 b 2\n")
    with pytest.raises(ConvnetError, match="expected two pairs of each kind at least"):
        open_pairs(pairs_file, pairs_file.parent / "faces")


def test_a_fold_is_cut():
    kinds = [[pair(a, i, b, i + 1) for i in range(23)] for a, b in ("aa", "ab")]
    fold = Fold(*kinds)
    parts = cut_fold(fold, 5)
    assert [len(part.same) for part in parts] == [len(part.different) for part in parts] == [4] * 5
    assert sorted(chain(*(part.same for part in parts))) == fold.same[:20]
    assert sorted(chain(*(part.different for part in parts))) == fold.different[:20]


def test_the_pictures_of_pairs(tmp_path):
    folds = [
        Fold([pair("a", 0, "a", 1)], [pair("a", 1, "b", 0)]),
        Fold([pair("b", 0, "b", 1)], [pair("b", 1, "a", 0)]),
    ]
    picture_tree(tmp_path, ["a", "b"], count=2)
    pairs = locate(folds, tmp_path, "pairs.txt")
    expected = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert pairs.files == [tmp_path / person / f"{number}.png" for person, number in expected]
    np.testing.assert_array_equal(pairs.places, [[0, 1], [1, 2], [2, 3], [3, 0]])
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.fold.tolist() == [0, 0, 1, 1]


def test_missing_pictures_are_counted_and_the_first_are_named(tmp_path):
    picture_tree(tmp_path, ["a"], count=2)
    folds = [Fold([pair("a", 0, "a", n)], [pair("a", n, "b", n)]) for n in (1, 2, 3)]
    with pytest.raises(ConvnetError) as error:
        locate(folds, tmp_path, "pairs.txt")
    assert str(error.value) == (
        f"pairs.txt: 5 of its 7 pictures are not below {tmp_path}: b 1, a 2, b 2 and 2 more; "
        "expected as PERSON/NAME_0001.jpg"
    )
