"""Pairs of any folder."""

from itertools import chain

import pytest

from convnet.errors import ConvnetError
from convnet.verification.drawing import deal_people, draw_folds

PEOPLE = {f"p{i}": range(1, 2 + i % 5) for i in range(40)}


def kinds(fold):
    return chain(fold.same, fold.different)


@pytest.mark.parametrize("folds", [1, 3, 10])
def test_people_are_dealt_evenly(folds):
    groups = deal_people(PEOPLE, folds, seed=1)
    assert sorted(chain(*groups)) == sorted(PEOPLE)
    for sizes in (
        [len(group) for group in groups],
        [sum(len(PEOPLE[name]) for name in group) // 5 for group in groups],
    ):
        assert max(sizes) - min(sizes) <= 1
    assert groups == deal_people(PEOPLE, folds, seed=1)
    assert groups != deal_people(PEOPLE, folds, seed=2)


def test_folds():
    groups = deal_people(PEOPLE, 4, seed=3)
    folds = draw_folds(PEOPLE, groups, 20, seed=3)
    for group, fold in zip(groups, folds, strict=True):
        assert len(fold.same) == len(fold.different) == 20
        assert {p.person for pair in kinds(fold) for p in pair} <= set(group)
        assert all(p.number in PEOPLE[p.person] for pair in kinds(fold) for p in pair)
        assert all(a.person == b.person and a.number != b.number for a, b in fold.same)
        assert all(a.person != b.person for a, b in fold.different)
        assert len({frozenset(pair) for pair in kinds(fold)}) == 40
    assert folds == draw_folds(PEOPLE, groups, 20, seed=3)
    assert folds != draw_folds(PEOPLE, groups, 20, seed=4)


def test_people_take_turns():
    people = {"a": range(50), "b": range(3), "c": range(1)}
    (fold,) = draw_folds(people, [list(people)], 7, seed=0)
    names = [first.person for first, _ in fold.same]
    assert sorted(names[:6]) == [*"aaabbb"]
    assert names[6:] == ["a"]


def test_all_pairs_can_be_drawn():
    people = {"a": range(4), "b": range(2)}
    (fold,) = draw_folds(people, [["a", "b"]], 7, seed=0)
    assert len(set(fold.same)) == 7
    assert len(set(fold.different)) == 7


def test_too_few_pairs():
    with pytest.raises(ConvnetError) as error:
        draw_folds({"a": range(3), "b": range(2)}, [["a", "b"]], 5, seed=0)
    assert str(error.value) == (
        "the 2 people of a fold, 5 pictures, make 4 pairs of one person and 6 of two; "
        "expected 5 of each: ask for fewer --pairs or --folds"
    )
