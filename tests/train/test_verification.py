"""A run that verifies pairs of pictures after every test."""

import json

import pytest

from convnet import cli
from convnet.checkpoint import load_checkpoint
from tests.faces.conftest import FacePlace, write_people
from tests.train.helpers import as_arguments, assert_same


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The run `whole`, with three tests, which verifies people whom it is not trained on."""
    place = FacePlace(tmp_path_factory.mktemp("verification"))
    write_people(place.root / "others", "efghij", 4, seed=1)
    pairs = ["--out", str(place.root / "pairs.txt"), "--folds=3", "--pairs=8"]
    assert cli.main(["faces", "pairs", str(place.root / "others"), *pairs]) == 0
    assert train(place, "whole") == 0
    return place


def train(place, run):
    return place.train(
        run,
        verify_pairs=place.root / "pairs.txt",
        verify_layer="features",
        verify_pictures=place.root / "others",
    )


def results(place, run):
    lines = (place.root / run / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["verification"] for line in lines if '"event": "test"' in line]


def test_it_is_printed_and_recorded(place, capsys):
    assert train(place, "printed") == 0
    printed = [line for line in capsys.readouterr().out.splitlines() if "Verification" in line]
    logged = results(place, "printed")
    assert printed == [
        f"Verification: accuracy {r['accuracy']:.4f} +- {r['deviation']:.4f} (3 folds), "
        f"AUC {r['auc']:.4f}, EER {r['eer']:.4f}"
        for r in logged
    ]
    state = load_checkpoint(place.root / "printed").state
    expected = [(n, r["accuracy"], r["auc"]) for n, r in zip((2, 4, 6), logged, strict=True)]
    assert state.verifications == expected


def test_it_is_what_faces_verify_says(place, capsys):
    words = {"pairs": place.root / "pairs.txt", "pictures": place.root / "others"}
    run = {"load_file": place.root / "whole", "layer": "features"}
    assert cli.main(["faces", "verify", *as_arguments(words | run)]) == 0
    assert f", AUC {results(place, 'whole')[-1]['auc']:.4f}, " in capsys.readouterr().out


def test_a_resumed_run_goes_on_verifying(place, signals_at):
    signals_at(8)  # in the third of six batches of three minibatches
    assert train(place, "stopped") == 0
    assert len(load_checkpoint(place.root / "stopped").state.verifications) == 1
    assert cli.main(as_arguments({"load_file": place.root / "stopped"})) == 0
    checkpoints = [load_checkpoint(place.root / run) for run in ("stopped", "whole")]
    assert_same(*checkpoints)
    assert len(checkpoints[0].state.verifications) == 3
    assert results(place, "stopped") == results(place, "whole")


def test_verifying_changes_nothing_else(place):
    assert place.train("plain") == 0
    plain, verified = (load_checkpoint(place.root / run) for run in ("plain", "whole"))
    verified.state.verifications.clear()
    assert_same(plain, verified)


def test_the_pictures_are_looked_for_in_the_data(place, tmp_path):
    pairs = ["--out", str(tmp_path / "pairs.txt"), "--folds=2", "--pairs=5"]
    assert cli.main(["faces", "pairs", str(place.pictures), *pairs]) == 0
    options = {"verify_pairs": tmp_path / "pairs.txt", "verify_layer": "fc"}
    assert place.train("own", **options) == 0
    assert len(load_checkpoint(place.root / "own").state.verifications) == 3
