"""From photographs to aligned faces: what is written, what is left out, what is done again."""

import json

import numpy as np
import pytest
from PIL import Image

from convnet.api import make_ops
from convnet.faces import align as module
from convnet.faces.align import align_tree, chosen
from convnet.faces.crops import CROPS
from convnet.faces.landmarks import read_landmarks, read_rows
from convnet.faces.mtcnn import Faces, Mtcnn
from data_providers.errors import DataError
from data_providers.pictures import find_pictures, read_picture
from tests.faces.drawn import drawn, photographs


def results(out):
    return {row.picture: row.result for row in read_rows(out / "landmarks.csv")}


def test_parts_come_to_lie_in_their_places(tmp_path):
    photographs(tmp_path / "raw", count=2)
    lines = []
    align_tree(tmp_path / "raw", tmp_path / "out", workers=1, report=lines.append)
    assert lines == ["4 aligned"]
    assert json.loads((tmp_path / "out/align.json").read_text())["crop"] == "arcface"
    files = find_pictures(tmp_path / "out").files
    assert [str(f.relative_to(tmp_path / "out")) for f in files] == [
        "ann/0.png",
        "ann/1.png",
        "bob/0.png",
        "bob/1.png",
    ]
    for file in files:
        picture = read_picture(file, file.name)
        assert picture.size == (112, 112)
        (points,) = Mtcnn(make_ops()).detect(picture).points
        away = np.linalg.norm(points - CROPS["arcface"].template[5] * 112, axis=1)
        assert away.max() < 5


@pytest.mark.parametrize("crop", CROPS)
def test_landmarks_are_used_again(tmp_path, crop):
    """In another crop: without a detector, and to the size that is asked for."""
    photographs(tmp_path / "raw", ["ann"], 1)
    align_tree(tmp_path / "raw", tmp_path / "first", workers=1)
    (tmp_path / "raw/ann/new.jpg").write_bytes((tmp_path / "raw/ann/0.jpg").read_bytes())
    table = tmp_path / "first/landmarks.csv"
    align_tree(
        tmp_path / "raw", tmp_path / "out", landmarks=str(table), crop=crop, height=56, workers=1
    )
    assert results(tmp_path / "out") == {"ann/0.jpg": "aligned", "ann/new.jpg": "no face"}
    assert read_picture(tmp_path / "out/ann/0.png", "0.png").size == CROPS[crop].size(56)
    found = read_landmarks(tmp_path / "out/landmarks.csv")
    np.testing.assert_array_equal(found["ann/0.jpg"], read_landmarks(table)["ann/0.jpg"])


def test_pictures_of_every_kind(tmp_path):
    """Grey, transparent, for print, turned by EXIF: the same face each time."""
    folder = tmp_path / "raw" / "ann"
    folder.mkdir(parents=True)
    face = drawn()
    face.save(folder / "a.PNG")
    face.convert("L").save(folder / "grey.jpeg")
    face.convert("RGBA").save(folder / "alpha.png")
    face.convert("CMYK").save(folder / "print.JPG")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: to be turned clockwise
    face.rotate(90).save(folder / "turned.jpg", exif=exif, quality=95)
    align_tree(tmp_path / "raw", tmp_path / "out", workers=1)
    assert set(results(tmp_path / "out").values()) == {"aligned"}
    found = read_landmarks(tmp_path / "out/landmarks.csv")
    assert len(found) == 5
    for points in found.values():
        assert np.abs(points - found["ann/a.PNG"]).max() < 2


def test_what_is_left_out_is_told(tmp_path):
    photographs(tmp_path / "raw", ["ann"])
    photographs(tmp_path / "raw", ["zoe"], 0)
    Image.new("RGB", (80, 80)).save(tmp_path / "raw/zoe/nobody.png")
    (tmp_path / "raw/zoe/text.jpg").write_text("no picture")
    drawn([(60, 60, 36), (170, 80, 30)], (230, 150)).save(tmp_path / "raw/ann/two.png")
    lines = []
    align_tree(tmp_path / "raw", tmp_path / "out", workers=1, report=lines.append)
    assert lines == [
        "4 aligned, 1 of them chosen among several faces",
        "1 no face",
        "1 unreadable",
        "1 people without a picture now: zoe",
    ]
    rows = {row.picture: row for row in read_rows(tmp_path / "out/landmarks.csv")}
    assert rows["zoe/text.jpg"].note.startswith("not a readable picture: ")
    assert rows["ann/two.png"].faces == 2
    lines.clear()
    align_tree(tmp_path / "raw", tmp_path / "one", faces="single", workers=1, report=lines.append)
    assert "1 several faces" in lines


def test_which_face():
    """The large one is at the border: 100 x 100 pixels, 90 from the middle."""
    boxes = np.array([[0.0, 50, 100, 150], [110, 70, 170, 130]])
    faces = Faces(boxes, np.ones(2), np.zeros((2, 5, 2)))
    assert chosen(faces, (280, 200), "largest") == 0
    assert chosen(faces, (280, 200), "central") == 1


def test_middle_of_the_picture(tmp_path):
    (tmp_path / "raw/ann").mkdir(parents=True)
    columns = np.repeat(np.arange(120, dtype=np.uint8), 80).reshape(120, 80).T
    Image.fromarray(columns).save(tmp_path / "raw/ann/a.pgm")
    align_tree(tmp_path / "raw", tmp_path / "out", landmarks="none", height=80)
    found = np.asarray(read_picture(tmp_path / "out/ann/a.png", "a.png"))
    assert (found[0, :, 0] == np.arange(20, 100)).all()


def test_going_on(tmp_path, monkeypatch):
    """After being stopped, with a line half written; after a picture changed; or was deleted."""
    photographs(tmp_path / "raw")
    real, done = module.align_picture, []

    def stops(job):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job.picture)
        return real(job)

    def again():
        done.clear()
        align_tree(tmp_path / "raw", out, landmarks="none", workers=1)
        return done

    out = tmp_path / "out"
    monkeypatch.setattr(module, "align_picture", stops)
    with pytest.raises(KeyboardInterrupt):
        again()
    table = out / "landmarks.csv"
    assert list(results(out)) == ["ann/0.jpg", "ann/1.jpg"]
    table.write_text(table.read_text()[:-20])
    half_written = out / "ann" / ".2.png.77"
    half_written.write_bytes(b"x")
    monkeypatch.setattr(
        module, "align_picture", lambda job: (done.append(job.picture), real(job))[1]
    )
    assert again() == ["ann/1.jpg", "ann/2.jpg", "bob/0.jpg", "bob/1.jpg", "bob/2.jpg"]
    assert not half_written.exists()
    whole = table.read_bytes()
    assert again() == []
    assert table.read_bytes() == whole
    (out / "bob/1.png").unlink()
    Image.new("RGB", (30, 30)).save(tmp_path / "raw/bob/2.jpg")
    assert again() == ["bob/1.jpg", "bob/2.jpg"]


def test_other_settings(tmp_path):
    photographs(tmp_path / "raw", ["ann"], 1)
    align_tree(tmp_path / "raw", tmp_path / "out", landmarks="none")
    with pytest.raises(DataError, match="made with other settings"):
        align_tree(tmp_path / "raw", tmp_path / "out", landmarks="none", height=50)


@pytest.mark.slow
def test_several_processes_make_the_same(tmp_path):
    photographs(tmp_path / "raw", count=17)
    for workers in (1, 2):
        align_tree(tmp_path / "raw", tmp_path / str(workers), workers=workers)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in "12")
    assert one == two
