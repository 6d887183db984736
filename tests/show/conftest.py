from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convnet import cli
from tests.train.helpers import Workplace, as_arguments


@pytest.fixture(scope="package")
def place(tmp_path_factory):
    """Data, layer files and the trained run `run`, which no test changes."""
    place = Workplace(tmp_path_factory.mktemp("show"))
    assert place.train("run") == 0
    return place


@pytest.fixture
def show(place, capsys):
    """Runs `show` with a word and options on the run; returns what it printed."""

    def run_show(*words: str, run: object = place.root / "run", **options: object) -> str:
        capsys.readouterr()
        status = cli.main(["show", *words, *as_arguments({"load_file": run, **options})])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed.out

    return run_show


def pixels_of(path: Path) -> np.ndarray:
    """A picture as (height, width, 3) in 0..255."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)
