"""Training on JPEGs with random crops and colours, and going on with it."""

from __future__ import annotations

import shutil

import pytest

from tests.data_providers.jpegs import jpeg_batch, jpeg_folder
from tests.train.helpers import DEFINITION, Workplace, assert_same


@pytest.fixture
def place(tmp_path):
    place = Workplace(tmp_path)
    place.definition.write_text(
        DEFINITION.replace("channels = 2", "channels = 3").replace("outputs = 3", "outputs = 4")
    )
    batches = {0: jpeg_batch(9, 0), 1: jpeg_batch(10, 1), 1000: jpeg_batch(6, 2)}
    place.options |= {
        "data_path": jpeg_folder(tmp_path / "jpegs", batches),
        "data_provider": "image",
        "train_range": "0-1",
        "test_range": "1000",
        "color_noise": 0.1,
        "epochs": 2,
        "test_freq": 1,
        "keep": 10,
    }
    return place


def test_a_resumed_run_sees_the_same_pictures(place):
    assert place.train("whole") == 0
    (place.root / "part").mkdir()
    shutil.copy(place.root / "whole" / "1.0.safetensors", place.root / "part")
    assert place.resume("part") == 0
    assert_same(place.checkpoint("part"), place.checkpoint("whole"))


def test_ten_views(place, capsys):
    assert place.train("run") == 0
    assert place.resume("run", test_only=1, multiview_test=1) == 0
    assert "batch 1000: ({'logprob': [" in capsys.readouterr().out
