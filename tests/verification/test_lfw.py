"""Files of the LFW protocol, and the pictures that they name."""

import pytest

from convnet.errors import ConvnetError
from convnet.verification.lfw import (
    Fold,
    Numbered,
    Pair,
    numbered_pictures,
    pairs_text,
    read_pairs,
    read_people,
)
from tests.data_providers.helpers import picture_tree


def pair(first, i, second, j):
    return Pair(Numbered(first, i), Numbered(second, j))


FOLDS = [
    Fold([pair("a", 1, "a", 2)], [pair("a", 1, "b b", 3)]),
    Fold([pair("c", 10, "c", 2)], [pair("c", 2, "d", 1)]),
]
TEXT = "2\t1\na\t1\t2\na\t1\tb b\t3\nc\t10\t2\nc\t2\td\t1\n"


def test_pairs_in_folds(tmp_path):
    assert pairs_text(FOLDS) == TEXT
    (tmp_path / "pairs.txt").write_text(TEXT)
    assert read_pairs(tmp_path / "pairs.txt") == FOLDS


def test_pairs_without_folds(tmp_path):
    """As LFW's pairsDevTest.txt; also with spaces."""
    (tmp_path / "pairs.txt").write_text("1\na 1 2\na 1 b 3\n\n")
    assert read_pairs(tmp_path / "pairs.txt") == [
        Fold([pair("a", 1, "a", 2)], [pair("a", 1, "b", 3)])
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1: expected the number of folds and of pairs, or of pairs alone; found ''"),
        ("2 0\n", "1: expected the number of folds and of pairs, or of pairs alone; found '2 0'"),
        ("1\na 1\n", "2: expected a pair of one person, NAME i j; found 'a 1'"),
        ("1\na 1 2\na x b 3\n", "3: expected a pair of two people, NAME i NAME j; found 'a x b 3'"),
        ("1\na 1 2\na 1 a 3\n", "3: expected a pair of two people, NAME i NAME j; found 'a 1 a 3'"),
        ("1\na 1 2\n", " expected a pair of two people, NAME i NAME j; found the end of the file"),
        (TEXT + "e 1 2", "6: expected the end after 2 folds of 1 + 1 pairs; found 'e 1 2'"),
    ],
)
def test_damaged_pairs(tmp_path, text, says):
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    with pytest.raises(ConvnetError) as error:
        read_pairs(path)
    assert str(error.value) == f"{path}:{says}"


@pytest.mark.parametrize("content", [None, b"\xff\xff"])
def test_pairs_that_cannot_be_read(tmp_path, content):
    if content:
        (tmp_path / "pairs.txt").write_bytes(content)
    with pytest.raises(ConvnetError, match=r"cannot read it: (No such file|not a text)"):
        read_pairs(tmp_path / "pairs.txt")


def test_people(tmp_path):
    path = tmp_path / "people.txt"
    path.write_text("2\n2\nann\t3\nbob\t1\n1\ncy\t2\n")
    assert read_people(path) == [["ann", "bob"], ["cy"]]
    path.write_text("2\nann\t3\nbob\t1\n")
    assert read_people(path) == [["ann", "bob"]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2\nann\t3\n", " expected 1 whole folds of people; found 0"),
        ("2\n1\nann\t3\n", " expected 2 whole folds of people; found 1"),
        ("1\n1\nann\n", "3: expected NAME and its number of pictures; found 'ann'"),
        ("1\nann\t3\nbob\t1\n", "3: expected the people of a fold; found 'bob 1'"),
    ],
)
def test_damaged_people(tmp_path, text, says):
    path = tmp_path / "people.txt"
    path.write_text(text)
    with pytest.raises(ConvnetError) as error:
        read_people(path)
    assert str(error.value) == f"{path}:{says}"


def test_numbers_of_pictures(tmp_path):
    picture_tree(tmp_path, ["ann"], count=2)
    picture = (tmp_path / "ann/0.png").read_bytes()
    for name in ("bob/Bob_02", "bob/Bob_10", "cy/x", "cy/a1", "dd/1", "dd/01"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.png").write_bytes(picture)
    names = {
        person: {number: file.name for number, file in files.items()}
        for person, files in numbered_pictures(tmp_path).items()
    }
    assert names == {
        "ann": {0: "0.png", 1: "1.png"},
        "bob": {2: "Bob_02.png", 10: "Bob_10.png"},
        "cy": {1: "a1.png", 2: "x.png"},
        "dd": {1: "01.png", 2: "1.png"},
    }
