"""Shipped nets on the emulated device learn as on the CPU.

Costs agree in all steps, weights and increments after the first. Later, rounding has put a few
numbers on the other side of a kink of relu or max, on any two backends. Winograd's method, which
rounds more coarsely, does so in the first step: of the 42,127 gradients below the first pool of
cifar10-80sec two come to another pixel. So the CPU computes these by the plain formula.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convnet.api import new_net, read_graph
from convnet.ops.base import Ops
from convnet.ops.cpu import CpuOps, winograd
from convnet.plan import Clock
from tests.helpers import emulated_ops

LAYERS = Path(__file__).parents[1] / "layers"
STEPS, BATCH_SIZE, LAST = 10, 8, 4
CLASSES = 10


def costs_and_state(
    name: str, shape: tuple[int, int, int], ops: Ops
) -> tuple[list[list[float]], dict[str, np.ndarray]]:
    """The costs of ten steps on random images, the last with fewer; the state after the first."""
    files = (LAYERS / f"{kind}-{name}.cfg" for kind in ("layers", "layer-params"))
    graph = read_graph(*files, [shape, (1, 1, 1)])
    net = new_net(graph, ops, batch_size=BATCH_SIZE, seed=1)
    rng = np.random.default_rng(2)
    images = rng.standard_normal((int(np.prod(shape)), BATCH_SIZE), np.float32)
    labels = rng.integers(0, CLASSES, (1, BATCH_SIZE)).astype(np.float32)
    costs, state = [], {}
    for step in range(STEPS):
        cases = LAST if step == STEPS - 1 else BATCH_SIZE
        clock = Clock(seed=1, epoch=1, batch=1, minibatch=step, progress=step / STEPS)
        values = net.train_step([images[:, :cases], labels[:, :cases]], clock)
        costs.append([float(v) for cost in values.values() for v in cost])
        state = state or net.state()
    return costs, state


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mnist-quick", (1, 28, 28)),
        pytest.param("cifar10-18pct", (3, 32, 32), marks=pytest.mark.slow),
        pytest.param("cifar10-80sec", (3, 32, 32), marks=pytest.mark.slow),
        pytest.param("cifar10-13pct", (3, 24, 24), marks=pytest.mark.slow),
        pytest.param("cifar10-11pct", (3, 24, 24), marks=pytest.mark.slow),
    ],
)
def test_ten_steps(name: str, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    costs, state = costs_and_state(name, shape, emulated_ops())
    by_winograd, _ = costs_and_state(name, shape, CpuOps())
    monkeypatch.setattr(winograd, "is_faster", lambda g: False)
    plain, expected_state = costs_and_state(name, shape, CpuOps())
    np.testing.assert_allclose(costs, by_winograd, rtol=1e-5)
    np.testing.assert_allclose(costs, plain, rtol=1e-5)
    for key, values in expected_state.items():
        error = np.abs(state[key] - values).max()
        assert error <= 1e-5 * np.abs(values).max(), key
