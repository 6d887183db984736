"""Where a run is, and all that it needs to go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convnet.config.reader import Source

Outputs = list[tuple[dict[str, list[float]], int]]


@dataclass
class TrainingState:
    """Where a run is.

    Attributes:
        epoch, batch: the batch in progress or last finished; epoch 0 before the first.
        minibatch: minibatches of that batch done; 0 if it is finished.
        steps: minibatches done since the training began.
        partial: sums so far of the costs of the batch in progress, by cost layer.
        train_outputs, test_outputs: per batch, the sums of each cost's values and the number
            of images.
        test_times: for each test, how many training batches came before it.
        verifications: how many training batches came before each, its accuracy and AUC.
        rates: what all learning rates of the parameter file are multiplied by now.
        costs: of the latest minibatches, see convnet.train.decay.
        since_test: the costs of the minibatches since the last test, see convnet.train.guards.
        failures: minibatches that were left out, or times that the run went back, in a row.
        left_out: images of the batch in progress that were not learned from.
    """

    epoch: int = 0
    batch: int = 0
    minibatch: int = 0
    steps: int = 0
    partial: dict[str, list[float]] = field(default_factory=dict)
    train_outputs: Outputs = field(default_factory=list)
    test_outputs: Outputs = field(default_factory=list)
    test_times: list[int] = field(default_factory=list)
    verifications: list[tuple[int, float, float]] = field(default_factory=list)
    rates: float = 1.0
    costs: list[float] = field(default_factory=list)
    since_test: list[float] = field(default_factory=list)
    failures: int = 0
    left_out: int = 0


@dataclass
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        weights: the matrices and their momentum, float32, by name: "<layer>.weights.<input>",
            "<layer>.biases", and the same with ".inc"; with ".grad" gradients that are being
            summed over several minibatches. Also the layers' states, "<layer>.running".
        definition, parameters: the texts of the layer files.
        data_shapes: (channels, height, width) of each matrix of the data.
        label_names: names of the classes.
        options: of the run, see convnet.options.
    """

    weights: dict[str, np.ndarray]
    definition: Source
    parameters: Source
    data_shapes: list[tuple[int, int, int]]
    label_names: list[str]
    options: dict[str, Any]
    state: TrainingState
