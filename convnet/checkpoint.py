"""Checkpoints: all that a run needs to go on, in one safetensors file.

Tensors are the weights and their momentum, float32, named "<layer>.weights.<input>",
"<layer>.biases" and the same with ".inc". Everything else is JSON text in the file's header:
the layer files, the shapes of the data, the options and the state of the training. Loading
executes nothing from the file.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from convnet.config.reader import Source
from convnet.errors import CheckpointError
from convnet.options import check_saved

FORMAT = 1
SUFFIX = ".safetensors"

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
    """

    epoch: int = 0
    batch: int = 0
    minibatch: int = 0
    steps: int = 0
    partial: dict[str, list[float]] = field(default_factory=dict)
    train_outputs: Outputs = field(default_factory=list)
    test_outputs: Outputs = field(default_factory=list)
    test_times: list[int] = field(default_factory=list)


@dataclass
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        weights: all tensors by name.
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


def save_checkpoint(
    directory: Path, checkpoint: Checkpoint, keep: int = 1, max_bytes: int = 0
) -> Path:
    """Writes <directory>/<epoch>.<batch>.safetensors and keeps the `keep` - 1 before it.

    With `max_bytes`, as many before it as fit into that with it.

    The file appears under its name only when it is whole and on the disk; others are removed
    after that. So are later ones, which a run that went back to an older file has abandoned:
    the last file of a directory is always where its run is.

    Raises:
        CheckpointError: it cannot be written; older checkpoints are untouched then.
    """
    state = checkpoint.state
    header = {
        "format": FORMAT,
        "definition": dataclasses.asdict(checkpoint.definition),
        "parameters": dataclasses.asdict(checkpoint.parameters),
        "data_shapes": checkpoint.data_shapes,
        "label_names": checkpoint.label_names,
        "options": checkpoint.options,
        "state": dataclasses.asdict(state),
    }
    path = directory / f"{state.epoch}.{state.batch}{SUFFIX}"
    try:
        write_atomically(path, save(checkpoint.weights, {"convnet": json.dumps(header)}))
        files = checkpoint_files(directory)
        end = files.index(path) + 1
        if max_bytes:
            sizes = accumulate(file.stat().st_size for file in reversed(files[:end]))
            keep = max(1, sum(size <= max_bytes for size in sizes))
        for other in files[: max(0, end - keep)] + files[end:]:
            other.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot write the checkpoint: {error.strerror}") from None
    return path


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file that is either wholly there or not at all, whenever the program ends.

    Folders above it are made if need be.

    Raises:
        OSError: nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def checkpoint_files(directory: Path) -> list[Path]:
    """The checkpoints of a run, in the order of epoch and batch.

    Other files are none of ours, so saving a run into a folder of data removes nothing there.
    """
    found = {p: re.fullmatch(r"(\d+)\.(\d+)", p.stem) for p in directory.glob(f"*{SUFFIX}")}
    numbers = {p: (int(match[1]), int(match[2])) for p, match in found.items() if match}
    return sorted(numbers, key=numbers.__getitem__)


def find_checkpoint(path: Path) -> Path:
    """The file to load: `path` itself, or the last checkpoint of a run directory.

    Raises:
        CheckpointError: there is none.
    """
    if path.is_dir():
        files = checkpoint_files(path)
        if not files:
            raise CheckpointError(f"{path}: no checkpoint (EPOCH.BATCH{SUFFIX}) in this directory")
        return files[-1]
    if not path.exists():
        raise CheckpointError(f"{path}: no such checkpoint file or run directory")
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint file, or the last one of a run directory.

    Raises:
        CheckpointError: it is missing, damaged, or not one of ours.
    """
    path = find_checkpoint(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({reason}); name another one"
        ) from None
    if "convnet" not in metadata:
        raise CheckpointError(f"{path}: a safetensors file, but not a checkpoint of this program")
    for name, values in weights.items():
        if values.dtype != np.float32:
            raise CheckpointError(f"{path}: '{name}' must be float32; found {values.dtype}")
    try:
        header = json.loads(metadata["convnet"])
        if header["format"] != FORMAT:
            raise CheckpointError(
                f"{path}: checkpoint format {header['format']}; this version reads {FORMAT}"
            )
        options = dict(header["options"])
        check_saved(options)
        return Checkpoint(
            weights=weights,
            definition=_source(**header["definition"]),
            parameters=_source(**header["parameters"]),
            data_shapes=[(_count(c), _count(h), _count(w)) for c, h, w in header["data_shapes"]],
            label_names=[str(name) for name in header["label_names"]],
            options=options,
            state=_state(**header["state"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: damaged checkpoint header ({error!r}); name another one"
        ) from None


def _source(name: str, text: str, toml: bool) -> Source:
    return Source(str(name), str(text), bool(toml))


def _state(
    epoch: int,
    batch: int,
    minibatch: int,
    partial: dict[str, list[float]],
    train_outputs: Outputs,
    test_outputs: Outputs,
    test_times: list[int],
    steps: int = 0,
) -> TrainingState:
    if len(test_times) != len(test_outputs):
        raise ValueError(f"{len(test_times)} times of {len(test_outputs)} tests")
    return TrainingState(
        _count(epoch),
        _count(batch),
        _count(minibatch),
        _count(steps),
        _sums(partial),
        [(_sums(sums), max(1, _count(cases))) for sums, cases in train_outputs],
        [(_sums(sums), max(1, _count(cases))) for sums, cases in test_outputs],
        [_count(time) for time in test_times],
    )


def _sums(costs: dict[str, list[float]]) -> dict[str, list[float]]:
    return {str(name): [float(value) for value in values] for name, values in costs.items()}


def _count(value: int) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a whole number, found {value!r}")
    return value
