"""Learning rates that drop when the cost has stopped falling."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from convnet.layer_types.base import TRAIN
from convnet.net import Net
from convnet.options import Options
from convnet.plan import Clock
from convnet.state import TrainingState
from convnet.train.decay import chance_of_fall, has_stalled, note_cost
from tests.helpers import BACKENDS, CLASSIFIER, DATA, SHAPES, layer, make_batch, make_net, ops_of
from tests.train.helpers import Workplace, assert_same

DECAY = {"lr_patience": 6, "lr_shrink": 0.25, "lr_min": 0.01, "epochs": 20}


def series(kind: str, length: int = 300) -> list[float]:
    rng = np.random.default_rng(2)
    t, noise = np.arange(length), 0.1 * rng.standard_normal(length)
    return {
        "flat": 1 + noise,
        "falling": 3 - 0.01 * t + noise,
        "rising": 1 + 0.01 * t + noise,
        "falling at first": np.maximum(2 - 0.02 * t, 0) + noise,
        "with a spike at the start": 1 + noise + 30 * (t == 3),
        "steps": (t // 50).astype(float),
    }[kind].tolist()


KINDS = ("flat", "falling", "rising", "falling at first", "with a spike at the start", "steps")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [4, 7, 300])
def test_the_slope_is_that_of_least_squares(kind: str, length: int) -> None:
    y = series(kind, length)
    if np.ptp(y) == 0:
        assert chance_of_fall(y) == 0.5
        return
    t = np.column_stack([np.ones(length), np.arange(length)])
    inverse = np.linalg.inv(t.T @ t)
    line = inverse @ t.T @ y
    rest = y - t @ line
    deviation = np.sqrt(rest @ rest / (length - 2) * inverse[1, 1])
    # Phi by integrating the density.
    x = np.linspace(-12, min(12, max(-12, -line[1] / deviation)), 200_001)
    expected = np.trapezoid(np.exp(-(x**2) / 2), x) / np.sqrt(2 * np.pi)
    assert chance_of_fall(y) == pytest.approx(expected, abs=1e-8)


def test_costs_without_noise() -> None:
    assert chance_of_fall([2, 1]) == 1
    assert chance_of_fall([4, 3, 2, 1]) == 1
    assert chance_of_fall([1, 2, 3, 4]) == 0
    assert chance_of_fall([7, 7, 7]) == 0.5


def test_one_high_cost_decides_nothing() -> None:
    """A line through a spike at the start falls, one through the others does not."""
    spike = series("with a spike at the start")
    assert chance_of_fall(spike) > 0.51
    assert not has_stalled(spike)
    assert has_stalled(series("rising"))
    assert not has_stalled(series("falling"))


@pytest.mark.parametrize("kind", KINDS)
def test_against_dlib(kind: str) -> None:
    dlib = pytest.importorskip("dlib", reason="dlib-bin is not installed")
    for length in (5, 50, 299, 300):
        y = series(kind, length)
        counts = (
            dlib.count_steps_without_decrease(y, 0.51),
            dlib.count_steps_without_decrease_robust(y, 0.51, 0.1),
        )
        assert has_stalled(y) == (counts == (length, length))
        assert chance_of_fall(y) == pytest.approx(
            1 - dlib.probability_that_sequence_is_increasing(y), abs=1e-4
        )


def test_rates_drop_again_only_after_new_costs() -> None:
    state, options = TrainingState(), Options(lr_patience=1000, lr_shrink=0.5)
    drops = [step for step in range(3000) if note_cost(state, options, step)]
    # 500 costs are forgotten each time, 400 and a tenth of 1000.
    assert drops == [999 + 500 * i for i in range(5)]
    assert state.rates == 0.5**5
    assert state.costs == list(range(2500, 3000))


def test_without_the_option_nothing_is_remembered() -> None:
    state = TrainingState()
    assert not any(note_cost(state, Options(), 1.0) for _ in range(10))
    assert state == TrainingState()


@pytest.mark.parametrize("backend", BACKENDS)
def test_rates_scale_the_steps(backend: str) -> None:
    ops = ops_of(backend)
    definition = DATA + layer("top", "fc", "data", outputs=4, initW=0.1) + CLASSIFIER
    net = make_net(definition, "[top]\nmomW=0\nwc=0.01\n", ops=ops, batch_size=5)
    batch, steps = make_batch(SHAPES, 5, seed=1), []
    before = net.state()
    for rates in (1.0, 0.25, 0.0, 0.25):  # a device captures the second and replays the others
        net.load_state(before)
        net.train_step(batch, Clock(rates=rates))
        steps.append(net.get_weights("top.weights.0") - before["top.weights.0"])
    assert np.abs(steps[0]).max() > 0
    np.testing.assert_allclose(steps[1], steps[0] / 4, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(steps[3], steps[1])
    assert not steps[2].any()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("decay"))
    # No net learns from this, so costs do not fall.
    place.parameters.write_text(place.parameters.read_text().replace("0.0002", "1e-7"))
    assert place.train("whole", **DECAY) == 0
    return place


def test_a_run_ends_when_its_rates_are_too_low(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    state = place.checkpoint("whole").state
    assert state.rates == 0.25**4 < 0.01
    assert state.minibatch == 0
    assert state.test_times[-1] == len(state.train_outputs) < 80
    log = (place.root / "whole" / "log.jsonl").read_text().splitlines()
    events = [event for line in log if (event := json.loads(line))["event"] == "rates"]
    assert [event["rates"] for event in events] == [0.25, 0.25**2, 0.25**3, 0.25**4]
    capsys.readouterr()
    assert place.train("printed", **DECAY) == 0
    printed = capsys.readouterr().out.splitlines()
    dropped = [line for line in printed if "; learning rates are" in line]
    assert dropped[0].endswith(
        "minibatch 2: the cost has not fallen for 6 minibatches; learning rates are 0.25 of the "
        "parameter file's now"
    )
    too_low = "learning rates are 0.00390625 of the parameter file's, below --lr-min"
    assert printed[-1] == f"The training ends here: {too_low}"
    assert place.resume("printed") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"Nothing to do: {too_low}; lower it to go on"
    assert place.resume("printed", lr_min=0.0001) == 0
    assert place.checkpoint("printed").state.rates < 0.0001


@pytest.mark.parametrize("step", [4, 7, 20])
def test_a_run_that_was_stopped_drops_its_rates_in_the_same_places(
    place: Workplace, step: int, signals_at: Callable[..., None]
) -> None:
    signals_at(step)
    assert place.train(f"stopped{step}", **DECAY) == 0
    assert place.checkpoint(f"stopped{step}").state.costs
    assert place.resume(f"stopped{step}") == 0
    assert_same(place.checkpoint(f"stopped{step}"), place.checkpoint("whole"))


def test_a_new_parameter_file_has_its_own_rates(
    place: Workplace, signals_at: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    signals_at(8, 9)
    assert place.train("changed", **DECAY) == 0
    assert place.checkpoint("changed").state.rates == 0.25
    other = place.root / "other.cfg"
    other.write_text(place.parameters.read_text().replace("1e-7", "1e-8"))
    assert place.resume("changed", layer_params=other) == 0
    assert "warning: the parameter file has changed: learning rates are its own again" in (
        capsys.readouterr().out
    )
    state = place.checkpoint("changed").state
    assert (state.rates, len(state.costs)) == (1, 1)


def test_the_objective_weighs_the_costs() -> None:
    definition = DATA + layer("top", "fc", "data", outputs=4, initW=0.1) + CLASSIFIER
    definition += layer("size", "cost.sum2", "top")
    net: Net = make_net(definition, "[cost]\ncoeff=3\n[size]\ncoeff=0.5\n", batch_size=5)
    costs = net.forward(make_batch(SHAPES, 5, seed=1), TRAIN)
    assert net.objective(costs) == 3 * costs["cost"][0] + 0.5 * costs["size"][0]
