import numpy as np
import pytest
from matplotlib.figure import Figure

from convnet.show.confusion import confusion_matrix, confusion_table, draw_confusion
from convnet.show.predictions import open_classifier, predict_all
from convnet.train.session import open_session
from tests.show.conftest import pixels_of

COUNTS = np.array([[8, 1, 1, 0], [0, 4, 0, 0], [6, 0, 14, 0], [0, 0, 0, 0]])
NAMES = ["ant", "bee", "cow", "dodo"]


def test_counts(place):
    given = {"load_file": str(place.root / "run"), "test_only": True}
    classifier = open_classifier(open_session(given))
    counts = confusion_matrix(classifier)
    expected = np.zeros((3, 3), int)
    for _, found in predict_all(classifier):
        for probs, label in zip(found.probs, found.labels, strict=True):
            expected[label, np.argmax(probs)] += 1
    np.testing.assert_array_equal(counts, expected)
    assert counts.sum() == 22


def test_table():
    assert confusion_table(COUNTS, NAMES).splitlines() == [
        "class   images   errors    error",
        "cow         20        6   30.00%",
        "ant         10        2   20.00%",
        "bee          4        0    0.00%",
        "all         34        8   23.53%",
        "",
        "most frequent confusions",
        "       6  cow taken for ant",
        "       1  ant taken for bee",
        "       1  ant taken for cow",
    ]


def test_table_without_errors():
    lines = confusion_table(np.diag([2, 3]), ["a", "b"]).splitlines()
    assert lines[-1].split() == ["all", "5", "0", "0.00%"]


def many_classes():
    rng = np.random.default_rng(0)
    return rng.poisson(0.02, (1000, 1000)) + np.diag(rng.integers(20, 30, 1000))


def test_of_many_classes_the_worst_are_listed():
    counts = many_classes()
    names = [f"class {i}" for i in range(1000)]
    lines = confusion_table(counts, names).splitlines()
    assert len(lines) == 1 + 20 + 2 + 2 + 20
    rates = [float(line.split()[-1].rstrip("%")) for line in lines[1:21]]
    errors = 100 * (1 - counts.diagonal() / counts.sum(axis=1))
    np.testing.assert_allclose(rates, np.sort(errors)[::-1][:20], atol=0.006)
    assert lines[21] == "... and 980 classes with fewer errors"


@pytest.mark.parametrize(
    ("classes", "named", "counted"), [(4, True, True), (20, True, False), (1000, False, False)]
)
def test_picture(tmp_path, monkeypatch, classes, named, counted):
    figures = []
    subplots = Figure.subplots
    monkeypatch.setattr(
        Figure, "subplots", lambda *a, **k: figures.append(subplots(*a, **k)) or figures[-1]
    )
    counts = {4: COUNTS, 20: np.eye(20, dtype=int), 1000: many_classes()}[classes]
    names = NAMES if classes == 4 else [f"class {i}" for i in range(classes)]
    draw_confusion(counts, names, tmp_path / "confusion.png")
    (axes,) = figures
    shares = axes.images[0].get_array()
    for i in range(4):
        images = max(1, sum(counts[i]))
        np.testing.assert_allclose(shares[i], [count / images for count in counts[i]])
    assert ([t.get_text() for t in axes.get_yticklabels()] == names) == named
    texts = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts}
    if counted:
        found = {place: str(count) for place, count in np.ndenumerate(COUNTS) if count}
        assert texts == found
    else:
        assert not texts
    assert pixels_of(tmp_path / "confusion.png").std() > 10


def test_command(show, place, tmp_path):
    out = tmp_path / "confusion.svg"
    lines = show("confusion", show_preds="probs", test_range=6, out=out).splitlines()
    assert lines[0].split() == ["class", "images", "errors", "error"]
    (total,) = [line.split() for line in lines if line.startswith("all")]
    assert total[1] == "11"
    assert lines[-1] == f"Wrote {out}"
    assert out.read_bytes().startswith(b"<?xml")
    beside = place.root / "run" / "confusion-probs.png"
    assert show("confusion").endswith(f"Wrote {beside}\n")
    beside.unlink()
