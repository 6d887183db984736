"""What the classic program does: trains, tests, writes features or checks gradients."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convnet import report
from convnet.api import make_ops, read_graph
from convnet.errors import OptionError, Problems
from convnet.layer_types.base import TEST, TRAIN
from convnet.net import Net
from convnet.options import Options, merge, option_name, require
from convnet.train.gradcheck import check_gradients as compare_gradients
from convnet.train.session import (
    Session,
    layer_file,
    open_data,
    open_session,
)
from convnet.train.testing import (
    check_batch,
    check_feature_layer,
    logreg_costs,
    output_layer,
    test_only,
    write_features,
)
from convnet.train.trainer import train
from convnet.train.verification import open_verifier

# The gradient check needs few images; each costs two forward passes per tried direction.
CHECK_CASES = 4


def start(given: dict[str, Any]) -> None:
    """Runs what the options ask for.

    Args:
        given: options by field name, see convnet.options.parse_options.

    Raises:
        ConvnetError, data_providers.errors.DataError: what is wrong.
    """
    if given.get("write_features") and given.get("multiview_test"):
        raise OptionError("--write-features needs one view per image: leave out --multiview-test")
    session = open_session(given)
    if _overwrites_data(session.options):
        raise OptionError(
            "--feature-path is where the data are: its files would overwrite them; name another"
        )
    options, net = session.options, session.net
    if options.write_features:
        check_feature_layer(net.graph, options.write_features)
    _warn(session.warnings)
    for layer in net.graph.values():
        report.text(report.layer_line(layer))
    report.text(report.RULE)
    if options.write_features:
        net.keep(options.write_features)
    testing = options.test_only or options.write_features
    verifier = None if testing else open_verifier(session)
    modes = [TEST] if testing else [TRAIN, TEST]
    net.reserve(*modes)
    if options.show_plan:
        report.text(str(net.recording(modes[0]).program))
        report.text(net.memory_summary())
        report.text(report.RULE)
    if options.write_features:
        write_features(session)
        return
    if options.test_out or given.get("logreg_name"):
        output_layer(session)
    if session.test_data.num_views > 1 and not logreg_costs(net.graph):
        raise OptionError("--multiview-test needs a cost.logreg layer; the net has none")
    if options.test_only:
        test_only(session)
        return
    _announce(session)
    train(session, verifier)


def _overwrites_data(options: Options) -> bool:
    """The features have the names of batches."""
    path, data = Path(options.feature_path), Path(options.data_path)
    given = options.write_features and options.data_path
    return bool(given) and path.resolve() == data.resolve()


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        report.text(f"warning: {warning}")


def _announce(session: Session) -> None:
    report.text("Training ConvNet")
    report.text(report.option_table(session.options))
    report.text(report.RULE)
    gpu = f"the GPU ({session.backend}, {session.options.precision})"
    device = "the CPU" if session.backend == "cpu" else gpu
    report.text(f"Running on {device}; a first run compiles its kernels, about half a minute")
    report.text(f"Current time: {time.asctime()}")
    report.text(f"Saving checkpoints to {session.directory}")
    report.text(report.RULE)


def check_gradients(given: dict[str, Any]) -> int:
    """Checks all gradients on one minibatch; returns the exit status.

    Needs a data provider (a dummy one will do) and the layer files; ranges, the data path and
    the save path only if the provider wants them.
    """
    for name in ("load_file", "conv_to_local", "unshare_weights"):
        if given.get(name):
            raise OptionError(
                f"--check-grads checks the net of the layer files: leave out {option_name(name)}"
            )
    options = merge(given, None)
    require(options, "layer_def", "layer_params", "data_provider")
    options.train_range = options.train_range or [1]
    data = open_data(options, test=False)
    problems = Problems()
    graph = read_graph(
        layer_file(options, options.layer_def),
        layer_file(options, options.layer_params),
        data.shapes,
        lenient=options.lenient,
        problems=problems,
    )
    net = Net(graph, make_ops("reference"), batch_size=CHECK_CASES, seed=options.seed)
    _warn(problems.warnings)
    matrices = data.load(options.train_range[0], 1)
    check_batch(net, matrices, options.train_range[0])
    failures = total = 0
    report.text(f"{'':6} {'matrix':<24} {'shape':>14} {'relative error':>14} {'|analytic|':>12}")
    for result in compare_gradients(net, [m[:, :CHECK_CASES] for m in matrices], options.seed):
        total += 1
        failures += not result.passed
        shape = "x".join(map(str, result.shape))
        report.text(
            f"({'PASS' if result.passed else 'FAIL'}) {result.name:<24} {shape:>14} "
            f"{result.error:14.3e} {result.analytic:12.3e}"
        )
        if not result.passed:
            report.text(f"       worst element {result.worst}")
    report.text("-" * 24)
    report.text(f"{failures}/{total} TESTS FAILED" if failures else f"ALL {total} TESTS PASSED")
    return 1 if failures else 0
