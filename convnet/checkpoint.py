"""Checkpoint files: all that a run needs to go on, in one safetensors file.

Tensors are the weights and their momentum; everything else is JSON text in the file's header.
Loading executes nothing from the file. Checkpoints of the original cuda-convnet are loaded too,
see convnet.legacy.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from convnet.config.reader import Source
from convnet.errors import CheckpointError
from convnet.legacy.files import files_of_the_original, is_of_the_original
from convnet.options import check_saved
from convnet.state import Checkpoint, Outputs, TrainingState

__all__ = [
    "Checkpoint",
    "Outputs",
    "TrainingState",
    "checkpoint_files",
    "find_checkpoint",
    "last_checkpoint",
    "load_checkpoint",
    "save_checkpoint",
    "write_atomically",
    "write_checkpoint",
]

FORMAT = 1
SUFFIX = ".safetensors"


def save_checkpoint(
    directory: Path, checkpoint: Checkpoint, keep: int = 1, max_bytes: int = 0
) -> Path:
    """Writes a checkpoint as write_checkpoint does, and keeps the `keep` - 1 before it.

    With `max_bytes`, as many before it as fit into that with it. Others are removed after that.
    So are later ones, which a run that went back to an older file has abandoned: the last file of
    a directory is always where its run is. Checkpoints of the original cuda-convnet are left alone.

    Raises:
        CheckpointError: it cannot be written; older checkpoints are untouched then.
    """
    path = write_checkpoint(directory, checkpoint)
    files = checkpoint_files(directory)
    end = files.index(path) + 1
    try:
        if max_bytes:
            sizes = accumulate(file.stat().st_size for file in reversed(files[:end]))
            keep = max(1, sum(size <= max_bytes for size in sizes))
        for other in files[: max(0, end - keep)] + files[end:]:
            other.unlink(missing_ok=True)
    except OSError as error:
        raise _not_written(path, error) from None
    return path


def write_checkpoint(directory: Path, checkpoint: Checkpoint) -> Path:
    """Writes <directory>/<epoch>.<batch>.safetensors.

    The file appears under its name only when it is whole and on the disk.

    Raises:
        CheckpointError: it cannot be written.
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
    except OSError as error:
        raise _not_written(path, error) from None
    return path


def _not_written(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"{path}: cannot write the checkpoint: {error.strerror}")


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


def last_checkpoint(directory: Path) -> Path | None:
    """The file with which a run goes on: the last of ours, else the last of the original's."""
    files = checkpoint_files(directory) or files_of_the_original(directory)
    return files[-1] if files else None


def find_checkpoint(path: Path) -> Path:
    """The file to load: `path` itself, or the last checkpoint of a run directory.

    Raises:
        CheckpointError: there is none.
    """
    if path.is_dir():
        last = last_checkpoint(path)
        if not last:
            raise CheckpointError(f"{path}: no checkpoint (EPOCH.BATCH{SUFFIX}) in this directory")
        return last
    if not path.exists():
        raise CheckpointError(f"{path}: no such checkpoint file or run directory")
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint file, or the last one of a run directory.

    Raises:
        CheckpointError: it is missing, damaged, or no checkpoint.
    """
    path = find_checkpoint(path)
    if is_of_the_original(path):
        from convnet.legacy.read import read_checkpoint  # few need it

        return read_checkpoint(path)
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
    verifications: Sequence[tuple[int, float, float]] = (),
    rates: float = 1.0,
    costs: Sequence[float] = (),
    since_test: Sequence[float] = (),
    failures: int = 0,
    left_out: int = 0,
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
        [(_count(time), float(accuracy), float(auc)) for time, accuracy, auc in verifications],
        float(rates),
        [float(cost) for cost in costs],
        [float(cost) for cost in since_test],
        _count(failures),
        _count(left_out),
    )


def _sums(costs: dict[str, list[float]]) -> dict[str, list[float]]:
    return {str(name): [float(value) for value in values] for name, values in costs.items()}


def _count(value: int) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a whole number, found {value!r}")
    return value
