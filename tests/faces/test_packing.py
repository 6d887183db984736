"""The tools that pack and unpack."""

import json
from pathlib import Path

import pytest

from convnet.cli import main
from tests.data_providers.helpers import picture_tree


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
