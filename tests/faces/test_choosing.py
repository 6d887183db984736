"""People and pictures that are taken away, or parted."""

import pytest

from convnet.cli import main
from tests.data_providers.helpers import picture_tree


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*.png"))


@pytest.fixture
def root(tmp_path):
    """Four people with 2, 3, 5 and 10 pictures."""
    for name, count in (("ann", 2), ("bob", 3), ("cy", 5), ("dee", 10)):
        picture_tree(tmp_path / "faces", [name], count)
    return tmp_path / "faces"


def test_prune_keeps_who_has_enough(root, capsys):
    (root / "zoe").mkdir()
    before = names(root)
    assert main(["faces", "prune", str(root), "--at-least", "3"]) == 0
    told = "2 of 5 people, with 2 of 20 pictures, would go; move them with --aside DIR"
    assert capsys.readouterr().out.splitlines() == ["     2  ann", "     0  zoe", told]
    assert names(root) == before
    aside = root.with_name("few")
    assert main(["faces", "prune", str(root), "--at-least", "3", "--aside", str(aside)]) == 0
    assert names(root) == before[2:]
    assert names(aside) == before[:2]
    assert (aside / "zoe").is_dir()


def split(root, out, *options):
    assert main(["faces", "split", str(root), "--out", str(out), *options]) == 0
    parts = [names(out / part) for part in ("train", "val")]
    assert [(out / f"{part}.txt").read_text().split() for part in ("train", "val")] == parts
    assert sorted(parts[0] + parts[1]) == names(root)
    return parts


@pytest.mark.parametrize(("ratio", "counts"), [("0.1", [1, 1, 1, 1]), ("0.4", [1, 1, 2, 4])])
def test_of_each_person_some_pictures(root, tmp_path, ratio, counts):
    (root / "zoe").mkdir()
    train, val = split(root, tmp_path / "out", "--ratio", ratio)
    people = ["ann", "bob", "cy", "dee"]
    assert [sum(file.startswith(name) for file in val) for name in people] == counts
    assert {file.split("/")[0] for file in train} == set(people)


def test_most_pictures_go_to_val_but_not_all(root, tmp_path):
    train, _ = split(root, tmp_path / "out", "--ratio", "0.99")
    assert len(train) == 4


def test_people_are_in_one_part(root, tmp_path):
    train, val = split(root, tmp_path / "out", "--by", "people", "--ratio", "0.5")
    groups = [{file.split("/")[0] for file in part} for part in (train, val)]
    assert [len(group) for group in groups] == [2, 2]
    assert not groups[0] & groups[1]


def test_the_seed_draws(root, tmp_path):
    first, again, other = (
        split(root, tmp_path / str(n), "--ratio", "0.4", "--seed", seed)
        for n, seed in enumerate(["1", "1", "2"])
    )
    assert first == again != other


def test_links_take_no_room(root, tmp_path):
    split(root, tmp_path / "out")
    file = next((tmp_path / "out").rglob("*.png"))
    assert file.stat().st_nlink == 2
