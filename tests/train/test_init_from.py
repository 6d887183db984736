"""--init-from: a new run that begins with the weights of another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.train.helpers import Workplace, assert_same


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Its parameter file has rates of 0."""
    place = Workplace(tmp_path_factory.mktemp("init"))
    assert place.train("trained", epochs=1) == 0
    text = place.parameters.read_text().replace("exp[base=0.0002;tgtFactor=5]", "0")
    place.parameters.write_text(text.replace("epsB = 0.002", "epsB = 0"))
    return place


def test_weights_without_momentum_or_place(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = place.checkpoint("trained").weights
    assert trained["fc.weights.0.inc"].any()
    assert place.train("same", epochs=1, init_from=place.root / "trained") == 0
    assert "warning: " not in capsys.readouterr().out
    new = place.checkpoint("same")
    assert len(new.state.train_outputs) == 4
    for name, values in new.weights.items():
        np.testing.assert_array_equal(values, 0 if name.endswith(".inc") else trained[name])


def test_a_net_with_another_head(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    definition = place.root / "other.cfg"
    definition.write_text(place.definition.read_text().replace("outputs = 3", "outputs = 5"))
    trained = place.root / "trained" / "1.4.safetensors"
    assert place.train("head", epochs=1, init_from=trained, layer_def=definition) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = "has no matrix for fc.weights.0, fc.biases: new ones are made"
    assert lines[0] == f"warning: {trained}: {expected}"
    new, old = place.checkpoint("head").weights, place.checkpoint("trained").weights
    np.testing.assert_array_equal(new["conv.weights.0"], old["conv.weights.0"])
    assert new["fc.weights.0"].shape[1] == 5


def test_a_run_that_exists_goes_on(place: Workplace, signals_at: Callable[..., None]) -> None:
    """The same command again, after a stop, does not begin anew."""
    options = {"init_from": place.root / "trained", "epochs": 2}
    assert place.train("whole", **options) == 0
    signals_at(5)
    assert place.train("stopped", **options) == 0
    assert place.train("stopped", **options) == 0
    assert_same(place.checkpoint("stopped"), place.checkpoint("whole"))
