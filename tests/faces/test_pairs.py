"""`faces pairs`."""

import pytest

from convnet import cli
from convnet.verification.lfw import read_pairs
from tests.data_providers.helpers import picture_tree


@pytest.fixture
def tree(tmp_path, monkeypatch):
    picture_tree(tmp_path / "faces", "abcdef", count=5)
    monkeypatch.chdir(tmp_path)


def draw(*words):
    return cli.main(["faces", "pairs", "faces", "--out", "out/pairs.txt", *words])


def people(fold):
    return {picture.person for pair in (*fold.same, *fold.different) for picture in pair}


def test_people_are_in_one_fold_each(tree, capsys, tmp_path):
    assert draw("--folds", "3", "--pairs", "8") == 0
    assert capsys.readouterr().out == "Wrote out/pairs.txt: 3 folds of 8 + 8 pairs\n"
    folds = read_pairs(tmp_path / "out/pairs.txt")
    assert [len(people(fold)) for fold in folds] == [2, 2, 2]
    assert set().union(*map(people, folds)) == set("abcdef")
    before = (tmp_path / "out/pairs.txt").read_bytes()
    assert draw("--folds", "3", "--pairs", "8") == 0
    assert (tmp_path / "out/pairs.txt").read_bytes() == before
    assert draw("--folds", "3", "--pairs", "8", "--seed", "1") == 0
    assert (tmp_path / "out/pairs.txt").read_bytes() != before


def test_people_in_several_folds(tree, tmp_path):
    assert draw("--pairs", "6", "--people-disjoint", "0") == 0
    folds = read_pairs(tmp_path / "out/pairs.txt")
    assert len(folds) == 10
    pairs = [frozenset(pair) for fold in folds for pair in (*fold.same, *fold.different)]
    assert len(set(pairs)) == len(pairs) == 120


def test_the_folds_of_people_txt(tree, tmp_path):
    (tmp_path / "people.txt").write_text("2\n2\na\t5\nf\t5\n3\nb\t5\nc\t5\nd\t5\n")
    assert draw("--people", "people.txt", "--pairs", "9") == 0
    assert [people(fold) for fold in read_pairs(tmp_path / "out/pairs.txt")] == [
        set("af"),
        set("bcd"),
    ]
