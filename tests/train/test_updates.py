"""Options of how a net learns: warm-up, clipped gradients, sums over several minibatches."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from convnet.net import Net
from convnet.ops.cuda import cupy_driver
from convnet.ops.cuda.emulated.driver import EmulatedDriver
from convnet.plan import Clock
from tests.helpers import emulated_ops
from tests.train.helpers import Workplace, assert_same

ALL = {"warm_up": 20, "clip_norm": 0.5, "accumulate": 4, "check_finite": "all"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("updates"))
    assert place.train("whole", **ALL) == 0
    return place


@pytest.mark.parametrize("step", [5, 8, 19])
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    place: Workplace, step: int, signals_at: Callable[..., None]
) -> None:
    signals_at(step)
    assert place.train(f"stopped{step}", **ALL) == 0
    summed = place.checkpoint(f"stopped{step}").weights["fc.weights.0.grad"]
    assert summed.any()
    assert place.resume(f"stopped{step}") == 0
    assert_same(place.checkpoint(f"stopped{step}"), place.checkpoint("whole"))


def test_the_device_learns_as_the_cpu_does(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulated_ops()  # or skips
    options = {**ALL, "epochs": 2, "lr_patience": 7, "lr_min": 1e-6, "freeze": "data"}
    assert place.train("cpu", **options) == 0
    monkeypatch.setattr(cupy_driver, "CupyDriver", lambda device: EmulatedDriver())
    assert place.train("gpu", **options, gpu="0") == 0
    cpu, gpu = (place.checkpoint(run) for run in ("cpu", "gpu"))
    assert cpu.state.rates == gpu.state.rates < 1
    for name, values in cpu.weights.items():
        assert gpu.weights[name] == pytest.approx(values, rel=0, abs=1e-5), name


def test_rates_grow_in_the_first_minibatches(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates, train_step = [], Net.train_step

    def noting(self: Net, matrices: object, clock: Clock) -> object:
        rates.append(clock.rates)
        return train_step(self, matrices, clock)

    monkeypatch.setattr(Net, "train_step", noting)
    assert place.train("warm", warm_up=5) == 0
    assert rates == [0.2, 0.4, 0.6, 0.8] + [1.0] * 32


def test_small_minibatches_that_are_summed_up(place: Workplace) -> None:
    """Without random layers and with whole minibatches: the weights of large ones."""
    definition = place.root / "plain.cfg"
    text = place.definition.read_text().replace("[drop]\ntype = dropout", "[drop]\ntype = pass")
    definition.write_text(text)
    parameters = place.root / "plain-params.cfg"
    parameters.write_text(place.parameters.read_text().replace("[drop]\nkeep = 0.7\n\n", ""))
    files = {"layer_def": definition, "layer_params": parameters, "epochs": 1}
    assert place.train("large", mini=12, **files) == 0
    assert place.train("small", mini=4, accumulate=3, **files) == 0
    large, small = (place.checkpoint(run).weights for run in ("large", "small"))
    assert {name for name in small if name not in large} == {
        f"{name}.grad" for name in large if f"{name}.inc" in large
    }
    for name, values in large.items():
        assert small[name] == pytest.approx(values, rel=0, abs=1e-6), name
