"""`faces verify` and `faces knn`."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image

from convnet.faces.features import raw_pixels
from convnet.train.embedding import embed
from convnet.train.session import open_session
from convnet.verification.neighbours import identify
from convnet.verification.pairs import open_pairs
from data_providers.pictures import find_pictures
from tests.faces.conftest import write_people


@pytest.fixture(scope="module")
def pairs_file(place):
    """Five people whom the run has not seen, and three folds of their pairs."""
    from convnet.cli import main

    write_people(place.root / "others", "efghij", 4, seed=1)
    words = ["faces", "pairs", place.root / "others", "--out", place.root / "pairs.txt"]
    assert main([*map(str, words), "--folds=3", "--pairs=8"]) == 0
    return place.root / "pairs.txt"


def features_of(place, files, layer="features", flip=False):
    session = open_session({"load_file": str(place.root / "run"), "test_only": True})
    session.net.keep(layer)
    return embed(session.net, session.test_data, layer, files, flip=flip)


@pytest.mark.parametrize("metric", ["cosine", "euclid"])
@pytest.mark.parametrize("flip", [0, 1])
def test_a_run(place, faces, pairs_file, metric, flip):
    pairs = open_pairs(pairs_file, place.root / "others")
    result = pairs.verify(features_of(place, pairs.files, flip=bool(flip)), metric)
    printed = faces("verify", pairs=pairs_file, pictures=place.root / "others", metric=metric,
                    load_file=place.root / "run", layer="features", flip=flip)  # fmt: skip
    lines = printed.splitlines()
    assert lines[0].split() == ["fold", "threshold", "accuracy"]
    for number, line in enumerate(lines[1:4]):
        values = result.thresholds[number], result.accuracies[number]
        assert line.split() == [str(number + 1), *(f"{value:.4f}" for value in values)]
    curve = result.roc
    assert lines[4:] == [
        f"accuracy {result.accuracy:.4f} +- {result.deviation:.4f} (3 folds), "
        f"AUC {curve.auc:.4f}, EER {curve.eer:.4f}",
        "TAR at FAR 0.01: too few pairs, 0.001: too few pairs, 0.0001: too few pairs",
    ]


def test_raw_pixels(place, faces, pairs_file, tmp_path):
    """Of one person each a pattern: anything tells them apart."""
    printed = faces("verify", pairs=pairs_file, pictures=place.root / "others", raw="9x7",
                    out=tmp_path / "roc.csv")  # fmt: skip
    assert "accuracy 1.0000 +- 0.0000 (3 folds), AUC 1.0000, EER 0.0000" in printed
    assert printed.endswith(f"Wrote {tmp_path / 'roc.csv'}\n")
    rows = list(csv.reader((tmp_path / "roc.csv").read_text().splitlines()))
    assert rows[0] == ["threshold", "far", "tar"]
    assert [float(n) for n in rows[-1][1:]] == [1, 1]


def test_raw_pixels_are_means(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    # Pillow rounds the means of rows, and then those of columns.
    expected = pixels.reshape(2, 2, 3, 2).mean(axis=(1, 3)).ravel()
    np.testing.assert_allclose(raw_pixels([tmp_path / "a.png"], (3, 2)), [expected], atol=1)


def test_one_fold(place, faces, pairs_file):
    printed = faces("verify", pairs=pairs_file, pictures=place.root / "others", raw="9x7", fold=2)
    assert "(8 folds)" in printed


def test_nearest_neighbours_of_a_run(place, faces, pairs_file):
    root = place.root / "others"
    found = find_pictures(root)
    features, everyone = features_of(place, found.files), np.arange(24)
    expected = identify(features, found.labels, everyone, everyone, k=3)
    assert expected > 0.2
    printed = faces("knn", pictures=root, k=3, load_file=place.root / "run", layer="features")
    assert printed == f"3-NN: {expected:.4f} of 24 pictures, each among 23 others\n"


def test_nearest_neighbours_of_raw_pixels(place, faces, pairs_file, tmp_path):
    root = place.root / "others"
    printed = faces("knn", pictures=root, raw="9x7", per_person=1, draws=3)
    assert printed == "1-NN: 1.0000 +- 0.0000 (3 draws) of 18 pictures, each among 6 others\n"
    printed = faces("knn", pictures=root, raw="9x7", gallery=root)
    assert printed == "1-NN: 1.0000 of 24 pictures, each among 24 others\n"
    # One who is alone is no probe, and is compared with all the same.
    shutil.copytree(root, tmp_path / "faces")
    write_people(tmp_path / "faces", "k", 1, seed=2)
    printed = faces("knn", pictures=tmp_path / "faces", raw="9x7")
    assert printed == "1-NN: 1.0000 of 24 pictures, each among 24 others\n"
