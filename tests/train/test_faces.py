"""Nets that compare people, trained on groups of a tree of pictures."""

import numpy as np
import pytest

from convnet.checkpoint import load_checkpoint
from data_providers.faces import FaceProvider
from tests.data_providers.helpers import picture_tree
from tests.train.helpers import Workplace, assert_same

DEFINITION = """\
[data]
type = data
dataIdx = 0

[people]
type = data
dataIdx = 1

[features]
type = fc
inputs = data
outputs = 4
initW = 0.1

[unit]
type = l2norm
inputs = features

[triplet]
type = cost.triplet
inputs = people, unit
"""

PARAMETERS = """\
[DEFAULT]
epsW = 0.1
epsB = 0.1
momW = 0.9
momB = 0.9

[features]

[triplet]
coeff = 1
margin = 0.5
"""


@pytest.fixture
def faces(tmp_path):
    """Three people to train on, and two others to test on."""
    picture_tree(tmp_path / "faces" / "train", ["ann", "bob", "cy"], count=4)
    picture_tree(tmp_path / "faces" / "val", ["dan", "eve"], count=3)
    place = Workplace(tmp_path)
    place.definition.write_text(DEFINITION)
    place.parameters.write_text(PARAMETERS)
    place.options |= {
        "data_path": tmp_path / "faces",
        "data_provider": "face-folder",
        "train_range": 1,
        "test_range": 1,
        "inner_size": 4,
        "people_per_batch": 2,
        "images_per_person": 2,
        "batch_size": 12,
        "mini": 4,
        "epochs": 4,
        "test_freq": 2,
        "jitter": 3,
    }
    return place


def test_triplets_are_found_among_people_never_seen(faces):
    assert faces.train("run") == 0
    state = faces.checkpoint("run").state
    pairs = [costs["triplet"][2] for costs, _ in state.train_outputs]
    assert pairs == [3 * 2] * 4  # 3 groups with a pair of each of 2 people
    assert [cases for _, cases in state.test_outputs] == [6, 6]
    assert all(costs["triplet"][2] > 0 for costs, _ in state.test_outputs)


def test_a_run_that_was_stopped_goes_on_with_the_same_pictures(faces, monkeypatch):
    assert faces.train("whole") == 0
    assert faces.train("cut", epochs=2) == 0
    loaded = []
    load = FaceProvider.load

    def noting(self, number, epoch):
        loaded.append((self.test, epoch))
        return load(self, number, epoch)

    monkeypatch.setattr(FaceProvider, "load", noting)
    assert faces.resume("cut", epochs=4) == 0
    assert [epoch for test, epoch in loaded if not test] == [3, 4]
    expected, found = (load_checkpoint(faces.root / run) for run in ("whole", "cut"))
    assert np.isfinite(expected.weights["features.weights.0"]).all()
    assert_same(found, expected)


def test_minibatches_hold_whole_groups(faces, capsys):
    assert faces.train("run", mini=6) == 1
    assert "--mini 6: expected a multiple of 4" in capsys.readouterr().err
