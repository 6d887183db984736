"""The options of a run: names and values of the original and of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convnet.options import FIELDS, MAX_BATCHES, check_saved
from data_providers.pickle_writer import Class, Instance

MODULE = "python_util.options"
MODULES = ("options", MODULE)
"""Of v1 and v2; their classes hold the options in a checkpoint."""


@dataclass(frozen=True)
class OldOption:
    """An option of the original.

    Attributes:
        letter: on the command line.
        kind: of its value.
        ours: our option's field name.
    """

    letter: str
    kind: str
    ours: str


# By the names under which the original stored them. Left out: what is nowhere but on the machine
# of the run (layer files, whose content a checkpoint has), or has no meaning here.
OPTIONS = {
    "data_path": OldOption("data-path", "String", "data_path"),
    "dp_type": OldOption("data-provider", "String", "data_provider"),
    "save_path": OldOption("save-path", "String", "save_path"),
    "save_file_override": OldOption("save-file", "String", "save_file"),
    "train_batch_range": OldOption("train-range", "Range", "train_range"),
    "test_batch_range": OldOption("test-range", "Range", "test_range"),
    "minibatch_size": OldOption("mini", "Integer", "mini"),
    "num_epochs": OldOption("epochs", "Integer", "epochs"),
    "testing_freq": OldOption("test-freq", "Integer", "test_freq"),
    "test_one": OldOption("test-one", "Boolean", "test_one"),
    "multiview_test": OldOption("multiview-test", "Boolean", "multiview_test"),
    "inner_size": OldOption("inner-size", "Integer", "inner_size"),
    "scalar_mean": OldOption("scalar-mean", "Float", "scalar_mean"),
    "logreg_name": OldOption("logreg-name", "String", "logreg_name"),
    "conserve_mem": OldOption("conserve-mem", "Boolean", "conserve_mem"),
    "max_filesize_mb": OldOption("max-filesize", "Integer", "max_filesize"),
    "color_noise": OldOption("color-noise", "Float", "color_noise"),
}

CROPPED = "cifar-cropped"
"""v1's provider of crops. Its --crop-border is what is cut on each side; v2 has no such option."""
CROP_BORDER = {"crop_border": OldOption("crop-border", "Integer", "crop_border")}


def our_options(parser: Any) -> dict[str, Any]:
    """Our options, from the attributes of the original's OptionsParser.

    Values that are not of their option's type, such as defaults that were never worked out, are
    left out.
    """
    options = parser.get("options") if isinstance(parser, dict) else None
    stored = {
        name: option["value"]
        for name, option in (options.items() if isinstance(options, dict) else ())
        if isinstance(option, dict) and "value" in option
    }
    provider = stored.get("dp_type")
    cropped = isinstance(provider, str) and provider == CROPPED
    found = {}
    for name, option in (OPTIONS | (CROP_BORDER if cropped else {})).items():
        if name in stored and option.ours in FIELDS:
            value = stored[name]
            if type(value) is int and option.kind in ("Boolean", "Float"):
                value = value != 0 if option.kind == "Boolean" else float(value)
            if _fits(option.ours, value):
                found[option.ours] = value
    return found


def _fits(name: str, value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    if len(items) > MAX_BATCHES or not all(isinstance(item, int | float | str) for item in items):
        return False
    try:
        check_saved({name: value})
    except (ValueError, TypeError):
        return False
    return True


def options_parser(options: Mapping[str, Any], side: int) -> Instance:
    """v2's OptionsParser with these options of ours.

    Args:
        side: of the images that the net is given.
    """
    if options.get("data_provider") == CROPPED:
        options = {**options, "data_provider": "cifar", "inner_size": side}
    stored = {}
    for name, option in OPTIONS.items():
        value = options.get(option.ours)
        if value in (None, "", []):
            continue  # the original takes its own default
        stored[name] = Instance(
            Class(MODULE, "Option"),
            {
                "letter": option.letter,
                "name": name,
                "desc": FIELDS[option.ours].metadata["help"],
                "parser": Class(MODULE, f"{option.kind}OptionParser"),
                "set_once": FIELDS[option.ours].metadata["once"],
                "default": None,
                "excuses": [],
                "requires": [],
                "save": True,
                "value": int(value) if isinstance(value, bool) else value,
                "value_given": True,
                "prefixed_letter": f"--{option.letter}",
            },
        )
    return Instance(Class(MODULE, "OptionsParser"), {"options": stored})
