"""Mistakes on the command line."""

from __future__ import annotations

from tests.errors import Mistake, command, option

SEE = "; see --help"

OPTIONS = [
    Mistake(
        "no options",
        "missing --data-path (directory of the batches), --data-provider (how to read them: "
        "batches, image, idx, folder, dummy-cn-3072 ...), --test-range (batches to test on), "
        "--train-range (batches to train on, e.g. 1-5), --layer-def (layer definition file "
        "(.cfg or .toml)), --layer-params (layer parameter file, read again on every start), "
        "--save-path (the run makes its own directory here; or give --save-file)" + SEE,
        "give them",
        command=("--mini=128",),
    ),
    option(
        "missing --train-range (batches to train on, e.g. 1-5)" + SEE,
        "give it",
        train_range=None,
    ),
    option(
        "missing --save-path (the run makes its own directory here; or give --save-file)" + SEE,
        "give one of the two",
        save_file=None,
    ),
    option(
        "missing --save-path (the run makes its own directory here; or give --save-file)" + SEE,
        "give one of the two",
        save_file=None,
        test_only=1,
        force_save=1,
    ),
    option(
        "unknown option --epoch-s; did you mean --epochs?" + SEE,
        "correct the name",
        epoch_s=2,
    ),
    option("unknown option --momentum" + SEE, "leave it out", momentum=0.9),
    option(
        "ambiguous option: --test=5 could match --test-range, --test-freq, --test-one, "
        "--test-only, --test-out" + SEE,
        "write more of the name",
        test=5,
    ),
    command(
        "train --mini=4",
        "stray argument 'train': expected --name value or --name=value" + SEE,
        "training has no sub-command: leave it out",
    ),
    command("--mini", "--mini: expected one argument" + SEE, "add the value"),
    option("--mini: expected a whole number; found '2.5'" + SEE, "correct it", mini=2.5),
    option(
        "--threads must be from 1 to ..., one for each core; found 10000",
        "as many as the processor has cores, or leave it out",
        threads=10000,
    ),
    option("--mini: expected at least 1; found 0" + SEE, "correct it", mini=0),
    option(
        "--scalar-mean: expected a number; found 'grey'" + SEE,
        "correct it",
        scalar_mean="grey",
    ),
    option(
        "--lr-shrink: expected a number between 0 and 1; found '10'" + SEE,
        "correct it",
        lr_shrink=10,
    ),
    option(
        "--clip-norm: expected a number of at least 0; found '-1'" + SEE,
        "correct it",
        clip_norm=-1,
    ),
    option(
        "--freeze: no layer 'conv9'; the net has data, labels, conv, conv_neuron, drop, fc, probs, "
        "logprob",
        "correct the name",
        freeze="conv9",
    ),
    option("--test-one: expected 0 or 1; found 'yes'" + SEE, "correct it", test_one="yes"),
    option("--gpu: expected a whole number; found 'x'" + SEE, "correct it", gpu="0,x"),
    option(
        "--precision: expected fp32 or tf32 or bf16; found 'fp16'" + SEE,
        "correct it",
        precision="fp16",
    ),
    option(
        "--precision tf32 is arithmetic of a GPU, and the CPU computes in float32; choose a GPU "
        "with --gpu, or --precision fp32",
        "one of the two",
        precision="tf32",
    ),
    option(
        "--feature-format: expected npz or pickle; found 'csv'" + SEE,
        "correct it",
        feature_format="csv",
    ),
    option(
        "--train-range: expected a batch number or a range such as 1-5; found 'all'" + SEE,
        "correct it",
        train_range="all",
    ),
    option(
        "--train-range: expected a range that counts up; found '5-1'" + SEE,
        "swap the two numbers",
        train_range="5-1",
    ),
    option(
        "--test-range: expected a batch number or a range such as 1-5; found ''" + SEE,
        "give at least one batch",
        test_range="",
    ),
    option(
        "--train-range: expected at most 1000000 batches; found '1-9999999999'" + SEE,
        "correct it",
        train_range="1-9999999999",
    ),
    command(
        "kernels list --arch 90",
        "--arch: expected architectures such as sm_80,sm_90; found '90'" + SEE,
        "write it so",
    ),
]
