"""--freeze: a trunk that stays as it is while a head learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convnet import cli
from convnet.checkpoint import Checkpoint
from tests.train.helpers import DEFINITION, PARAMETERS, Workplace, as_arguments

NORM = "[norm]\ntype = batchnorm\ninputs = conv\nneuron = relu\n\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """With a trained net in the folder `trained`."""
    place = Workplace(tmp_path_factory.mktemp("freeze"))
    text = DEFINITION.replace("neuron = relu\n\n[drop]", f"\n{NORM}[drop]")
    place.definition.write_text(text.replace("type = dropout\ninputs = conv", NORM_BELOW))
    norm = "[norm]\nepsW = 0.001\nepsB = 0.001\nmomW = 0.9\nmomB = 0.9\nwc = 0.1\n\n"
    place.parameters.write_text(PARAMETERS.replace("[drop]", norm + "[drop]"))
    assert place.train("trained", epochs=1) == 0
    return place


NORM_BELOW = "type = dropout\ninputs = norm"


def changed(one: Checkpoint, two: Checkpoint) -> set[str]:
    """The layers whose matrices differ."""
    differing = {n for n, v in one.weights.items() if not np.array_equal(v, two.weights[n])}
    return {name.partition(".")[0] for name in differing}


@pytest.mark.parametrize(
    ("freeze", "learning"),
    [("", {"conv", "norm", "fc"}), ("conv", {"norm", "fc"}), ("norm_neuron", {"fc"})],
)
def test_what_is_below_does_not_learn(place: Workplace, freeze: str, learning: set[str]) -> None:
    """No rate, no decay, no running averages."""
    source, run = place.root / "trained", place.root / f"frozen-{freeze}"
    arguments = {"load_file": source, "save_file": run, "epochs": 2, "freeze": freeze}
    assert cli.main(as_arguments(arguments)) == 0
    assert changed(place.checkpoint("trained"), place.checkpoint(run.name)) == learning


def test_it_goes_on_until_it_is_lifted(place: Workplace) -> None:
    source, run = place.root / "trained", place.root / "lifted"
    arguments = {"load_file": source, "save_file": run, "epochs": 2, "freeze": "conv,norm"}
    assert cli.main(as_arguments(arguments)) == 0
    assert place.resume("lifted", epochs=3) == 0
    assert changed(place.checkpoint("trained"), place.checkpoint("lifted")) == {"fc"}
    assert place.resume("lifted", epochs=4, freeze="") == 0
    assert changed(place.checkpoint("trained"), place.checkpoint("lifted")) == {
        "conv",
        "norm",
        "fc",
    }


def test_the_plan_has_no_backward_pass_of_the_trunk(
    place: Workplace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert place.train(str(tmp_path / "run"), epochs=1, freeze="norm", show_plan=1) == 0
    plan = capsys.readouterr().out
    assert "fc_wgrad" in plan
    assert not any(op in plan for op in ("conv_wgrad", "batchnorm_stats", "batchnorm_track"))
