"""Runs every command of the documentation, on stand-ins for the data (see pages.py)."""

import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from convnet.cli import COMMANDS, main
from tests.docs.pages import PAGES, ROOT, blocks, make_workspace

PROGRAM = ["python", "-m", "convnet"]
# The commands of this page are mistakes on purpose; its own test provokes them.
OWN_TEST = {"docs/errors.md"}
# Its net has 61 million weights.
SLOW = {"docs/imagenet.md"}


def commands(page: str) -> list[list[str]]:
    """The words of every command in a page, whether in a block or in indented lines."""
    lines = "".join(blocks(page, "bash")) + "\n"
    lines += "\n".join(re.findall(r"^    (python -m convnet .*)$", PAGES[page], re.MULTILINE))
    return [shlex.split(line) for line in lines.replace("\\\n", " ").splitlines() if line.strip()]


def shortened(arguments: list[str]) -> list[str]:
    """The same with less work: of several values of an option the last counts.

    Gradients are checked on one image. A run trains for one epoch, and for two if it goes on.
    """
    if arguments[0] == "make-data":
        return [*arguments, "--workers", "1"]
    if arguments[0] in COMMANDS or "--test-only" in arguments or "--write-features" in arguments:
        return arguments
    if "--check-grads" in arguments:
        return [*arguments, "--batch-size", "1"]
    if "image" in arguments:  # the stand-in for ImageNet has one batch of each kind
        arguments = [*arguments, "--train-range", "0", "--test-range", "1000"]
    epochs = "2" if "--load-file" in arguments else "1"
    return [*arguments, "--epochs", epochs, "--mini", "4"]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page in SLOW else [])
        for page in PAGES
        if page not in OWN_TEST
    ],
)
def test_commands_work(page, tmp_path, monkeypatch, capsys):
    make_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    for words in commands(page):
        if words[0] == "make":
            subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
            continue
        assert words[:3] == PROGRAM, f"no test runs {shlex.join(words)}"
        arguments = shortened(words[3:])
        assert main(arguments) == 0, capsys.readouterr().err
        for option, value in pairwise(arguments):
            if option in ("--out", "--tgt-dir", "--save-file", "--save-path", "--feature-path"):
                assert list(Path().glob(f"{value}*")), shlex.join(words)


def test_the_readme_begins_with_two_commands():
    assert commands("README.md")[:2] == [["make", "train"], ["make", "test"]]


def test_every_command_of_the_readme_table_exists():
    table = re.findall(r"^\| `python -m convnet ([\w-]+)", PAGES["README.md"], re.MULTILINE)
    assert {word for word in table if not word.startswith("-")} == COMMANDS.keys()
