"""The tools that pack and unpack."""

import json
from pathlib import Path

import pytest

from convnet.cli import main
from tests.data_providers.helpers import picture_tree
from tests.data_providers.mxnet import arcface, picture, python2_pairs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture_tree(Path("one"), ["ann", "bob"])
    picture_tree(Path("two"), ["bob", "cy"], count=2)


def files(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in Path(root).rglob("*.*")}


def test_there_and_back(folder, capsys):
    assert main(["faces", "pack", "one", "--out", "packs/people", "--alignment", "none"]) == 0
    assert capsys.readouterr().out == "wrote packs/people.bin: 6 pictures of 2 people\n"
    assert main(["faces", "unpack", "packs/people", "--out", "back"]) == 0
    assert capsys.readouterr().out == "wrote back: 6 pictures of 2 people\n"
    assert files("back") == files("one")
    assert main(["faces", "info", "packs/people"]) == 0
    text = capsys.readouterr().out
    for line in (
        "people        2",
        "size          5x6",
        "alignment     none",
        "made          sources=['one'], size=0, merge=False",
        "checksums     right",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("merge", "names"),
    [("0", ["one-ann", "one-bob", "two-bob", "two-cy"]), ("1", ["ann", "bob", "cy"])],
)
def test_several_sources(folder, merge, names):
    assert main(["faces", "pack", "two", "--out", "two"]) == 0
    assert main(["faces", "pack", "one", "two.bin", "--out", "all", "--merge", merge]) == 0
    header = json.loads(Path("all.json").read_text())
    assert header["class_names"] == names
    assert header["pictures"] == 10
    assert main(["faces", "unpack", "all", "--out", "back"]) == 0
    assert sorted(p.name for p in Path("back").iterdir()) == names


def test_pictures_of_one_size(folder):
    assert main(["faces", "pack", "one", "--out", "people", "--size", "4"]) == 0
    assert json.loads(Path("people.json").read_text())["size"] == [4, 4]


def test_alignment_goes_along(folder):
    settings = {"crop": "arcface", "size": [112, 112]}
    Path("one/align.json").write_text(json.dumps(settings))
    for sources, expected in (
        (["one"], "arcface 112x112"),
        (["a.bin"], "arcface 112x112"),
        (["one", "a"], "arcface 112x112"),
        (["one", "two"], ""),
    ):
        name = chr(ord("a") + len(list(Path().glob("*.json"))))
        assert main(["faces", "pack", *sources, "--out", name]) == 0
        assert json.loads(Path(f"{name}.json").read_text())["alignment"] == expected


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"crop": "x", "size": 3}'])
def test_alignment_that_says_nothing(folder, text):
    Path("one/align.json").write_text(text)
    assert main(["faces", "pack", "one", "--out", "a"]) == 0
    assert json.loads(Path("a.json").read_text())["alignment"] == ""


def test_records_of_arcface(folder):
    arcface(Path("data"))
    assert main(["faces", "unpack", "data/train.rec", "--out", "back"]) == 0
    assert sorted(files("back")) == [
        "0000000/00000001.jpg",
        "0000000/00000002.jpg",
        "0000005/00000003.jpg",
    ]
    assert main(["faces", "pack", "data/train.rec", "--out", "people"]) == 0
    assert json.loads(Path("people.json").read_text())["class_names"] == ["0000000", "0000005"]
    assert main(["faces", "info", "data/train"]) == 0


def test_pairs_of_arcface(folder):
    Path("lfw.bin").write_bytes(python2_pairs([picture(n) for n in range(4)], [True, False]))
    assert main(["faces", "unpack", "lfw.bin", "--out", "lfw"]) == 0
    assert Path("lfw/pairs.txt").read_text() == "1\t1\n000000\t1\t2\n000001-a\t1\t000001-b\t1\n"
    assert Path("lfw/000001-b/000001-b_0001.jpg").read_bytes() == picture(3)
