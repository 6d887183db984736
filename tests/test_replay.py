"""On the device steps are replayed: the same bits as calls that are made one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from convnet.errors import DeviceError, NonFiniteError
from convnet.layer_types.base import TRAIN
from convnet.net import Net
from convnet.ops.base import Ops
from convnet.ops.cuda.device_ops import CudaDeviceOps
from convnet.ops.cuda.emulated.streams import Streams
from convnet.plan import Clock
from convnet.runner import _Binding
from convnet.updates import Updates
from tests.helpers import CLASSIFIER, DATA, emulated_ops, layer, make_batch, make_net

SHAPES = ((3, 6, 6), (1, 1, 1))
BATCH_SIZE, LAST = 6, 5

# All that changes from step to step: keys of random numbers in four operations, a random cut, a
# learning rate, gradients that are summed over minibatches.
DEFINITION = (
    DATA
    + layer("scaled", "rscale", "data", channels=3, maxScale=1.5, tgtSize=5)
    + layer("fc", "fc", "scaled", outputs=9, initW=0.2,
            neuron="softlif[0.063,0.002,0.05,0.825,0.5,2]")
    + layer("drop", "dropout", "fc")
    + layer("top", "fcdropc", "drop", outputs=8, initW=0.2, rate=0.5)
    + CLASSIFIER
)  # fmt: skip
PARAMETERS = "[scores]\nepsW=exp[base=0.5;tgtFactor=4]\n[drop]\nkeep=0.75\n[fc]\nupdatePeriod=3\n"


def new_net(ops: Ops, **arguments: object) -> Net:
    return make_net(
        DEFINITION, PARAMETERS, shapes=SHAPES, ops=ops, batch_size=BATCH_SIZE, **arguments
    )


def without_replays() -> Ops:
    ops = emulated_ops()
    ops.capture = lambda run: None
    return ops


def steps(net: Net, first: int = 0, count: int = 12) -> list[list[float]]:
    """Costs of training steps, with a smaller minibatch and a test after every third."""
    costs = []
    for step in range(first, first + count):
        cases = LAST if step % 3 == 2 else BATCH_SIZE
        batch = [m[:, :cases] for m in make_batch(SHAPES, BATCH_SIZE, seed=step)]
        clock = Clock(3, 1 + step // 6, step // 3, step % 3, step / 12, step, 1 - step / 24)
        costs.append(list(net.train_step(batch, clock)["cost"]))
        if cases == LAST:
            costs.append(list(net.forward(batch)["cost"]))
    return costs


def assert_same(one: Net, two: Net) -> None:
    for name, values in two.state().items():
        np.testing.assert_array_equal(one.state()[name], values, name)


def test_replayed_steps_have_the_same_bits() -> None:
    replayed, called = new_net(emulated_ops()), new_net(without_replays())
    assert steps(replayed) == steps(called)
    assert_same(replayed, called)


def test_replays_of_steps_that_wait_and_add_up() -> None:
    """Gradients of two minibatches are summed up, looked at and clipped."""
    updates = Updates(checked=True, clip_norm=0.01, accumulate=2)
    nets = [
        make_net(
            DEFINITION,
            PARAMETERS.replace("updatePeriod=3", "updatePeriod=0"),
            shapes=SHAPES,
            ops=ops,
            batch_size=BATCH_SIZE,
            updates=updates,
        )
        for ops in (emulated_ops(), without_replays())
    ]
    assert steps(nets[0], count=6) == steps(nets[1], count=6)
    assert_same(*nets)


def test_a_resumed_run_has_the_same_bits() -> None:
    """Its graphs are captured in other steps."""
    whole, first, second = (new_net(emulated_ops()) for _ in range(3))
    expected = steps(whole)
    costs = steps(first, count=6)
    second.load_state(first.state())
    assert costs + steps(second, 6, 6) == expected
    assert_same(second, whole)


def test_steps_are_captured_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each pattern of calls that are due; here fc learns in every third step."""
    events = []
    original = Streams.capture

    def capture(streams: Streams, run: Callable[[], None]) -> Callable[[], None]:
        replay = original(streams, run)
        events.append("capture")

        def logged() -> None:
            events.append("replay")
            replay()

        return logged

    monkeypatch.setattr(Streams, "capture", capture)
    net = new_net(emulated_ops())
    batch = make_batch(SHAPES, BATCH_SIZE)
    found = []
    for step in range(9):
        events.clear()
        net.train_step(batch, Clock(steps=step))
        found.append(" ".join(events))
    # Forward and backward. fc begins a sum of gradients, goes on with it, or does so and learns.
    assert found == [""] * 3 + ["capture replay capture replay"] * 3 + ["replay replay"] * 3


def test_memory_that_moves_takes_the_replays_with_it() -> None:
    replayed, called = new_net(emulated_ops()), new_net(without_replays())
    costs = []
    for net in (replayed, called):
        first = steps(net, count=6)
        net.keep("fc", "drop")  # needs a larger arena
        costs.append(first + steps(net, 6, 6))
    assert costs[0] == costs[1]
    assert_same(replayed, called)


# --- mistakes that would be wrong on a GPU ---------------------------------------------------


def test_a_value_that_stays_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be frozen; kernels read it from memory, which cannot be taken in a capture."""
    monkeypatch.setattr(CudaDeviceOps, "packed", lambda self, value: None)
    monkeypatch.setattr(_Binding, "pattern", ())
    with pytest.raises(DeviceError, match="empty, while kernels are captured"):
        steps(new_net(emulated_ops()))


def test_values_that_do_not_follow_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = steps(new_net(emulated_ops()), count=3)
    begin = _Binding.begin
    monkeypatch.setattr(_Binding, "begin", lambda self, clock: begin(self, Clock()))
    assert steps(new_net(emulated_ops()), count=3) != expected


def test_kernels_that_do_not_wait_for_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Streams, "wait", lambda self, event: None)
    with pytest.raises(NonFiniteError, match="Layer 'data': its data holds a NaN"):
        steps(new_net(emulated_ops()))


def test_memory_that_moves_below_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    net = new_net(emulated_ops())
    batch = make_batch(SHAPES, BATCH_SIZE)
    for step in range(2):
        net.forward(batch, TRAIN, Clock(minibatch=step))
    program = net.recording(TRAIN).program
    (binding,) = net._runner._bound[program].values()
    net.keep("fc", "drop")
    net.forward(batch, TRAIN)
    (replay,) = (replay for replay in binding.replays.values() if replay)
    del binding.calls[:]
    binding.values.clear()
    with pytest.raises(DeviceError, match="was captured with an array that was freed since"):
        replay()
