"""People and pictures that are taken away, or parted."""

import shutil

import numpy as np
import pytest
from PIL import Image

from convnet.cli import main
from convnet.faces.clean import from_the_mean
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


def test_from_the_mean():
    """Of (3, 0), (0, 3) and (0, 3) the mean of unit vectors is (1/3, 2/3); a person alone is it."""
    features = np.array([[3.0, 0], [0, 3], [5, 5], [0, 3]])
    found = from_the_mean(features, np.array([0, 0, 1, 0]), unit=True)
    far, near = np.hypot(2 / 3, 2 / 3), np.hypot(1 / 3, 1 / 3)
    np.testing.assert_allclose(found, [far, near, 0, near], atol=1e-12)
    as_they_are = from_the_mean(features, np.array([0, 0, 1, 0]), unit=False)
    np.testing.assert_allclose(as_they_are, found * 3)


def test_clean_finds_a_stranger(tmp_path, capsys):
    """By raw pixels: bob's second picture is one of ann's."""
    root, aside = tmp_path / "faces", tmp_path / "strangers"
    rng = np.random.default_rng(0)
    for name in ("ann", "bob"):
        (root / name).mkdir(parents=True)
        pattern = rng.integers(0, 2, (9, 8)) * 200
        for number in range(5):
            pixels = pattern + rng.integers(0, 55, (9, 8))
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    shutil.copy(root / "ann/0.png", root / "bob/1.png")
    options = ["--raw", "8x9", "--threshold", "0.5"]
    assert main(["faces", "clean", str(root), *options]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.endswith("  bob/1.png")
    assert last == "1 of 10 pictures would go; move them with --aside DIR"
    assert main(["faces", "clean", str(root), *options, "--aside", str(aside)]) == 0
    assert names(aside) == ["bob/1.png"]
    assert len(names(root)) == 9
