"""Provokes every mistake of tests/errors.

`python -m tests.test_errors` writes the same table to docs/errors.md.
"""

from __future__ import annotations

import re
import resource
import shutil
from contextlib import chdir
from pathlib import Path

import pytest

from convnet import cli
from tests.errors import CHECKPOINT
from tests.errors.data import DATA
from tests.errors.faces import FACES
from tests.errors.layer_files import LAYER_FILES
from tests.errors.legacy import LEGACY
from tests.errors.options import OPTIONS
from tests.errors.running import CHECKPOINTS, PRODUCTS, TRAINING
from tests.errors.show import PICTURES
from tests.errors.verification import VERIFICATION
from tests.train.helpers import Workplace

DOC = Path(__file__).parents[1] / "docs" / "errors.md"

MISTAKES = {
    "Options": OPTIONS,
    "Layer files": LAYER_FILES,
    "Data": DATA,
    "Training": TRAINING,
    "Checkpoints": CHECKPOINTS,
    "Checkpoints of cuda-convnet": LEGACY,
    "Features and gradients": PRODUCTS,
    "Pictures": PICTURES,
    "Faces": FACES,
    "Verification of faces": VERIFICATION,
}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """The folder in which each mistake is made, on a copy; its paths are relative."""
    root = tmp_path_factory.mktemp("errors")
    with chdir(root):
        place = Workplace(Path())
        place.options["epochs"] = 1
        assert place.train("good") == 0
    return root, place


@pytest.mark.parametrize(
    "mistake", [m for ms in MISTAKES.values() for m in ms], ids=lambda mistake: mistake.did
)
def test_mistake(mistake, template, tmp_path, monkeypatch, capsys):
    original, place = template
    shutil.copytree(original, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    if mistake.edit:
        name, old, new = mistake.edit
        text = Path(name).read_text()
        assert old in text
        Path(name).write_text(text.replace(old, new))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if mistake.prepare:
            mistake.prepare()
        status = cli.main(
            mistake.command or place.arguments(**{"save_file": "new"} | (mistake.options or {}))
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    expected = "".join(f"error: {line}\n" for line in mistake.says.splitlines())
    pattern = re.escape(expected).replace(re.escape("..."), ".*")
    found = capsys.readouterr().err
    assert re.fullmatch(pattern, found), found
    assert status == 1
    assert not list(Path().rglob(".*"))  # no half-written files
    assert Path(CHECKPOINT).exists()


def document() -> str:
    """The text of docs/errors.md."""
    lines = [
        "# Error messages",
        "",
        "<!-- Written by `python -m tests.test_errors`; a test compares. -->",
        "",
        "A mistake ends the program with exit status 1 and a line `error: ...` for each mistake on",
        "standard error. Half-written files are never left behind. In each of these examples a run",
        "is started in a folder with prepared data in `data` and layers.cfg and params.cfg, or",
        "a checkpoint of the run `good` is used. `...` stands for text that differs.",
    ]
    for title, mistakes in MISTAKES.items():
        lines += ["", f"## {title}", "", "| what you did | what it says | what to do |"]
        lines += ["|---|---|---|"]
        for m in mistakes:
            says = "<br>".join(f"`{line}`" for line in m.says.splitlines())
            lines.append(f"| {m.did} | {says} | {m.remedy} |")
    return "\n".join(lines) + "\n"


def test_document_is_current():
    assert DOC.read_text() == document(), "run: python -m tests.test_errors"


if __name__ == "__main__":
    DOC.write_text(document())
