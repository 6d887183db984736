"""`faces plot`: what is drawn is what runs and files hold."""

import csv

import numpy as np
import pytest

from convnet.checkpoint import load_checkpoint
from convnet.verification.curves import read_roc, roc_text
from convnet.verification.scores import roc
from tests.show.conftest import pixels_of


@pytest.fixture(scope="module")
def verified(place):
    """The run `verified`, which verifies its own pictures; and a ROC curve, curve.csv."""
    from convnet.cli import main

    pairs = place.root / "own-pairs.txt"
    words = ["faces", "pairs", str(place.pictures), "--out", str(pairs), "--folds=2", "--pairs=9"]
    assert main(words) == 0
    assert place.train("verified", verify_pairs=pairs, verify_layer="features") == 0
    rng = np.random.default_rng(0)
    curve = roc(rng.normal(size=50), rng.random(50) < 0.5)
    (place.root / "curve.csv").write_text(roc_text(curve))
    return curve


def lines(path):
    """Points by figure and curve."""
    found = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            point = float(row["x"]), float(row["y"])
            found.setdefault((row["figure"], row["curve"]), []).append(point)
    return found


def test_a_curve_is_read_as_it_was_written(place, verified):
    far, tar = read_roc(place.root / "curve.csv")
    np.testing.assert_array_equal(far, verified.far)
    np.testing.assert_array_equal(tar, verified.tar)


def test_numbers_of_runs_and_curves(place, faces, verified, tmp_path):
    out = tmp_path / "new" / "curves.csv"
    root = place.root
    printed = faces("plot", root / "run", root / "verified", root / "curve.csv", out=out)
    assert printed == f"Wrote {out}\n"
    found = lines(out)
    curves = [curve for _, curve in found]
    assert curves == ["run training", "run test", "verified training", "verified test", "verified",
                      "curve"]  # fmt: skip
    state = load_checkpoint(root / "verified").state
    times = [point[0] for point in found["logprob", "verified training"]]
    assert times == [0.5, 1, 1.5, 2, 2.5, 3]  # two batches are an epoch
    values = [point[1] for point in found["logprob", "verified test"]]
    assert values == [costs["logprob"][0] / cases for costs, cases in state.test_outputs]
    accuracies = [(time / 2, accuracy) for time, accuracy, _ in state.verifications]
    assert found["accuracy", "verified"] == accuracies
    (points,) = [points for (_, curve), points in found.items() if curve == "curve"]
    drawn = [(far, tar) for far, tar in zip(verified.far, verified.tar, strict=True) if far]
    np.testing.assert_allclose(points, drawn)


def test_a_run_alone(place, faces, tmp_path):
    faces("plot", place.root / "run", out=tmp_path / "run.csv", cost_idx=1)
    assert list(lines(tmp_path / "run.csv")) == [("error", "training"), ("error", "test")]


def test_curves_of_one_name(place, faces, verified, tmp_path):
    (tmp_path / "curve.csv").write_text((place.root / "curve.csv").read_text())
    files = place.root / "curve.csv", tmp_path / "curve.csv"
    faces("plot", *files, out=tmp_path / "roc.csv")
    assert [curve for _, curve in lines(tmp_path / "roc.csv")] == [str(file) for file in files]


def test_pictures(place, faces, verified, tmp_path):
    faces("plot", place.root / "verified", place.root / "curve.csv", out=tmp_path / "all.png")
    height, width, _ = pixels_of(tmp_path / "all.png").shape
    assert (height, width) == (4.5 * 120, 3 * 6 * 120)  # cost, verification and ROC
    faces("plot", place.root / "curve.csv", out=tmp_path / "roc.svg")
    assert (tmp_path / "roc.svg").read_bytes().startswith(b"<?xml")
