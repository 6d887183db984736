import argparse

import pytest

from convnet.errors import OptionError
from convnet.options import (
    FIELDS,
    OneOf,
    Options,
    check_saved,
    merge,
    option_name,
    parse_devices,
    parse_options,
    parse_range,
    require,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", [3]), ("0", [0]), ("1-5", [1, 2, 3, 4, 5]), ("7-7", [7]), ("007-8", [7, 8])],
)
def test_range(text, expected):
    assert parse_range(text) == expected


@pytest.mark.parametrize("text", ["", "-", "-3", "1-", "1-2-3", "1,2", "a", "1.5", "+1", " 1"])
def test_no_range(text):
    with pytest.raises(ValueError, match="expected a batch number or a range such as 1-5; found"):
        parse_range(text)


def test_devices():
    assert parse_devices("0") == [0]
    assert parse_devices("2,0") == [2, 0]
    assert parse_devices("-1") == [-1]
    with pytest.raises(ValueError, match="expected at least -1; found -2"):
        parse_devices("0,-2")


def test_both_forms_and_beginnings_of_names():
    given = parse_options(["--mini=64", "--epochs", "3", "--load", "a b", "--scalar-mean=-1e-1"])
    assert given == {"mini": 64, "epochs": 3, "load_file": "a b", "scalar_mean": -0.1}


def test_the_last_of_a_repeated_option_wins():
    assert parse_options(["--mini=64", "--test-one=0", "--mini=32", "--test-one=1"]) == {
        "mini": 32,
        "test_one": True,
    }


def test_only_given_options_are_returned():
    assert parse_options([]) == {}
    assert parse_options(["--test-freq=57"]) == {"test_freq": 57}


def test_an_empty_text_may_be_given():
    assert parse_options(["--layer-path="]) == {"layer_path": ""}


def test_every_option_can_be_given_and_has_help(capsys):
    examples = {str: "text", int: "4", float: "0.5", bool: "1", list: "2"}
    for name, field in FIELDS.items():
        default = getattr(Options(), name)
        parse = field.metadata["parse"]
        text = parse.names[-1] if isinstance(parse, OneOf) else examples[type(default)]
        (value,) = parse_options([option_name(name), text]).values()
        assert type(value) is type(default)
        assert field.metadata["help"]
    with pytest.raises(SystemExit) as exit_:
        parse_options(["--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert all(option_name(name) in shown for name in FIELDS)
    assert "[128]" in shown


def test_merge_prefers_given_then_saved_then_default():
    options = merge({"mini": 32}, {"mini": 64, "epochs": 7, "of a later version": 1})
    assert (options.mini, options.epochs, options.test_freq) == (32, 7, 57)
    assert merge({}, None) == Options()


def test_an_option_that_can_be_set_only_once():
    assert merge({"inner_size": 24}, None).inner_size == 24
    assert merge({"inner_size": 24}, {"inner_size": 24}).inner_size == 24
    with pytest.raises(OptionError, match=r"--inner-size .* cannot be changed on resume; it is 24"):
        merge({"inner_size": 28}, {"inner_size": 24})


def test_lists_are_not_shared():
    Options().train_range.append(1)
    assert Options().train_range == []


def test_what_a_checkpoint_stores():
    stored = Options(mini=3, load_file="x", test_only=True).as_dict()
    assert stored["mini"] == 3
    assert not {"load_file", "test_only", "check_grads", "write_features"} & stored.keys()
    check_saved(stored)


@pytest.mark.parametrize(
    "values",
    [
        {"mini": "64"},
        {"mini": 0},
        {"mini": True},
        {"mini": 1.0},
        {"seed": -1},
        {"test_one": 1},
        {"scalar_mean": "1"},
        {"layer_params": None},
        {"train_range": 3},
        {"train_range": [1, "2"]},
        {"train_range": [-1]},
        {"gpu": [-2]},
        {"freeze": [1]},
        {"freeze": "conv"},
    ],
)
def test_damaged_stored_options(values):
    with pytest.raises(ValueError, match=r"option --|expected at least"):
        check_saved(values)


def test_require():
    require(Options(mini=5), "mini")
    with pytest.raises(
        OptionError, match=r"^missing --data-path \(directory of the batches\), --te"
    ):
        require(Options(mini=5), "data_path", "mini", "test_range")


def test_errors_are_not_argparse_errors():
    with pytest.raises(OptionError) as info:
        parse_options(["--mini", "x"])
    assert not isinstance(info.value, argparse.ArgumentError)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--mini=2147483648", "--mini: expected at most 2147483647; found 2147483648; see --help"),
        ("--scalar-mean=nan", "--scalar-mean: expected a number; found 'nan'; see --help"),
        ("--scalar-mean=-1e39", "--scalar-mean: expected a number; found '-1e39'; see --help"),
    ],
)
def test_numbers_that_no_run_can_use(arguments, text):
    with pytest.raises(OptionError) as info:
        parse_options([arguments])
    assert str(info.value) == text
