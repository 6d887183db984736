"""The options of the classic program: names, types, defaults, help.

The table is the dataclass `Options`; the command line, the checkpoint and the documentation all
read it. Every option takes a value: `--mini 64` or `--mini=64`; an unambiguous beginning of a
name is enough.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from convnet.errors import OptionError
from convnet.precision import Precision
from convnet.version import __version__

MAX_BATCHES = 1_000_000
MAX_INTEGER = 2**31 - 1


def parse_range(text: str) -> list[int]:
    """Batch numbers: `3` or `0-417`, both ends included.

    Raises:
        ValueError: anything else, a range that counts down, or more than MAX_BATCHES.
    """
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ValueError(f"expected a batch number or a range such as 1-5; found '{text}'")
    low, high = int(first), int(last if dash else first)
    if high < low:
        raise ValueError(f"expected a range that counts up; found '{text}'")
    if high - low >= MAX_BATCHES:
        raise ValueError(f"expected at most {MAX_BATCHES} batches; found '{text}'")
    return list(range(low, high + 1))


def parse_bool(text: str) -> bool:
    """Raises: ValueError for anything but 0 and 1."""
    if text not in ("0", "1"):
        raise ValueError(f"expected 0 or 1; found '{text}'")
    return text == "1"


def integer(minimum: int, text: str) -> int:
    """Raises: ValueError for text that is no whole number from `minimum` to MAX_INTEGER."""
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"expected a whole number; found '{text}'") from None
    if value < minimum:
        raise ValueError(f"expected at least {minimum}; found {value}")
    if value > MAX_INTEGER:
        raise ValueError(f"expected at most {MAX_INTEGER}; found {value}")
    return value


def natural(text: str) -> int:
    return integer(0, text)


def positive(text: str) -> int:
    return integer(1, text)


def parse_devices(text: str) -> list[int]:
    """Raises: ValueError for anything but a comma-separated list of device numbers, -1: any."""
    return [integer(-1, part) for part in text.split(",")]


def parse_names(text: str) -> list[str]:
    """A comma-separated list of names."""
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_float(text: str) -> float:
    """Raises: ValueError for text that is no number, or none of float32."""
    try:
        value = float(text)
        if abs(value) < 1e38:
            return value
    except ValueError:
        pass
    raise ValueError(f"expected a number; found '{text}'")


def not_negative(text: str) -> float:
    """Raises: ValueError for text that is no number of at least 0."""
    value = parse_float(text)
    if value >= 0:
        return value
    raise ValueError(f"expected a number of at least 0; found '{text}'")


def fraction(text: str) -> float:
    """Raises: ValueError for text that is no number between 0 and 1, both excluded."""
    value = parse_float(text)
    if 0 < value < 1:
        return value
    raise ValueError(f"expected a number between 0 and 1; found '{text}'")


@dataclass(frozen=True)
class OneOf:
    """Parses one of some names."""

    names: tuple[str, ...]

    def __call__(self, text: str) -> str:
        """Raises: ValueError for anything but the names."""
        if text not in self.names:
            raise ValueError(f"expected {' or '.join(self.names)}; found '{text}'")
        return text


def _option(
    default: Any,
    help_text: str,
    parse: Callable[[str], Any] = str,
    *,
    once: bool = False,
    saved: bool = True,
    note: str = "",
) -> Any:
    """One option.

    Args:
        once: it cannot be changed on resume.
        saved: it goes on when a run is resumed.
        note: what a user is told who gives it.
    """
    metadata = {"help": help_text, "parse": parse, "once": once, "saved": saved, "note": note}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class Options:
    """All options of a run. Empty texts and lists mean "not given"."""

    # Where things are.
    data_path: str = _option("", "directory of the batches")
    data_provider: str = _option(
        "", "how to read them: batches, image, idx, folder, dummy-cn-3072 ..."
    )
    layer_def: str = _option("", "layer definition file (.cfg or .toml)")
    layer_params: str = _option("", "layer parameter file, read again on every start")
    layer_path: str = _option("", "directory that is put before both layer files")
    save_path: str = _option("", "the run makes its own directory here; or give --save-file")
    save_file: str = _option("", "the run's directory itself; goes on from it if it exists")
    load_file: str = _option("", "checkpoint file or run directory to go on from", saved=False)

    init_from: str = _option(
        "", "checkpoint whose weights a new run begins with, where they fit", saved=False
    )

    # What to train and test on.
    train_range: list[int] = _option([], "batches to train on, e.g. 1-5", parse_range)
    test_range: list[int] = _option([], "batches to test on", parse_range)
    mini: int = _option(128, "images per minibatch", positive)
    epochs: int = _option(50000, "times to go through the training batches", positive)
    test_freq: int = _option(57, "training batches between two tests and checkpoints", positive)
    test_one: bool = _option(True, "test on one batch each time, in turn, not on all", parse_bool)
    seed: int = _option(0, "seed of everything random", natural)
    threads: int = _option(0, "threads to compute with, 0 = one a core", natural, saved=False)

    # What is verified after every test, see docs/faces.md.
    verify_pairs: str = _option("", "verify pairs of pictures after each test: LFW's pairs.txt")
    verify_layer: str = _option("", "the layer whose output is compared")
    verify_pictures: str = _option(
        "", "where the pictures of --verify-pairs are, if not in --data-path"
    )

    # How it learns, besides the parameter file.
    lr_patience: int = _option(
        0,
        "lower the rates when the cost has not fallen for so many minibatches, 0 = never",
        natural,
    )
    lr_shrink: float = _option(0.1, "factor by which --lr-patience lowers them", fraction)
    lr_min: float = _option(
        0.001, "stop when rates are below this part of those of the parameter file", fraction
    )
    warm_up: int = _option(
        0, "rates grow to what they shall be in so many minibatches, 0 = at once", natural
    )
    clip_norm: float = _option(
        0.0, "largest norm of all gradients together, per image; 0 = any", not_negative
    )
    accumulate: int = _option(
        1, "minibatches whose gradients are summed up for an update", positive
    )
    freeze: list[str] = _option(
        [], "these layers, and all that is below them, do not learn", parse_names
    )
    check_finite: str = _option(
        "loss",
        "what is looked at for NaNs: loss, or all, gradients and weights too",
        OneOf(("loss", "all")),
    )
    on_nan: str = _option(
        "stop",
        "at a NaN stop; or skip the minibatch; or rollback, to the last test, also when "
        "the cost explodes, with lower rates",
        OneOf(("stop", "skip", "rollback")),
    )

    # How the data are cut.
    inner_size: int = _option(0, "side of the crop of each image, 0 = whole", natural, once=True)
    mirror: bool = _option(True, "mirror half of the cropped training images", parse_bool)
    scalar_mean: float = _option(
        -1.0, "subtract this instead of the mean image, if >= 0", parse_float
    )
    crop_border: int = _option(
        4, "provider cifar-cropped: border that a crop leaves out", natural, once=True
    )
    color_noise: float = _option(
        0.0, "image, face-*: scale of random changes of colour in training", parse_float
    )
    image_size: int = _option(0, "folder, face-*: scale pictures to this side, 0 = as is", natural)
    batch_size: int = _option(0, "folder, face-*, idx: images per batch, 0 = usual", natural)
    people_per_batch: int = _option(
        0, "face-*: train on groups of so many people; needs the next", natural
    )
    images_per_person: int = _option(0, "face-*: and so many pictures of each", natural)
    jitter: float = _option(
        0.0,
        "face-*: in training turn (degrees), zoom and shift (percent) by up to this",
        parse_float,
    )

    # What to do.
    test_only: bool = _option(
        False, "test once on the whole range and stop", parse_bool, saved=False
    )
    multiview_test: bool = _option(False, "average the predictions over ten views", parse_bool)
    force_save: bool = _option(
        False, "save a checkpoint also after a test or features alone", parse_bool, saved=False
    )
    test_out: str = _option("", "directory for the predictions of tests", saved=False)
    logreg_name: str = _option("", "the cost whose predictions --test-out writes")
    check_grads: bool = _option(False, "check the gradients and stop", parse_bool, saved=False)
    write_features: str = _option(
        "", "write the output of this layer for the test range", saved=False
    )
    feature_path: str = _option("", "directory for the features", saved=False)
    feature_format: str = _option(
        "npz", "npz, or pickle as cuda-convnet", OneOf(("npz", "pickle")), saved=False
    )
    show_plan: bool = _option(
        False, "print the program with its buffers first", parse_bool, saved=False
    )

    # Other.
    keep: int = _option(1, "number of checkpoints to keep", positive)
    max_filesize: int = _option(
        0, "keep as many checkpoints as fit into so many MiB; 0: as --keep says", natural
    )
    conserve_mem: bool = _option(
        False, "save memory by computing again what the backward pass needs", parse_bool
    )
    init_modules: list[str] = _option(
        [],
        "Python modules whose functions initWFunc and initBFunc may run",
        parse_names,
        saved=False,
    )
    conv_to_local: list[str] = _option(
        [], "turn these convolutional layers into local ones", parse_names, saved=False
    )
    unshare_weights: list[str] = _option(
        [], "give these layers, or LAYER[i], copies of shared weights", parse_names, saved=False
    )
    lenient: bool = _option(False, "unknown keys in layer files are warnings", parse_bool)
    gpu: list[int] = _option(
        [], "device numbers; the first of them computes, or the CPU if it cannot", parse_devices
    )
    precision: str = _option(
        "fp32",
        "what a GPU rounds the factors of conv, local and fc to: fp32, tf32 or bf16",
        OneOf(tuple(precision.value for precision in Precision)),
    )
    num_gpus: int = _option(
        1,
        "number of devices",
        positive,
        saved=False,
        note="one device computes all; the option does nothing",
    )
    zip_save: bool = _option(
        False,
        "compress checkpoints",
        parse_bool,
        saved=False,
        note="checkpoints are safetensors files and are not compressed; the option does nothing",
    )

    def as_dict(self) -> dict[str, Any]:
        """What a checkpoint stores: the options that go on when a run is resumed."""
        return {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata["saved"]
        }


FIELDS = {f.name: f for f in dataclasses.fields(Options)}


def option_name(name: str) -> str:
    """save_path -> --save-path"""
    return "--" + name.replace("_", "-")


class _Parser(argparse.ArgumentParser):
    def parse_args(self, arguments: Sequence[str]) -> argparse.Namespace:  # type: ignore[override]
        """Like the original, but names the option that is nearest to an unknown one."""
        values, rest = self.parse_known_args(arguments)
        if not rest:
            return values
        name, _, _ = rest[0].partition("=")
        if not name.startswith("-"):
            self.error(f"stray argument '{name}': expected --name value or --name=value")
        nearest = difflib.get_close_matches(name, self._option_string_actions, n=1)
        self.error(f"unknown option {name}" + (f"; did you mean {nearest[0]}?" if nearest else ""))

    def error(self, message: str) -> NoReturn:
        raise OptionError(message.removeprefix("argument ") + "; see --help")


def make_parser(prog: str = "convnet", description: str = "") -> argparse.ArgumentParser:
    """A parser whose errors are OptionErrors."""
    return _Parser(prog=prog, description=description)


def choose_word(command: str, kind: str, word: str, known: Collection[str]) -> str:
    """The word itself.

    Raises: OptionError if it is not among the known ones; the closest one is named.
    """
    if word not in known:
        near = difflib.get_close_matches(word, known, n=1)
        raise OptionError(
            f"{command}: no {kind} '{word}'; "
            + (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}")
        )
    return word


def checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Lets argparse print the text of a ValueError."""

    def parse_argument(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse_argument


def parse_options(arguments: Sequence[str]) -> dict[str, Any]:
    """The options that are given on a command line, by field name.

    Raises:
        OptionError: unknown option, missing or bad value, stray argument.
        SystemExit: for --help and --version.
    """
    parser = make_parser(
        "python -m convnet",
        "Trains and tests a convolutional net written in two layer files. Other commands: "
        "python -m convnet check | convert | data | make-data | profile | show --help.",
    )
    parser.add_argument("--version", action="version", version=f"cudaconvnet {__version__}")
    for f in FIELDS.values():
        default = f.default if f.default is not dataclasses.MISSING else ""
        shown = int(default) if isinstance(default, bool) else default
        add_option(parser, f.name, f" [{shown}]" if shown != "" else "")
    return vars(parser.parse_args(list(arguments)))


def add_option(parser: argparse.ArgumentParser, name: str, note: str = "") -> None:
    """Adds an option of the table, which appears among the parsed ones only if it is given.

    Args:
        name: of the field.
        note: follows its help text.
    """
    metadata = FIELDS[name].metadata
    short = ["-f"] if name == "load_file" else []  # as cuda-convnet's first version calls it
    parser.add_argument(
        *short,
        option_name(name),
        type=checked(metadata["parse"]),
        default=argparse.SUPPRESS,
        metavar="X",
        help=metadata["help"] + note,
    )


def check_saved(values: dict[str, Any]) -> None:
    """Checks options that were read from a checkpoint.

    Raises:
        ValueError: a value is not of its option's type, or out of range.
    """
    for name in values.keys() & FIELDS.keys():
        value, default = values[name], getattr(Options(), name)
        if FIELDS[name].metadata["parse"] is parse_names:
            good = isinstance(value, list) and all(type(part) is str for part in value)
        elif isinstance(default, list):
            least = -1 if name == "gpu" else 0
            good = isinstance(value, list) and all(type(n) is int and n >= least for n in value)
        else:
            good = type(value) is type(default)
        if not good:
            raise ValueError(f"option {option_name(name)} is {value!r}")
        if isinstance(default, int):
            FIELDS[name].metadata["parse"](str(int(value)))  # checks the range


def merge(given: dict[str, Any], saved: dict[str, Any] | None) -> Options:
    """The options of a run: those given, else those of the checkpoint, else the defaults.

    Raises:
        OptionError: a given option may not be changed after the start.
    """
    values = {name: value for name, value in (saved or {}).items() if name in FIELDS}
    for name, value in given.items():
        if saved and FIELDS[name].metadata["once"] and value != values.get(name, value):
            raise OptionError(
                f"option {option_name(name)} ({FIELDS[name].metadata['help']}) cannot be changed "
                f"on resume; it is {values[name]}, found {value}"
            )
        values[name] = value
    return Options(**values)


def require(options: Options, *names: str) -> None:
    """Raises: OptionError listing those of the named options that were not given."""
    missing = [n for n in names if getattr(options, n) in ("", [])]
    if missing:
        listed = ", ".join(f"{option_name(n)} ({FIELDS[n].metadata['help']})" for n in missing)
        raise OptionError(f"missing {listed}; see --help")
