import re

import pytest
from PIL import Image

from data_providers import DataError
from data_providers.pictures import find_parts, find_pictures
from tests.data_providers.helpers import picture_tree


def names(found, root):
    return [str(path.relative_to(root)) for path in found.files]


@pytest.fixture
def tiny_imagenet(tmp_path):
    """The folders of Tiny-ImageNet's own archive, with two classes."""
    root = tmp_path / "tiny"
    for wnid in ("n02", "n01"):
        folder = root / "train" / wnid
        picture_tree(folder, classes=("images",), count=2)
        (folder / f"{wnid}_boxes.txt").write_text("0.png\t0\t0\t5\t5\n")
    picture_tree(root / "val", classes=("images",), count=3)
    rows = ["2.png\tn01\t0\t0\t1\t1", "0.png\tn02\t0\t0\t1\t1", "1.png\tn01\t0\t0\t1\t1"]
    (root / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n")
    picture_tree(root / "test", classes=("images",))
    return root


def test_tiny_imagenet(tiny_imagenet):
    train, test = find_parts(tiny_imagenet)
    assert train.label_names == test.label_names == ("n01", "n02")
    assert names(train, tiny_imagenet / "train") == [
        *("n01/images/0.png", "n01/images/1.png", "n02/images/0.png", "n02/images/1.png")
    ]
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert names(test, tiny_imagenet / "val") == ["images/1.png", "images/2.png", "images/0.png"]
    assert test.labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize("text", ["", "2.png\n", "1.png n01\n2.png\n"])
def test_a_damaged_table(tiny_imagenet, text):
    table = tiny_imagenet / "val" / "val_annotations.txt"
    table.write_text(text)
    with pytest.raises(DataError, match=re.escape(f"{table}: expected lines of a file name and a")):
        find_parts(tiny_imagenet)


def test_a_table_cannot_name_files_elsewhere(tiny_imagenet):
    (tiny_imagenet / "val" / "val_annotations.txt").write_text("../../x.png n01\n/y.png n01\n")
    found = find_pictures(tiny_imagenet / "val")
    assert names(found, tiny_imagenet / "val") == ["images/x.png", "images/y.png"]


def test_a_class_of_the_name_images(tmp_path):
    """Beside others it is a class like any."""
    picture_tree(tmp_path / "train", classes=("images", "photos"))
    picture_tree(tmp_path / "test", classes=("images", "photos"))
    train, test = find_parts(tmp_path)
    assert test.label_names == train.label_names == ("images", "photos")


def test_test_pictures_without_classes_are_left_alone(tmp_path):
    for part in ("train", "val"):
        picture_tree(tmp_path / part)
    (tmp_path / "test").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "test" / "1.png")
    _, test = find_parts(tmp_path)
    assert {path.parent.parent.name for path in test.files} == {"val"}


def test_one_tree(tmp_path):
    picture_tree(tmp_path, classes=("train", "truck"))
    Image.new("RGB", (2, 2)).save(tmp_path / "truck" / "x.WEBP")
    found, nothing = find_parts(tmp_path)
    assert nothing is None
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 1]
