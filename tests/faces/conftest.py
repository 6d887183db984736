"""People whose pictures are alike, and a net that was trained on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnet import cli
from tests.train.helpers import as_arguments

DEFINITION = """\
[data]
type = data
dataIdx = 0

[labels]
type = data
dataIdx = 1

[features]
type = fc
inputs = data
outputs = 5
initW = 0.01
neuron = relu

[fc]
type = fc
inputs = features
outputs = 4
initW = 0.01

[probs]
type = softmax
inputs = fc

[logprob]
type = cost.logreg
inputs = labels, probs
"""
PARAMETERS = """\
[features]
epsW = 0.0001
epsB = 0.0001
momW = 0.9
momB = 0.9

[fc]
epsW = 0.001
epsB = 0.001
momW = 0.9
momB = 0.9

[logprob]
coeff = 1
"""


def write_people(root: Path, names: str = "abcd", count: int = 6, seed: int = 0) -> None:
    """Pictures of 9 x 7 pixels, of each person much the same."""
    rng = np.random.default_rng(seed)
    for name in names:
        (root / name).mkdir(parents=True)
        person = rng.integers(0, 180, (7, 9, 3))
        for number in range(1, count + 1):
            picture = (person + rng.integers(0, 76, person.shape)).astype(np.uint8)
            Image.fromarray(picture).save(root / name / f"{name}_{number:04}.png")


class FacePlace:
    """A folder with pictures of people, layer files, and runs on them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pictures = root / "faces"
        write_people(self.pictures)
        (root / "layers.cfg").write_text(DEFINITION)
        (root / "params.cfg").write_text(PARAMETERS)

    def arguments(self, run: str, **changes: object) -> list[str]:
        """The command line that trains the run, three epochs of two batches, on crops."""
        options = {
            "data_path": self.pictures,
            "data_provider": "folder",
            "layer_def": self.root / "layers.cfg",
            "layer_params": self.root / "params.cfg",
            "train_range": "1-2",
            "test_range": 2,
            "image_size": 8,
            "batch_size": 12,
            "inner_size": 5,
            "mini": 5,
            "epochs": 3,
            "test_freq": 2,
            "save_file": self.root / run,
        }
        return as_arguments(options | changes)

    def train(self, run: str, **changes: object) -> int:
        return cli.main(self.arguments(run, **changes))


@pytest.fixture(scope="package")
def place(tmp_path_factory):
    """The run `run`, which no test changes."""
    place = FacePlace(tmp_path_factory.mktemp("faces"))
    assert place.train("run") == 0
    return place


@pytest.fixture
def faces(capsys):
    """Runs a tool; returns what it printed."""

    def run_tool(*words: object, **options: object) -> str:
        capsys.readouterr()
        status = cli.main(["faces", *map(str, words), *as_arguments(options)])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed.out

    return run_tool
