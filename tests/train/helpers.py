"""A tiny data set and a tiny net, and ways to run the program on them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convnet import cli
from convnet.checkpoint import Checkpoint, load_checkpoint
from data_providers.formats import Batch, write_data_set

SHAPE, CASES, CLASSES = (2, 6, 7), 11, 3

DEFINITION = """\
[data]
type = data
dataIdx = 0

[labels]
type = data
dataIdx = 1

[conv]
type = conv
inputs = data
channels = 2
filters = 3
filterSize = 3
padding = 1
initW = 0.02
neuron = relu

[drop]
type = dropout
inputs = conv

[fc]
type = fc
inputs = drop
outputs = 3
initW = 0.02

[probs]
type = softmax
inputs = fc

[logprob]
type = cost.logreg
inputs = labels, probs
topk = 2
"""

PARAMETERS = """\
[DEFAULT]
rate = exp[base=0.0002;tgtFactor=5]

[conv]
epsW = %(rate)s
epsB = %(rate)s
momW = 0.9
momB = 0.9
wc = 0.001

[drop]
keep = 0.7

[fc]
epsW = %(rate)s
epsB = 0.002
momW = 0.9
momB = 0.9
wc = 0.001

[logprob]
coeff = 1
"""


def write_batches(
    folder: Path, shape: tuple[int, int, int] = SHAPE, batches: int = 6, cases: int = CASES
) -> None:
    """Writes `batches` batches of random images whose class can be learnt; the last two test."""
    rng = np.random.default_rng(1)
    patterns = rng.integers(0, 200, (int(np.prod(shape)), CLASSES))

    def batch(number: int) -> Batch:
        labels = rng.integers(0, CLASSES, cases).astype(np.int32)
        noise = rng.integers(0, 56, (patterns.shape[0], cases))
        return Batch((patterns[:, labels] + noise).astype(np.uint8), labels, number < batches - 1)

    write_data_set(
        folder,
        [batch(number) for number in range(1, batches + 1)],
        shape=shape,
        label_names=tuple("abc"),
        recipe="test",
        source="random numbers",
        report=lambda line: None,
    )


class Workplace:
    """A folder with data, the two layer files and the runs.

    data:    batches 1-4 to train on and 5-6 to test on, of 11 images, 2 x 6 x 7, 3 classes
    options: of a run of 3 epochs with minibatches of 4 images, crops and a test every 5 batches
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        self.definition = root / "layers.cfg"
        self.parameters = root / "params.cfg"
        write_batches(self.data)
        self.definition.write_text(DEFINITION)
        self.parameters.write_text(PARAMETERS)
        self.options = {
            "data_path": self.data,
            "data_provider": "batches",
            "layer_def": self.definition,
            "layer_params": self.parameters,
            "train_range": "1-4",
            "test_range": "5-6",
            "mini": 4,
            "epochs": 3,
            "test_freq": 5,
            "inner_size": 5,
        }

    def arguments(self, **changes: object) -> list[str]:
        """The command line of a run; an option that is changed to None is left out."""
        merged = {**self.options, **changes}
        return as_arguments({name: value for name, value in merged.items() if value is not None})

    def train(self, run: str, **changes: object) -> int:
        """Trains in the folder `run`; returns the exit status."""
        return cli.main(self.arguments(save_file=self.root / run, **changes))

    def resume(self, run: str, **options: object) -> int:
        """Goes on from the last checkpoint of the folder `run`."""
        return cli.main(as_arguments({"load_file": self.root / run, **options}))

    def checkpoint(self, run: str) -> Checkpoint:
        return load_checkpoint(self.root / run)

    def start(self, run: str, **changes: object) -> subprocess.Popen[str]:
        """Trains in the folder `run` in a process of its own."""
        return start_process(self.arguments(save_file=self.root / run, **changes))


def as_arguments(options: Mapping[str, object]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


def start_process(arguments: list[str]) -> subprocess.Popen[str]:
    """`python -m convnet` with these arguments."""
    return subprocess.Popen(
        [sys.executable, "-m", "convnet", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def assert_same(found: Checkpoint, expected: Checkpoint) -> None:
    """Same place, outputs and, bit for bit, weights and increments."""
    assert found.state == expected.state
    assert found.weights.keys() == expected.weights.keys()
    for name, values in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name], values, err_msg=name, strict=True)
