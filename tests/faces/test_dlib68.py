"""Landmarks of dlib, with something in its place that answers as it does."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from convnet.errors import ConvnetError
from convnet.faces.dlib68 import Dlib
from data_providers.errors import DataError


class Rectangle:
    """As dlib's, the right and the lower side are the last pixels inside."""

    def __init__(self, *sides):
        self.sides = sides

    def left(self):
        return self.sides[0]

    def top(self):
        return self.sides[1]

    def right(self):
        return self.sides[2]

    def bottom(self):
        return self.sides[3]


class Shape(list):
    @property
    def num_parts(self):
        return len(self)

    def parts(self):
        return self


def stand_in(boxes, landmarks=68):
    """A module dlib that finds these boxes, and in each landmarks on a diagonal from its corner."""

    def shape_predictor(file):
        if not file.endswith("good.dat"):
            raise RuntimeError("Unable to open file")
        return lambda pixels, box: Shape(
            SimpleNamespace(x=box.left() + n, y=box.top() + 2 * n) for n in range(landmarks)
        )

    def run(pixels, doubled, threshold):
        assert (pixels.shape, doubled, threshold) == ((40, 50, 3), 1, 0.0)
        return boxes, [1.5] * len(boxes), [0] * len(boxes)

    return SimpleNamespace(
        get_frontal_face_detector=lambda: SimpleNamespace(run=run),
        shape_predictor=shape_predictor,
        rectangle=Rectangle,
    )


def test_faces(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", stand_in([Rectangle(3, 4, 12, 23)]))
    found = Dlib(tmp_path / "good.dat").detect(Image.new("RGB", (50, 40)))
    assert found.boxes.tolist() == [[3, 4, 13, 24]]
    assert found.scores.tolist() == [1.5]
    steps = np.arange(68)
    np.testing.assert_array_equal(found.points, [np.stack([3 + steps, 4 + 2 * steps], axis=1)])


def test_no_face(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", stand_in([]))
    found = Dlib(tmp_path / "good.dat").detect(Image.new("RGB", (50, 40)))
    assert found.boxes.shape == (0, 4)
    assert found.points.shape == (0, 68, 2)


def test_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", stand_in([], landmarks=5))
    with pytest.raises(DataError, match=r"good\.dat: expected 68 landmarks, found 5"):
        Dlib(tmp_path / "good.dat")
    with pytest.raises(DataError, match=r"bad\.dat: not landmarks of dlib: Unable to open"):
        Dlib(tmp_path / "bad.dat")
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(ConvnetError, match=r"pip install 'cudaconvnet\[dlib\]'"):
        Dlib(tmp_path / "good.dat")
