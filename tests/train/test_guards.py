"""Runs in which a NaN turns up, or whose cost explodes: they stop, leave out or go back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convnet import cli
from convnet.checkpoint import checkpoint_files, load_checkpoint
from convnet.net import Net
from convnet.state import TrainingState
from convnet.train.guards import has_exploded
from data_providers.images import ImageProvider
from tests.train.helpers import PARAMETERS, Workplace, as_arguments, assert_same

TO_TWO = {"on_nan": "rollback", "epochs": 2, "test_freq": 100}
Signals = Callable[..., None]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return Workplace(tmp_path_factory.mktemp("guards"))


def rates(place: Workplace, base: str) -> dict[str, object]:
    """Options for a run with these learning rates."""
    path = place.root / f"rates-{base}.cfg"
    text = PARAMETERS.replace("0.0002", base).replace("epsB = 0.002", "epsB = %(rate)s")
    path.write_text(text)
    return {"layer_params": path, "on_nan": "rollback"}


def state_of(path: Path) -> TrainingState:
    return load_checkpoint(path).state


def events(place: Workplace, run: str, kind: str) -> list[dict[str, object]]:
    lines = (place.root / run / "log.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == kind]


# --- going back ---------------------------------------------------------------------------------


def test_a_run_with_rates_too_high_finds_lower_ones(
    place: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.train("high", **rates(place, "1")) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line.startswith("Went back")] == [
        f"Went back to epoch 0, batch 0; learning rates are {factor} of the parameter file's now"
        for factor in (0.1, 0.01, 0.001)
    ]
    assert any(line.startswith("warning: batch 1.1, minibatch 1: Layer") for line in printed)
    state = place.checkpoint("high").state
    assert state.rates == pytest.approx(0.001)
    assert (state.failures, len(state.train_outputs)) == (0, 12)
    assert len(events(place, "high", "back")) == 3
    # It is the run that began with these rates.
    assert place.train("low", **rates(place, "0.001")) == 0
    low, high = (place.checkpoint(run).weights for run in ("low", "high"))
    for name, values in low.items():
        np.testing.assert_allclose(high[name], values, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("step", [1, 6])
def test_a_run_that_went_back_and_was_stopped(
    place: Workplace, step: int, signals_at: Signals
) -> None:
    signals_at(step)
    run = f"stopped{step}"
    assert place.train(run, **rates(place, "1")) == 0
    assert place.checkpoint(run).state.failures == (0 if step == 1 else 2)
    # It goes back to where nothing was wrong yet, not to where it was stopped.
    assert place.resume(run) == 0
    if not (place.root / "high").exists():
        assert place.train("high", **rates(place, "1")) == 0
    assert_same(place.checkpoint(run), place.checkpoint("high"))


def test_a_run_that_went_back_with_all_options(place: Workplace, signals_at: Signals) -> None:
    """Costs that are remembered, sums of gradients and warm-up begin where it goes back to."""
    options = rates(place, "3") | {"accumulate": 2, "warm_up": 9, "check_finite": "all"}
    options |= {"lr_patience": 8, "lr_min": 1e-9, "epochs": 6, "clip_norm": 1e6}
    assert place.train("all", **options) == 0
    assert len(events(place, "all", "back")) == 3
    assert events(place, "all", "rates")
    for step in (3, 30):
        signals_at(step)
        assert place.train(f"all{step}", **options) == 0
        assert place.resume(f"all{step}") == 0
        assert_same(place.checkpoint(f"all{step}"), place.checkpoint("all"))


def test_a_run_gives_up(place: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.train("hopeless", **rates(place, "1e6")) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: batch 1.1, minibatch 1: Layer ")
    assert error.endswith("; going back with lower rates 3 times in a row did not help\n")


def test_it_goes_back_to_the_last_test(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count, train_step = 0, Net.train_step

    def spoiling(self: Net, *args: object) -> object:
        nonlocal count
        count += 1
        if count == 22:  # batch 2.4
            self.set_weights("fc.biases", self.get_weights("fc.biases") * np.float32(np.inf))
        return train_step(self, *args)

    monkeypatch.setattr(Net, "train_step", spoiling)
    assert place.train("once", on_nan="rollback") == 0
    assert (
        "Went back to epoch 2, batch 1; learning rates are 0.1 of the param"
        in capsys.readouterr().out
    )
    state = place.checkpoint("once").state
    assert (state.epoch, state.batch, state.steps) == (3, 4, 36)
    assert state.rates == 0.1


def test_it_does_not_go_back_to_what_is_not_of_this_training(
    place: Workplace, signals_at: Signals
) -> None:
    assert place.train("other", epochs=1, on_nan="rollback") == 0
    path = place.root / "other" / "rollback.safetensors"
    assert load_checkpoint(path).state.epoch == 1
    signals_at(2)
    assert place.train("other-begin", epochs=1) == 0
    begin = place.root / "other-begin" / "1.1.safetensors"
    # A run that goes on from an earlier place.
    assert cli.main(as_arguments({"load_file": begin, "save_file": path.parent, **TO_TWO})) == 0
    assert [state.epoch for state in map(state_of, (path, path.parent))] == [2, 2]
    # One that shall not go back any more.
    assert place.resume("other", on_nan="stop", epochs=3) == 0
    assert not path.exists()


def exploding(length: int = 40) -> list[float]:
    rng = np.random.default_rng(0)
    return (1 + 0.01 * np.arange(length) + 0.05 * rng.standard_normal(length)).tolist()


def test_what_explodes() -> None:
    rng = np.random.default_rng(1)
    assert has_exploded(exploding())
    assert not has_exploded(exploding()[:29])
    assert not has_exploded(exploding()[::-1])
    assert not any(has_exploded(rng.standard_normal(60).tolist()) for _ in range(1000))
    spikes = exploding()
    spikes[3] = 50.0
    assert has_exploded(spikes)


def test_a_run_whose_cost_explodes_goes_back(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = iter(exploding())
    monkeypatch.setattr(Net, "objective", lambda self, values: next(costs, 1.0))
    long = {"mini": 11, "test_freq": 35, "epochs": 10}
    assert place.train("exploding", on_nan="rollback", **long) == 0
    printed = capsys.readouterr().out
    assert "warning: batch 9.3: the cost has risen since the last test\n" in printed
    assert "Went back to epoch 0, batch 0; " in printed
    assert place.checkpoint("exploding").state.rates == 0.1


# --- leaving out --------------------------------------------------------------------------------


def damage(monkeypatch: pytest.MonkeyPatch, *images: int) -> None:
    """NaNs in these images of batch 2 in epoch 2."""
    load = ImageProvider.load

    def damaged(self: ImageProvider, number: int, epoch: int) -> list[np.ndarray]:
        data, labels = map(np.asarray, load(self, number, epoch))
        if (number, epoch) == (2, 2):
            data[7, list(images)] = np.nan
        return [data, labels]

    monkeypatch.setattr(ImageProvider, "load", damaged)


@pytest.fixture
def skipping(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What a run prints that leaves out the middle minibatch of one batch."""
    damage(monkeypatch, 6)
    assert place.train("skipping", on_nan="skip", test_freq=100) == 0
    return capsys.readouterr().out


def test_a_minibatch_is_left_out(place: Workplace, skipping: str) -> None:
    assert (
        "warning: batch 2.2, minibatch 1: Layer 'data': its data holds a NaN or infinity; mend the "
        "data; this minibatch is left out\n" in skipping
    )
    state = place.checkpoint("skipping").state
    assert [cases for _, cases in state.train_outputs] == [11] * 5 + [7] + [11] * 6
    assert (state.steps, state.failures, state.left_out) == (35, 0, 0)
    assert len(events(place, "skipping", "skip")) == 1


def test_a_run_that_was_stopped_after_leaving_out(
    place: Workplace, skipping: str, signals_at: Signals
) -> None:
    signals_at(3 * 5 + 3)
    assert place.train("stopped", on_nan="skip", test_freq=100) == 0
    assert place.resume("stopped") == 0
    assert_same(place.checkpoint("stopped"), place.checkpoint("skipping"))


def test_gradients_that_are_summed_up_when_a_minibatch_is_left_out(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, signals_at: Signals
) -> None:
    """The next minibatch takes its place in the sum; a resumed run does the same."""
    damage(monkeypatch, 6)
    options = {"on_nan": "skip", "accumulate": 5, "test_freq": 100}
    assert place.train("summed", **options) == 0
    assert place.checkpoint("summed").state.steps == 35
    signals_at(3 * 5 + 3)
    assert place.train("summed-stopped", **options) == 0
    assert place.resume("summed-stopped") == 0
    assert_same(place.checkpoint("summed-stopped"), place.checkpoint("summed"))


def test_a_batch_without_good_minibatches(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(monkeypatch, 1, 6, 9)
    assert place.train("nothing-left", on_nan="skip") == 1
    assert capsys.readouterr().err == "error: batch 2.2: all of it was left out\n"


def test_too_many_are_left_out(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(monkeypatch, 0, 3, 6, 9)
    assert place.train("too-many", on_nan="skip", mini=3) == 1
    assert capsys.readouterr().err.endswith(
        "; leaving out a minibatch 3 times in a row did not help\n"
    )


def test_gradients_of_a_minibatch_that_is_left_out(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The weight of the cost is not in what is printed, but in the gradients."""
    seen: list[str] = []
    monkeypatch.setattr(
        "convnet.report.text", lambda line="": seen.append(line) if "left out" in line else None
    )
    parameters = tmp_path / "params.cfg"
    parameters.write_text(PARAMETERS.replace("coeff = 1", "coeff = 3e38"))
    assert (
        place.train(
            "gradients", on_nan="skip", check_finite="all", layer_params=parameters, epochs=1
        )
        == 1
    )
    assert seen[0].startswith(
        "warning: batch 1.1, minibatch 0: Layer 'fc': the gradient of fc.weights.0 holds a NaN"
    )
    assert not checkpoint_files(place.root / "gradients")


def test_without_these_options_a_run_remembers_nothing(place: Workplace) -> None:
    assert place.train("plain", epochs=1) == 0
    state, fresh = place.checkpoint("plain").state, TrainingState()
    for name in ("rates", "costs", "since_test", "failures", "left_out"):
        assert getattr(state, name) == getattr(fresh, name), name
