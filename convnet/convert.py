"""Checkpoints from one format into another."""

from __future__ import annotations

import math
from pathlib import Path

from convnet.api import restore
from convnet.checkpoint import find_checkpoint, load_checkpoint, write_atomically, write_checkpoint
from convnet.errors import CheckpointError
from convnet.legacy.write import v2_pickle

FORMATS = ("safetensors", "v2")


def convert_checkpoint(path: Path, directory: Path, form: str) -> tuple[Path, str]:
    """Writes a checkpoint, ours or one of the original's, in another format.

    Args:
        path: a checkpoint file or run directory.
        directory: the file <epoch>.<batch> is made there, with .safetensors in our format.
        form: one of FORMATS; v2 is that of cuda-convnet2.

    Returns: the file, and what is in it in words.

    Raises:
        CheckpointError: it cannot be read or written, or its weights do not fit its layers.
        ConfigError: it has layers that this version does not know.
    """
    file = find_checkpoint(path)
    checkpoint = load_checkpoint(file)
    net = restore(checkpoint, batch_size=1, backend="reference", name=str(file))
    if form == "v2":
        try:
            content = v2_pickle(checkpoint, net.graph)
        except (CheckpointError, ValueError) as error:
            raise CheckpointError(f"{file}: {error}") from None
    count = sum(math.prod(p.shape) for p in net.parameters.values())
    number = f"{checkpoint.state.epoch}.{checkpoint.state.batch}"
    text = f"{len(net.graph)} layers with {count} weights, of batch {number}"
    if form != "v2":
        return write_checkpoint(directory, checkpoint), text
    target = directory / number
    try:
        write_atomically(target, content)
    except OSError as error:
        raise CheckpointError(f"{target}: cannot write the checkpoint: {error.strerror}") from None
    return target, text
