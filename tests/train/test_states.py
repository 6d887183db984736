"""Running statistics last: through stops, kills, conversions and in tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from convnet import cli
from convnet.api import restore
from convnet.checkpoint import load_checkpoint
from convnet.errors import CheckpointError
from tests.train.helpers import DEFINITION, PARAMETERS, Workplace, assert_same


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("states"))
    norm = "[norm]\ntype = batchnorm\ninputs = conv\nneuron = relu\n\n"
    text = DEFINITION.replace("neuron = relu", "biases = 0").replace("[drop]", norm + "[drop]")
    place.definition.write_text(text.replace("inputs = conv\n\n[fc]", "inputs = norm\n\n[fc]"))
    norm = "[norm]\nepsW = 0.001\nepsB = 0.001\nmomW = 0.9\nmomB = 0.9\nupdatePeriod = 2\n\n"
    place.parameters.write_text(PARAMETERS.replace("[drop]", norm + "[drop]"))
    assert place.train("whole") == 0
    return place


@pytest.mark.parametrize("step", [2, 14])
def test_a_run_that_was_stopped_has_the_same_statistics(
    place: Workplace, step: int, signals_at: Callable[..., None]
) -> None:
    signals_at(step)
    assert place.train(f"stopped{step}") == 0
    middle = place.checkpoint(f"stopped{step}").weights["norm.running"]
    whole = place.checkpoint("whole").weights["norm.running"]
    assert middle.shape == (2, 3)
    assert (middle != whole).all()
    assert place.resume(f"stopped{step}") == 0
    assert_same(place.checkpoint(f"stopped{step}"), place.checkpoint("whole"))


def test_conserving_memory_changes_no_statistics(place: Workplace) -> None:
    assert place.train("conserving", conserve_mem=1) == 0
    expected = place.checkpoint("whole").weights
    for name, values in place.checkpoint("conserving").weights.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_tests_and_features_use_them_and_leave_them(place: Workplace) -> None:
    before = place.checkpoint("whole")
    for options in (
        {"test_only": 1},
        {"test_only": 1, "multiview_test": 1},
        {"write_features": "norm", "feature_path": place.root / "features"},
    ):
        assert place.resume("whole", **options) == 0
    assert_same(place.checkpoint("whole"), before)


def test_they_are_converted(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = place.root / "whole", place.root / "converted"
    assert cli.main(["convert", f"--load-file={source}", f"--out={target}"]) == 0
    assert_same(load_checkpoint(target), place.checkpoint("whole"))
    arguments = [f"--load-file={source}", f"--out={place.root / 'v2'}", "--format=v2"]
    assert cli.main(["convert", *arguments]) == 1
    assert capsys.readouterr().err.endswith(
        "Layer 'conv': biases=0: cuda-convnet2's layers have biases\n"
    )


def test_gradients_are_checked_in_the_training_form(place: Workplace) -> None:
    assert cli.main(place.arguments(check_grads=1, mini=3)) == 0


def test_a_checkpoint_without_them_is_refused(place: Workplace) -> None:
    checkpoint = place.checkpoint("whole")
    del checkpoint.weights["norm.running"]
    with pytest.raises(CheckpointError, match=r"without 'norm\.running'"):
        restore(checkpoint, batch_size=4)
