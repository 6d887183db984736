"""What goes wrong while training, with checkpoints, and with what is written from them."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.numpy

from tests.errors import CHECKPOINT, DEF, PARAMS, Mistake, Prepare, command, edited, file, option
from tests.errors.data import cut
from tests.train.helpers import write_batches


def change_header(**values: object) -> Prepare:
    """Of the checkpoint."""
    return rewrite(lambda tensors, header: header.update(values))


def rewrite(change: Callable[[dict, dict], object]) -> Prepare:
    """Changes the tensors and the header of the checkpoint."""

    def prepare() -> None:
        content = Path(CHECKPOINT).read_bytes()
        size = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["convnet"])
        tensors = safetensors.numpy.load(content)
        change(tensors, header)
        new = safetensors.numpy.save(tensors, {"convnet": json.dumps(header)})
        Path(CHECKPOINT).write_bytes(new)

    return prepare


def double_precision(tensors: dict, header: dict) -> None:
    tensors["fc.biases"] = tensors["fc.biases"].astype(np.float64)


def one_bias_more(tensors: dict, header: dict) -> None:
    tensors["fc.biases"] = np.zeros((1, 4), np.float32)


def fill_the_disk() -> None:
    """The log fits, the checkpoint does not. The test lifts the limit again."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))


def other_data(*shape: int) -> Prepare:
    return lambda: write_batches(Path("other"), shape)


def rename_layers() -> None:
    for name in (DEF, PARAMS):
        text = Path(name).read_text().replace("[conv]", "[first]").replace("[fc]", "[second]")
        text = text.replace("inputs = conv", "inputs = first").replace(
            "inputs = fc", "inputs = second"
        )
        Path(name).write_text(text)


SEE = "; see --help"
LR = "lower the learning rates (epsW, epsB) or initW and go on from the last checkpoint"

TRAINING = [
    edited(
        PARAMS,
        "epsB = 0.002",
        "epsB = 1e30",
        "batch 1.1, minibatch 1: Layer 'logprob': its output holds a NaN or infinity; " + LR,
        "lower that layer's rates first",
    ),
    Mistake(
        f"{PARAMS}: `epsB = 1e30` for `epsB = 0.002`, and `--on-nan=rollback`",
        "batch 1.1, minibatch 1: Layer 'logprob': its output holds a NaN or infinity; "
        + LR
        + "; going back with lower rates 3 times in a row did not help",
        "lower that layer's rates much more",
        options={"on_nan": "rollback"},
        edit=(PARAMS, "epsB = 0.002", "epsB = 1e30"),
    ),
    Mistake(
        f"{PARAMS}: `coeff = 3e38` for `coeff = 1`, and `--check-finite=all`",
        "batch 1.1, minibatch 0: Layer 'fc': the gradient of fc.weights.0 holds a NaN or "
        "infinity; " + LR,
        "lower that layer's rates, or the `coeff` of the costs",
        options={"check_finite": "all"},
        edit=(PARAMS, "coeff = 1", "coeff = 3e38"),
    ),
    Mistake(
        f"{PARAMS}: `updatePeriod = 2` in one layer, and `--clip-norm=1`",
        "--clip-norm needs layers that all learn at the same time: give them all the same "
        "updatePeriod, or none",
        "that, or `--accumulate 2`",
        options={"clip_norm": 1},
        edit=(PARAMS, "epsB = 0.002", "epsB = 0.002\nupdatePeriod = 2"),
    ),
    Mistake(
        f"{DEF}: `gpu = 0,1` in a layer, `gpu = 0` above it, and `--check-finite=all`",
        "--clip-norm and --check-finite all need layers that all learn at the same time: give them "
        "equal numbers of devices (gpu)",
        "leave out `gpu`, or the option",
        options={"check_finite": "all"},
        edit=(
            DEF,
            "neuron = relu\n\n[drop]\ntype = dropout\ninputs = conv\n",
            "neuron = relu\ngpu = 0,1\n\n[drop]\ntype = dropout\ninputs = conv\ngpu = 0\n",
        ),
    ),
    edited(
        DEF,
        "initW = 0.02\nneuron = relu",
        "initW = 1e38\nneuron = relu",
        "batch 1.1, minibatch 0: Layer 'conv': its output holds a NaN or infinity; " + LR,
        "smaller initial weights",
    ),
    option(
        "layers.cfg/run/log.jsonl: cannot write the log: Not a directory",
        "save to a directory",
        save_file="layers.cfg/run",
    ),
    option(
        "layers.cfg/runs/ConvNet__...: cannot write the log: Not a directory",
        "save to a directory",
        save_file=None,
        save_path="layers.cfg/runs",
    ),
    file(
        "the disk fills up",
        "new/1.4.safetensors: cannot write the checkpoint: File too large",
        "make room and go on from the last checkpoint, which is untouched; a full disk is told "
        "in the same way, a full quota too",
        fill_the_disk,
    ),
    option(
        "out of memory: ...; try a smaller --mini, batches or layers",
        "the first two are the quickest to change",
        mini=2 * 10**9,
    ),
]

CHECKPOINTS = [
    command(
        "--load-file=good --init-from=good",
        "--load-file goes on with a run, --init-from begins a new one: give one of the two",
        "that",
    ),
    Mistake(
        f"{DEF}: other names for all layers, and `--init-from=good`",
        "good: has no matrix with the name and the shape of one of this net, which are "
        "first.weights.0, first.biases, second.weights.0, second.biases",
        "the checkpoint of a net with layers of these names",
        options={"init_from": "good"},
        prepare=rename_layers,
    ),
    command(
        "--load-file=nowhere",
        "nowhere: no such checkpoint file or run directory",
        "correct the path",
    ),
    command(
        "--load-file=empty",
        "empty: no checkpoint (EPOCH.BATCH.safetensors) in this directory",
        "correct the path",
        "the directory is empty",
        lambda: os.mkdir("empty"),
    ),
    command(
        "--load-file=layers.cfg",
        "layers.cfg: not a readable checkpoint (...); name another one",
        "name a checkpoint or a run directory",
    ),
    command(
        "--load-file=data/mean.safetensors",
        "data/mean.safetensors: a safetensors file, but not a checkpoint of this program",
        "name a checkpoint or a run directory",
    ),
    command(
        "--load-file=good",
        "good/1.4.safetensors: not a readable checkpoint (...); name another one",
        "an older checkpoint, if some were kept (`--keep`)",
        "the checkpoint is cut short",
        cut(CHECKPOINT),
    ),
    command(
        "--load-file=good",
        "good/1.4.safetensors: checkpoint format 2; this version reads 1",
        "use the version that wrote it",
        "the checkpoint is of a later version",
        change_header(format=2),
    ),
    command(
        "--load-file=good",
        "good/1.4.safetensors: damaged checkpoint header (...); name another one",
        "an older checkpoint, if some were kept",
        "its header is damaged",
        change_header(state=3),
    ),
    command(
        "--load-file=good",
        "good/1.4.safetensors: 'fc.biases' must be float32; found float64",
        "store float32",
        "another program wrote float64 into it",
        rewrite(double_precision),
    ),
    command(
        "--load-file=good",
        "good/1.4.safetensors: weights do not belong to this net: without 'fc.biases'",
        "an older checkpoint, if some were kept",
        "a matrix was taken out of it",
        rewrite(lambda tensors, header: tensors.pop("fc.biases")),
    ),
    command(
        "--load-file=good",
        "good/1.4.safetensors: weights do not belong to this net: 'fc.biases' has shape "
        "(1, 4); expected (1, 3)",
        "an older checkpoint, if some were kept",
        "a matrix in it was replaced",
        rewrite(one_bias_more),
    ),
    command(
        "--load-file=good --data-path=other",
        "layers.cfg:9: Layer 'conv': input 'data' is 1x5x5 (25 numbers), "
        "not interpretable as 2-channel images",
        "the data that the net was made for",
        "those images have one channel",
        other_data(1, 6, 7),
    ),
    command(
        "--load-file=good --layer-def=params.cfg",
        "good/1.4.safetensors: holds another net than params.cfg; leave out --layer-def to go "
        "on with the net of the checkpoint, or name another run to train the new one",
        "one of the two",
    ),
    command(
        "--load-file=good --layer-def=gone.cfg",
        "gone.cfg: cannot read the layer file: No such file or directory",
        "leave it out: the checkpoint holds the definition",
    ),
    command(
        "--load-file=good --layer-params=gone.cfg",
        "gone.cfg: cannot read the layer file: No such file or directory",
        "leave it out: the checkpoint holds the parameters too",
    ),
    command(
        "--load-file=good --inner-size=4",
        "option --inner-size (side of the crop of each image, 0 = whole) cannot be changed on "
        "resume; it is 5, found 4",
        "leave it out, or train anew",
    ),
    command(
        "--load-file=good --mini=5",
        "good/1.4.safetensors: saved in the middle of batch 1.4, with --mini 4; go on so up to "
        "the next test before it can be changed to 5",
        "that",
        "the run was stopped by Ctrl-C",
        rewrite(lambda tensors, header: header["state"].update(minibatch=1)),
    ),
    command(
        "--load-file=good",
        "good/1.4.safetensors: holds 1 values of cost 'logprob'; expected 3; name another one",
        "an older checkpoint, if some were kept",
        "the costs in it were replaced",
        rewrite(lambda tensors, header: header["state"].update(partial={"logprob": [1.0]})),
    ),
]

PRODUCTS = [
    command(
        "--load-file=good --write-features=fc",
        "missing --feature-path (directory for the features)" + SEE,
        "give it",
    ),
    command(
        "--load-file=good --write-features=fcc --feature-path=out",
        "--write-features: no layer with output 'fcc'; the net has data, labels, conv, "
        "conv_neuron, drop, fc, probs",
        "one of those",
    ),
    command(
        "--load-file=good --write-features=fc --feature-path=layers.cfg",
        "layers.cfg/data_batch_5.npz: cannot write the features: Not a directory",
        "another directory",
    ),
    command(
        "--load-file=good --write-features=fc --feature-path=data",
        "--feature-path is where the data are: its files would overwrite them; name another",
        "that",
    ),
    command(
        "--load-file=good --write-features=fc --feature-path=out --multiview-test=1",
        "--write-features needs one view per image: leave out --multiview-test",
        "leave it out",
    ),
    command(
        "--load-file=good --check-grads=1",
        "--check-grads checks the net of the layer files: leave out --load-file",
        "give the layer files instead",
    ),
]
