"""Costs that compare images, in whole runs: stopped and resumed, tested, with memory saved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from data_providers.images import ImageProvider
from tests.train.helpers import DEFINITION, PARAMETERS, Workplace, assert_same

COSTS = """
[unit]
type = l2norm
inputs = fc

[triplet]
type = cost.triplet
inputs = labels, unit

[center]
type = cost.center
inputs = labels, fc
classes = 3

[cosines]
type = cosfc
inputs = drop
outputs = 3
initW = 0.02

[margin]
type = cost.margin
inputs = labels, cosines
"""
RATES = """
[triplet]
coeff = 0.5
margin = 0.3

[center]
coeff = 0.01

[cosines]
epsW = 0.001
momW = 0.9

[margin]
coeff = 0.1
scale = 8
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("costs"))
    place.definition.write_text(DEFINITION + COSTS)
    place.parameters.write_text(PARAMETERS + RATES)
    assert place.train("whole") == 0
    return place


def test_what_is_printed(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.train("printed") == 0
    printed = capsys.readouterr().out
    assert "(triplets) " in printed
    assert "center:  " in printed
    assert "margin:  " in printed


def test_a_run_that_was_stopped_ends_with_the_same_bits(
    place: Workplace, signals_at: Callable[..., None]
) -> None:
    signals_at(5)
    assert place.train("stopped") == 0
    whole = place.checkpoint("whole").weights["center.centers"]
    assert whole.shape == (3, 3)
    assert (place.checkpoint("stopped").weights["center.centers"] != whole).any()
    assert place.resume("stopped") == 0
    assert_same(place.checkpoint("stopped"), place.checkpoint("whole"))


def test_conserving_memory_changes_nothing(place: Workplace) -> None:
    assert place.train("conserving", conserve_mem=1) == 0
    expected = place.checkpoint("whole").weights
    for name, values in place.checkpoint("conserving").weights.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


def test_a_collapse_is_told_once(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    """Weights of nearly 0 give features that differ little, but are in all triplets."""
    definition = place.root / "collapsed.cfg"
    text = place.definition.read_text().replace("[unit]\ntype = l2norm", "[unit]\ntype = pass")
    definition.write_text(text.replace("initW = 0.02\n\n[probs]", "initW = 1e-6\n\n[probs]"))
    parameters = place.root / "still.cfg"
    parameters.write_text(place.parameters.read_text().replace("0.0002", "0"))
    files = {"layer_def": definition, "layer_params": parameters}
    assert place.train("collapsed", **files, mini=11) == 0
    printed = capsys.readouterr().out
    assert printed.count("warning: Layer 'triplet': collapsed: ") == 1
    assert printed.count(", collapsed") > 10


def test_labels_that_are_missing(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = ImageProvider.load

    def without(self: ImageProvider, number: int, epoch: int) -> list[np.ndarray]:
        data, labels = map(np.asarray, load(self, number, epoch))
        labels = labels.copy()
        labels[0, 3:7] = -1
        return [data, labels]

    monkeypatch.setattr(ImageProvider, "load", without)
    definition = place.root / "missing.cfg"
    text = place.definition.read_text()
    for inputs in ("labels, probs", "labels, fc", "labels, cosines"):
        text = text.replace(f"inputs = {inputs}\n", f"inputs = {inputs}\nmissing = 1\n")
    definition.write_text(text)
    assert place.train("missing", layer_def=definition, epochs=1) == 0
    printed = capsys.readouterr().out
    assert printed.count(", (labels) 7 of 11") == 3 * 4
    assert place.resume("missing", epochs=2) == 0
    costs, cases = place.checkpoint("missing").state.train_outputs[-1]
    assert (len(costs["logprob"]), costs["logprob"][-1], cases) == (4, 7, 11)
