import numpy as np
import pytest
from matplotlib.axes import Axes

from convnet.errors import ConvnetError
from convnet.show.stats import draw_histograms, stats_table, weight_stats
from tests.show.conftest import pixels_of

STATE = {
    "a.weights.0": np.array([[3, -4], [0, 1]], np.float32),
    "a.weights.0.inc": np.array([[0.5, 0.5], [-1, 0]], np.float32),
    "a.weights.0.grad": np.ones((2, 2), np.float32),  # of a sum over several minibatches
    "a.biases": np.zeros((1, 2), np.float32),
    "a.biases.inc": np.ones((1, 2), np.float32),
}


def test_numbers():
    weights, biases = weight_stats(STATE)
    assert (weights.name, weights.shape) == ("a.weights.0", (2, 2))
    assert (weights.mean, weights.largest, weights.step, weights.ratio) == (2, 4, 0.5, 0.25)
    assert weights.norm == pytest.approx(26**0.5)
    assert (biases.name, biases.mean, biases.step, biases.ratio) == ("a.biases", 0, 1, 0)


def test_table():
    head, weights, biases = stats_table(weight_stats(STATE)).splitlines()
    assert " ".join(head.split()) == "matrix shape mean |W| max |W| norm mean |inc| ratio"
    assert " ".join(weights.split()) == (
        "a.weights.0 2x2 2.0000e+00 4.0000e+00 5.0990e+00 5.0000e-01 2.5000e-01"
    )
    assert len(head) == len(weights) == len(biases)


def test_no_weights():
    with pytest.raises(ConvnetError, match="the net has no weights, so there is nothing to tell"):
        weight_stats({})


def test_histograms(tmp_path, monkeypatch):
    drawn = []
    hist = Axes.hist
    monkeypatch.setattr(Axes, "hist", lambda *a, **k: drawn.append(a[1].tolist()) or hist(*a, **k))
    draw_histograms(STATE, tmp_path / "histograms.png")
    assert drawn == [[3, -4, 0, 1], [0, 0]]
    assert pixels_of(tmp_path / "histograms.png").std() > 10


def test_command(show, place, tmp_path):
    before = sorted((place.root / "run").iterdir())
    rows = [line.split() for line in show("stats").splitlines()]
    assert [row[:2] for row in rows[1:]] == [
        ["conv.weights.0", "18x3"],
        ["conv.biases", "3x1"],
        ["fc.weights.0", "75x3"],
        ["fc.biases", "1x3"],
    ]
    weights = place.checkpoint("run").weights["fc.weights.0"]
    assert float(rows[3][2]) == pytest.approx(np.abs(weights).mean(), rel=1e-4)
    assert sorted((place.root / "run").iterdir()) == before
    assert show("stats", out=tmp_path / "x.png").endswith(f"Wrote {tmp_path / 'x.png'}\n")
    assert (tmp_path / "x.png").exists()
