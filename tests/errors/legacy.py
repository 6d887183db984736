"""What goes wrong with checkpoints of cuda-convnet, in old/3.2 of a run of its second version."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_providers.pickle_writer import write_pickle
from tests.errors import Prepare, command
from tests.legacy.nets import everything
from tests.legacy.old import OldNet, old_checkpoint, write_old

OLD = Path("old/3.2")


def old_run(change: Callable[[OldNet], object]) -> Prepare:
    """Writes the checkpoint of a net with a change."""

    def prepare() -> None:
        net = everything(2)
        change(net)
        write_old(OLD, old_checkpoint(net))

    return prepare


def old_file(content: bytes) -> Prepare:
    def prepare() -> None:
        OLD.parent.mkdir()
        OLD.write_bytes(content)

    return prepare


LEGACY = [
    command(
        "--load-file=old",
        "old/3.2: refused: it asks for os.system, and only numpy arrays and plain containers are "
        "read",
        "do not trust whoever gave it to you",
        "the checkpoint would run a program",
        old_file(b"\x80\x02}U\x0bmodel_statecos\nsystem\nU\x04true\x85Rs."),
    ),
    command(
        "--load-file=old",
        "old/3.2: not a readable pickle: it ends too early",
        "another checkpoint, or the file from where it came",
        "the checkpoint is cut short",
        old_file(write_pickle(old_checkpoint(everything(2)))[:5000]),
    ),
    command(
        "--load-file=old",
        "old/3.2: not a readable pickle: Compressed file ended ...",
        "another checkpoint, or the file from where it came",
        "it is packed, and cut short",
        old_file(gzip.compress(bytes(1000))[:20]),
    ),
    command(
        "--load-file=old/3.2",
        "old/3.2: a pickle, but not a checkpoint: it has no model_state with layers",
        "name a checkpoint or a run directory",
        "it is a batch of data",
        old_file(write_pickle({"data": np.zeros((2, 2)), "labels": [0, 1]})),
    ),
    command(
        "--load-file=old",
        "old/3.2: Layer 'conv1': field 'filterSize' is missing",
        "another checkpoint",
        "a field of a layer is missing",
        old_run(lambda net: net["conv1"].pop("filterSize")),
    ),
    command(
        "convert --load-file=old --out=new",
        "old/3.2: Layer 'probs': type 'warp' is not known",
        "no way: neither version of cuda-convnet has this type",
        "a layer is of a type of someone's own",
        old_run(lambda net: net["probs"].update(type="warp")),
    ),
    command(
        "convert --load-file=old --out=new",
        "old/3.2: weights do not belong to this net: 'fc1.biases' has shape (1, 4); "
        "expected (1, 5)",
        "another checkpoint",
        "a matrix in it was replaced",
        old_run(lambda net: net["fc1"].update(biases=np.zeros((1, 4), np.float32))),
    ),
    command(
        "convert --load-file=good --out=layers.cfg --format=v2",
        "layers.cfg/1.4: cannot write the checkpoint: Not a directory",
        "another directory",
    ),
    command(
        "convert --load-file=good --out=new --format=v3",
        "--format: invalid choice: 'v3' (choose from ...); see --help",
        "one of those",
    ),
]
