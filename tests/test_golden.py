"""Ten training steps with literal losses: any change of the arithmetic shows here.

The losses are those of the reference backend in float64, whose gradients are checked elsewhere.
They change with the initial weights and the dropout masks, that is, with the random numbers of
numpy's Philox generator and of our own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from convnet.layer_types.base import TRAIN
from convnet.net import Net
from convnet.ops.base import Ops
from convnet.ops.cpu import CpuOps
from convnet.ops.reference import ReferenceOps
from convnet.plan import Clock
from tests.helpers import CLASSIFIER, DATA, emulated_ops, layer, make_batch, make_net

SHAPES = ((3, 9, 9), (1, 1, 1))
STEPS = 10
BATCH_SIZE = 8

DEFINITION = (
    DATA
    + layer("conv", "conv", "data", channels=3, filters=8, filterSize=5, padding=2, initW=0.1,
            neuron="relu")
    + layer("pool", "pool", "conv", channels=8, pool="max", sizeX=3, stride=2)
    + layer("rnorm", "rnorm", "pool", channels=8, size=3)
    + layer("local", "local", "rnorm", channels=8, filters=6, filterSize=3, initW=0.1,
            neuron="tanh[1.5,0.5]")
    + layer("fc", "fc", "local", outputs=10, initW=0.2, neuron="relu")
    + layer("top", "dropout", "fc")
    + CLASSIFIER
)  # fmt: skip
PARAMETERS = "[scores]\nepsW=exp[base=0.5;tgtFactor=4]\n[rnorm]\nscale=0.5\n[top]\nkeep=0.75\n"

# Per step: -log p(label) and wrong answers, summed over the images (the last minibatch has 5).
GOLDEN = [
    [8.90167664329, 6],
    [8.75564748391, 5],
    [8.76704111415, 4],
    [8.28712876671, 3],
    [8.66985986634, 5],
    [7.96858302599, 3],
    [8.38069984603, 5],
    [7.80901431811, 3],
    [7.81499441194, 4],
    [4.43487003192, 1],
]


def train(ops: Ops) -> tuple[Net, list[list[float]]]:
    """The trained net and the costs of its steps."""
    net = make_net(
        DEFINITION, PARAMETERS, shapes=SHAPES, ops=ops, batch_size=BATCH_SIZE, keep=["top"]
    )
    costs = []
    for step in range(STEPS):
        cases = 5 if step == STEPS - 1 else BATCH_SIZE
        batch = [matrix[:, :cases] for matrix in make_batch(SHAPES, BATCH_SIZE)]
        clock = Clock(seed=1, epoch=1, batch=2, minibatch=step, progress=step / STEPS)
        costs.append(list(net.train_step(batch, clock)["cost"][:2]))
    return net, costs


@pytest.mark.parametrize(
    ("make_ops", "tolerance"),
    [
        (lambda: ReferenceOps(np.float64), 1e-9),
        # float32 has 7 digits; ten steps let rounding grow.
        (lambda: ReferenceOps(np.float32), 1e-5),
        (CpuOps, 1e-5),
        (emulated_ops, 1e-5),
    ],
    ids=["reference-float64", "reference-float32", "cpu", "emulated"],
)
def test_ten_steps(make_ops: Callable[[], Ops], tolerance: float) -> None:
    _, costs = train(make_ops())
    np.testing.assert_allclose(costs, GOLDEN, rtol=tolerance)


@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 2e-4), ("bf16", 4e-3)])
def test_ten_steps_on_tensor_cores(precision: str, tolerance: float) -> None:
    """Five to six times the difference that there is, which is that of the factors' rounding."""
    _, costs = train(emulated_ops(precision))
    np.testing.assert_allclose(np.array(costs)[:, 0], np.array(GOLDEN)[:, 0], rtol=tolerance)


@pytest.mark.parametrize("make_ops", [CpuOps, emulated_ops, lambda: emulated_ops("tf32")])
def test_a_run_repeats_bit_for_bit(make_ops: Callable[[], Ops]) -> None:
    (one, costs), (two, again) = train(make_ops()), train(make_ops())
    assert costs == again
    for name, values in one.state().items():
        np.testing.assert_array_equal(values, two.state()[name])


def test_replayed_steps_have_the_same_bits() -> None:
    """On the device, as if its calls were made one by one."""
    ops = emulated_ops()
    ops.capture = lambda run: None
    (replayed, costs), (called, again) = train(emulated_ops()), train(ops)
    assert costs == again
    for name, values in called.state().items():
        np.testing.assert_array_equal(replayed.state()[name], values)


def test_backends_drop_the_same() -> None:
    masks = []
    for ops in (ReferenceOps(np.float64), CpuOps(), emulated_ops()):
        definition = DEFINITION.replace("neuron=relu", "neuron=logistic")  # no other zeros
        net = make_net(definition, PARAMETERS, shapes=SHAPES, ops=ops, batch_size=9, keep=["top"])
        clock = Clock(seed=2**40 + 7, epoch=3, batch=5, minibatch=11)
        net.forward(make_batch(SHAPES, 9), TRAIN, clock)
        masks.append(net.activity("top") == 0)
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])
    assert 0.1 < masks[0].mean() < 0.4
