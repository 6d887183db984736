"""Costs that compare images, in whole runs: stopped and resumed, tested, with memory saved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

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
