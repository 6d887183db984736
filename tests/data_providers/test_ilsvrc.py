import re

import pytest

from data_providers import DataError
from data_providers.ilsvrc import ilsvrc_pictures
from tests.data_providers.imagenet import (
    TRUTH,
    devkit_files,
    training_pictures,
    validation_pictures,
    write_ilsvrc,
)
from tests.data_providers.matlab import mat_file


def test_pictures_and_labels(tmp_path):
    found = ilsvrc_pictures(write_ilsvrc(tmp_path / "in"))
    assert found.label_names == ("English setter", "kit fox, Vulpes macrotis", "Siberian husky")
    numbers = {"n07": 0, "n02": 1, "n01": 2}
    training = training_pictures()
    pictures = {name: content for files in training.values() for name, content in files.items()}
    assert len(found.train) == len(pictures)
    for picture, label in zip(found.train.pictures, found.train.labels, strict=True):
        assert picture.read() == pictures.pop(picture.name)
        assert label == numbers[picture.name.split("_")[0]]
    expected = validation_pictures()
    assert [p.name for p in found.test.pictures] == list(expected)
    assert [p.read() for p in found.test.pictures] == list(expected.values())
    assert (found.test.labels + 1).tolist() == TRUTH


def test_a_long_name_in_an_archive(tmp_path):
    """Such names take more than one header."""
    name = "n02_" + "x" * 150 + ".JPEG"
    found = ilsvrc_pictures(write_ilsvrc(tmp_path / "in", training={"n02": {name: b"content"}}))
    (picture,) = found.train.pictures
    assert (picture.name, picture.read()) == (name, b"content")


@pytest.mark.parametrize(
    "name", ["ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar", "ILSVRC2012_devkit_t12.tar.gz"]
)
@pytest.mark.parametrize("size", [None, 0, 700])
def test_a_missing_or_damaged_archive(tmp_path, name, size):
    path = write_ilsvrc(tmp_path / "in") / name
    path.unlink() if size is None else path.write_bytes(b"x" * size)
    with pytest.raises(DataError, match=re.escape(f"{path}: cannot read it as a tar")):
        ilsvrc_pictures(tmp_path / "in")


def test_an_archive_that_is_cut_short(tmp_path):
    path = write_ilsvrc(tmp_path / "in") / "ILSVRC2012_img_train.tar"
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(
        DataError, match=r"train.tar: .*cannot read it as a tar archive: unexpected"
    ):
        ilsvrc_pictures(tmp_path / "in")


def test_a_damaged_archive_in_the_archive(tmp_path):
    path = write_ilsvrc(tmp_path / "in") / "ILSVRC2012_img_train.tar"
    content = path.read_bytes()
    place = content.index(b"n02_0.JPEG")
    path.write_bytes(content[:place] + b"\xff" * 512 + content[place + 512 :])
    with pytest.raises(DataError, match=r"train.tar: n02.tar: cannot read it as a tar archive: "):
        ilsvrc_pictures(tmp_path / "in")


def test_a_class_that_the_devkit_does_not_know(tmp_path):
    write_ilsvrc(tmp_path / "in", training={"n09": {"n09_1.JPEG": b"x"}})
    with pytest.raises(DataError, match=r"train.tar: n09.tar is not a class of ILSVRC2012_devkit"):
        ilsvrc_pictures(tmp_path / "in")


GROUND_TRUTH, META = "ground_truth", "meta.mat"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {GROUND_TRUTH: b"1\n2\n"},
            "img_val.tar: expected 2 pictures, as many as ILSVRC2012_devkit",
        ),
        ({GROUND_TRUTH: b"1\n4\n"}, "labels of validation pictures outside 1..3"),
        ({GROUND_TRUTH: b""}, "labels of validation pictures outside 1..3"),
        ({GROUND_TRUTH: b"1\nx\n"}, "devkit_t12.tar.gz: invalid literal for int()"),
        ({GROUND_TRUTH: None}, "there is no 'ILSVRC2012_validation_ground_truth.txt' in it"),
        ({META: None}, "there is no 'meta.mat' in it"),
        ({META: b"x"}, "devkit_t12.tar.gz: not a MATLAB file of version 5, little-endian"),
    ],
)
def test_another_devkit_than_expected(tmp_path, change, text):
    files = devkit_files(TRUTH)
    ((part, content),) = change.items()
    (name,) = [name for name in files if part in name]
    files.pop(name)
    if content is not None:
        files[name] = content
    write_ilsvrc(tmp_path / "in", devkit=files)
    with pytest.raises(DataError, match=re.escape(text)):
        ilsvrc_pictures(tmp_path / "in")


def test_classes_that_are_not_numbered(tmp_path):
    files = {name: content for name, content in devkit_files(TRUTH).items() if META not in name}
    rows = [{"ILSVRC2012_ID": 2, "WNID": "n02", "words": "fox", "num_children": 0}]
    files["data/meta.mat"] = mat_file({"synsets": rows})
    write_ilsvrc(tmp_path / "in", devkit=files)
    with pytest.raises(DataError, match="the classes are not numbered from 1"):
        ilsvrc_pictures(tmp_path / "in")
