"""Checkpoints from one format into another."""

from __future__ import annotations

from pathlib import Path

from convnet.api import read_graph
from convnet.checkpoint import find_checkpoint, load_checkpoint, write_atomically, write_checkpoint
from convnet.errors import CheckpointError, ShapeError
from convnet.legacy.write import v2_pickle
from convnet.net import check_state
from convnet.recording import graph_parameters

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
    graph = read_graph(
        checkpoint.definition,
        checkpoint.parameters,
        checkpoint.data_shapes,
        lenient=bool(checkpoint.options.get("lenient")),
    )
    parameters = graph_parameters(graph)
    try:
        check_state(parameters, checkpoint.weights)
        if form == "v2":
            content = v2_pickle(checkpoint, graph)
    except (ShapeError, CheckpointError, ValueError) as error:
        raise CheckpointError(f"{file}: {error}") from None
    count = sum(checkpoint.weights[p.name].size for p in parameters)
    number = f"{checkpoint.state.epoch}.{checkpoint.state.batch}"
    text = f"{len(graph)} layers with {count} weights, of batch {number}"
    if form != "v2":
        return write_checkpoint(directory, checkpoint), text
    target = directory / number
    try:
        write_atomically(target, content)
    except OSError as error:
        raise CheckpointError(f"{target}: cannot write the checkpoint: {error.strerror}") from None
    return target, text
