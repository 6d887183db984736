"""`python -m convnet show`: which picture, with which options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from convnet import report
from convnet.errors import OptionError
from convnet.options import (
    add_option,
    checked,
    choose_word,
    make_parser,
    natural,
    option_name,
    parse_bool,
)
from convnet.show.confusion import confusion_matrix, confusion_table, draw_confusion
from convnet.show.cost import draw_cost, find_value
from convnet.show.figures import default_out, open_run, picture_path
from convnet.show.filters import FilterOptions, draw_filters, find_layer
from convnet.show.overview import draw_overview
from convnet.show.predictions import (
    Classifier,
    draw_predictions,
    open_classifier,
    write_predictions,
)
from convnet.show.stats import draw_histograms, stats_table, weight_stats
from convnet.train.drivers import start
from convnet.train.session import open_session

# Options of the run that tell which data to test on, where not those of the checkpoint.
DATA_OPTIONS = (
    "data_path",
    "data_provider",
    "test_range",
    "inner_size",
    "multiview_test",
    "scalar_mean",
)


def show(arguments: Sequence[str]) -> None:
    """Draws what the first word says, or else what the options say, as cuda-convnet's shownet did.

    Raises:
        ConvnetError, data_providers.errors.DataError: what is wrong, in one line each.
    """
    if arguments and not arguments[0].startswith("-"):
        word = choose_word("show", "picture", arguments[0], PICTURES)
        PICTURES[word](arguments[1:])
        return
    parser = _parser(
        "",
        "Draws the error curve and the filters of the first layer of a run. Other pictures: "
        f"python -m convnet show {' | '.join(PICTURES)} --help; or name one of these options.",
    )
    for name, word in CHOOSING.items():
        see = f"see python -m convnet show {word} --help"
        parser.add_argument(option_name(name), metavar="NAME", help=see)
    _add_out(parser, "RUN/overview.png")
    given, _ = parser.parse_known_args(arguments)
    chosen = [name for name in CHOOSING if getattr(given, name) is not None]
    if len(chosen) > 1:
        raise OptionError(f"one picture at a time: {' or '.join(map(option_name, chosen))}")
    if chosen:
        PICTURES[CHOOSING[chosen[0]]](arguments)
        return
    args = parser.parse_args(arguments)
    out = args.out or default_out(args.load_file, "overview")
    _tell(out, draw_overview(open_run(args.load_file), out))


def cost(arguments: Sequence[str]) -> None:
    """Draws the training and the test curve of a cost, of one run or of several."""
    parser = _parser("cost", cost.__doc__, runs=True)
    parser.add_argument("--show-cost", default="", metavar="NAME", help="cost layer [the first]")
    _add_number(parser, "--cost-idx", "which of its values")
    _add_flag(parser, "--smooth-test-errors", True, "running mean over as many tests as batches")
    add_option(parser, "train_range", ", for the length of an epoch")
    add_option(parser, "test_range", ", for the length of the running mean")
    _add_out(parser, "RUN/cost-NAME.png")
    args = parser.parse_args(arguments)
    names = [part for path in args.load_file for part in str(path).split(",")]
    runs = [open_run(Path(name)) for name in dict.fromkeys(names)]
    for run in runs:
        run.checkpoint.options.update(_given(args, "train_range", "test_range"))
    value = find_value(runs[0], args.show_cost, args.cost_idx)
    for run in runs[1:]:
        find_value(run, value.cost, value.index)
    index = f"-{value.index}" if value.index else ""
    out = args.out or default_out(runs[0].path, f"cost-{value.cost}{index}")
    for line in draw_cost(runs, value, args.smooth_test_errors, out):
        report.text(line)
    _tell(out)


def filters(arguments: Sequence[str]) -> None:
    """Draws the filters of a conv, local or fc layer."""
    parser = _parser("filters", filters.__doc__)
    parser.add_argument("--show-filters", default="", metavar="LAYER", help="[the first]")
    _add_number(parser, "--input-idx", "of which input")
    _add_flag(parser, "--no-rgb", False, "three channels as grey pictures side by side")
    _add_flag(parser, "--yuv-to-rgb", False, "the channels are Y, U, V")
    _add_number(parser, "--channels", "of the images that an fc layer sees, 0 = those of its input")
    _add_flag(parser, "--norm-filters", False, "bring each filter to mean 0, variance 1")
    _add_number(parser, "--local-plane", "which filter of a local layer")
    _add_out(parser, "RUN/filters-LAYER.png")
    args = parser.parse_args(arguments)
    run = open_run(args.load_file)
    layer = find_layer(run, args.show_filters)
    out = args.out or default_out(args.load_file, f"filters-{layer.name}")
    options = FilterOptions(
        input_idx=args.input_idx,
        no_rgb=args.no_rgb,
        yuv_to_rgb=args.yuv_to_rgb,
        channels=args.channels,
        norm_filters=args.norm_filters,
        local_plane=args.local_plane,
    )
    _tell(out, draw_filters(run, layer, options, out))


def preds(arguments: Sequence[str]) -> None:
    """Draws random test images with their most probable classes, the right one in red."""
    parser = _classifier_parser("preds", preds.__doc__)
    _add_flag(parser, "--only-errors", False, "only misclassified images")
    _add_number(parser, "--seed", "of the choice of images")
    parser.add_argument(
        "--save-preds",
        type=Path,
        metavar="DIR",
        help="write the predictions for the test range into this directory instead",
    )
    _add_out(parser, "RUN/preds-SOFTMAX.png")
    args = parser.parse_args(arguments)
    if args.save_preds and (args.out or args.only_errors):
        raise OptionError(
            "--save-preds writes all predictions instead of a picture: leave out --out and "
            "--only-errors"
        )
    classifier = _open_classifier(args)
    if args.save_preds:
        for path in write_predictions(classifier, args.save_preds):
            report.text(f"Wrote {path}")
        return
    out = args.out or default_out(args.load_file, f"preds-{classifier.softmax}")
    _tell(out, draw_predictions(classifier, args.only_errors, args.seed, out))


def confusion(arguments: Sequence[str]) -> None:
    """Prints the error of each class for the test range, and draws the confusion matrix."""
    parser = _classifier_parser("confusion", confusion.__doc__)
    _add_out(parser, "RUN/confusion-SOFTMAX.png")
    args = parser.parse_args(arguments)
    classifier = _open_classifier(args)
    out = args.out or default_out(args.load_file, f"confusion-{classifier.softmax}")
    counts = confusion_matrix(classifier)
    draw_confusion(counts, classifier.names, out)
    report.text(confusion_table(counts, classifier.names))
    _tell(out)


def stats(arguments: Sequence[str]) -> None:
    """Prints how large all weights and their last changes are; with --out, draws histograms."""
    parser = _parser("stats", stats.__doc__)
    _add_out(parser, "none")
    args = parser.parse_args(arguments)
    state = open_run(args.load_file).net.state()
    report.text(stats_table(weight_stats(state)))
    if args.out:
        draw_histograms(state, args.out)
        _tell(args.out)


def features(arguments: Sequence[str]) -> None:
    """Writes the output of a layer for the test range: python -m convnet --write-features."""
    parser = _parser("features", features.__doc__)
    written = ("write_features", "feature_path", "feature_format")
    for name in (*written, *DATA_OPTIONS):
        add_option(parser, name)
    args = parser.parse_args(arguments)
    start(_given(args, *written, *DATA_OPTIONS, "gpu") | {"load_file": str(args.load_file)})


PICTURES: dict[str, Callable[[Sequence[str]], None]] = {
    "cost": cost,
    "filters": filters,
    "preds": preds,
    "confusion": confusion,
    "stats": stats,
    "features": features,
}
# The options of shownet that say what to draw, where no word does.
CHOOSING = {
    "show_cost": "cost",
    "show_filters": "filters",
    "show_preds": "preds",
    "write_features": "features",
}


def _parser(word: str, description: str | None, runs: bool = False) -> argparse.ArgumentParser:
    """With what all pictures take. Args: runs: whether several runs may be named."""
    parser = make_parser(f"python -m convnet show {word}".rstrip(), description or "")
    several: dict[str, Any] = {"nargs": "+", "action": "extend"} if runs else {}
    parser.add_argument(
        "-f",
        "--load-file",
        required=True,
        type=Path,
        metavar="RUN",
        help="checkpoint or run directory" + ("; several with spaces or commas" if runs else ""),
        **several,
    )
    add_option(parser, "gpu")
    return parser


def _classifier_parser(word: str, description: str | None) -> argparse.ArgumentParser:
    parser = _parser(word, description)
    parser.add_argument(
        "--show-preds", default="", metavar="SOFTMAX", help="softmax layer [the first]"
    )
    for name in DATA_OPTIONS:
        add_option(parser, name, " [as in the run]")
    return parser


def _open_classifier(args: argparse.Namespace) -> Classifier:
    given = _given(args, *DATA_OPTIONS, "gpu") | {"load_file": str(args.load_file)}
    return open_classifier(open_session(given | {"test_only": True}), args.show_preds)


def _add_number(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    parser.add_argument(name, type=checked(natural), default=0, metavar="N", help=f"{text} [0]")


def _add_flag(parser: argparse.ArgumentParser, name: str, default: bool, text: str) -> None:
    parser.add_argument(
        name,
        type=checked(parse_bool),
        default=default,
        metavar="0|1",
        help=f"{text} [{int(default)}]",
    )


def _add_out(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--out",
        type=checked(picture_path),
        metavar="FILE",
        help=f".png, .svg or .pdf [{default}]",
    )


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the run's options that are on the command line."""
    return {name: value for name, value in vars(args).items() if name in names}


def _tell(out: Path, result: str = "") -> None:
    report.text(f"Wrote {out}" + (f"; {result}" if result else ""))
