"""Every layer type and neuron: its gradient in float64, and the CPU backend against the reference.

One net for each, of awkward sizes: rectangular images of odd sides, channels and images that are
no multiples of anything. A type or neuron without an example here fails.
"""

from __future__ import annotations

import numpy as np
import pytest

from convnet.layer_types.base import CHECK
from convnet.layer_types.registry import LAYER_TYPES
from convnet.neurons import NEURON_TYPES
from convnet.ops.cpu import CpuOps
from convnet.plan import Clock
from tests.helpers import (
    BELOW,
    CLASSES,
    DATA,
    MASKED,
    SHAPES,
    assert_gradients,
    between,
    layer,
    make_batch,
    make_net,
)
from tests.ops.neuron_examples import NEURONS, POSITIVE

CASES = 3
# Images, labels, a matrix of labels, a number per image.
MATRICES = (*SHAPES, (CLASSES, 1, 1), (1, 1, 1))
TARGETS, WEIGHT = layer("targets", "data", dataIdx=2), layer("weight", "data", dataIdx=3)

FILTERS = {"channels": 4, "filters": 6, "filterSize": 3, "padding": 1, "stride": 2, "initW": 0.3}
FC = {"outputs": 5, "initW": 0.3}
SQUARE = layer("square", "crop", "below", channels=4, startX=0, sizeX=5)
COLOURS = layer("rgb", "conv", "below", channels=4, filters=3, filterSize=2, initW=0.3,
                neuron="logistic")  # fmt: skip
SCORES = layer("scores", "fc", "below", outputs=CLASSES, initW=0.1)
PROBS = SCORES + layer("probs", "softmax", "scores")
CODES = "".join(
    layer(name, "fc", "below", outputs=5, initW=0.1, neuron="logistic") for name in "abc"
)

# What comes between `below` (4x5x7) and a classifier on `top`.
LAYERS = {
    "conv": layer("top", "conv", "below", groups=2, **FILTERS),
    "local": layer("top", "local", "below", groups=2, **FILTERS),
    "cccp": layer("top", "cccp", "below", channels=2, in_nodes=2, out_nodes=3, initW=0.3),
    "fc": layer("top", "fc", "below,data", **FC),
    "sfc": layer("top", "sfc", "below", parts=4, **FC),
    "fcdropo": layer("top", "fcdropo", "below", rate=0.4, **FC),
    "fcdrop": layer("top", "fcdrop", "below", rate=0.4, **FC),
    "fcdropc": layer("top", "fcdropc", "below", rate=0.4, **FC),
    "fcdropcf": layer("top", "fcdropcf", "below", rate=0.4, **FC),
    "pool": layer("top", "pool", "below", pool="max", channels=4, sizeX=3, stride=2, start=-1),
    "pool, l2": layer("mid", "pool", "below", pool="l2", channels=4, sizeX=3, stride=2)
    + layer("top", "pool", "mid", pool="l2", channels=4, sizeX=0, stride=1),
    "cmpool": layer("top", "cmpool", "below", pool="max", channels=4, size=2, stride=2, outputs=2),
    "rnorm": layer("top", "rnorm", "below", channels=4, size=3),
    "cnorm": layer("top", "cnorm", "below", channels=4, size=3),
    "cmrnorm": layer("top", "cmrnorm", "below", channels=4, size=3),
    "batchnorm": layer("mid", "neuron", "below", neuron="softrelu")
    + layer("top", "batchnorm", "mid"),
    "l2norm": layer("top", "l2norm", "below"),
    "cosfc": layer("top", "cosfc", "below", **FC),
    "prelu": layer("top", "prelu", "below"),
    "stopgrad": layer("stop", "stopgrad", "data") + layer("top", "concat", "below,stop"),
    "nailbed": layer("top", "nailbed", "below", channels=4, stride=2),
    "blur": layer("top", "blur", "below", channels=4, filterSize=3, stdev=1),
    "resize": layer("top", "resize", "below", channels=4, scale=1.3),
    "crop": layer("top", "crop", "below", channels=4, startX=1, sizeX=3),
    "href": layer("top", "href", "below", channels=4),
    "rscale": SQUARE + layer("top", "rscale", "square", channels=4, maxScale=1.5, tgtSize=4),
    "rgb2yuv": COLOURS + layer("top", "rgb2yuv", "rgb"),
    "rgb2lab": COLOURS + layer("top", "rgb2lab", "rgb"),
    "neuron": layer("top", "neuron", "below", neuron="tanh[1.7,0.66]"),
    "eltsum": layer("top", "eltsum", "below,below", coeffs="0.5,-2"),
    "eltmax": layer("mid", "neuron", "below", neuron="square")
    + layer("top", "eltmax", "below,mid"),
    "concat": layer("top", "concat", "below,data"),
    "union": layer("top", "union", "below,data"),
    "pass": layer("top", "pass", "below,data"),
    "dropout": layer("top", "dropout", "below"),
    "dropout2": layer("top", "dropout2", "below"),
    "softmax": layer("top", "softmax", "below"),
}
# Whole nets.
COSTS = {
    "cost.logreg": DATA + BELOW + PROBS + layer("cost", "cost.logreg", "labels,probs"),
    "cost.sum2": layer("data", "data", dataIdx=0) + BELOW + layer("cost", "cost.sum2", "below"),
    "cost.crossent": layer("data", "data", dataIdx=0) + TARGETS + BELOW + PROBS
    + layer("cost", "cost.crossent", "targets,probs"),
    "cost.ce": layer("data", "data", dataIdx=0) + TARGETS + BELOW + PROBS
    + layer("cost", "cost.ce", "targets,probs"),
    "cost.bce": layer("data", "data", dataIdx=0) + TARGETS + BELOW
    + SCORES + "neuron=logistic\n" + layer("cost", "cost.bce", "targets,scores"),
    "cost.dce": layer("data", "data", dataIdx=0) + TARGETS + BELOW
    + SCORES + "neuron=logistic\n" + layer("cost", "cost.dce", "targets,scores"),
    "cost.hingeloss": DATA + BELOW + SCORES + layer("cost", "cost.hingeloss", "labels,scores"),
    "cost.gsinlabel": DATA + BELOW + layer("cost", "cost.gsinlabel", "labels,below", channels=4),
    "cost.locrank": layer("data", "data", dataIdx=0) + WEIGHT + BELOW + CODES
    + layer("cost", "cost.locrank", "a,b,c,weight"),
    "cost.triplet": DATA + BELOW + layer("units", "l2norm", "below")
    + layer("cost", "cost.triplet", "labels,units"),
    "cost.center": DATA + BELOW
    + layer("cost", "cost.center", "labels,below", classes=CLASSES),
    "cost.contrastive": DATA + BELOW + layer("units", "l2norm", "below")
    + layer("cost", "cost.contrastive", "labels,units"),
    "cost.margin": DATA + BELOW + layer("scores", "cosfc", "below", outputs=CLASSES, initW=0.1)
    + layer("cost", "cost.margin", "labels,scores"),
}  # fmt: skip
NETS = {kind: between(layers) for kind, layers in LAYERS.items()} | COSTS
# So that neurons of positive numbers get some.
NEURON_NETS = {
    str(neuron): between(
        layer("mid", "fc", "below", outputs=7, initW=0.3,
              **{"neuron": "square"} if neuron.kind in POSITIVE else {})
        + layer("top", "neuron", "mid", neuron=neuron)
    )
    for neuron in NEURONS
}  # fmt: skip


def batch() -> list[np.ndarray]:
    images, labels, _, _ = make_batch(MATRICES, CASES)
    labels[:] = 1, 1, 2  # two images of one class, one of another
    rng = np.random.default_rng(5)
    targets = (rng.random((CLASSES, CASES)) < 0.5).astype(np.float32)
    return [images, labels, targets, rng.random((1, CASES)).astype(np.float32)]


def test_nothing_is_left_out() -> None:
    assert {*(name.partition(",")[0] for name in NETS), "data"} == LAYER_TYPES.keys()
    assert {neuron.partition("[")[0] for neuron in NEURON_NETS} == NEURON_TYPES.keys()


@pytest.mark.parametrize("text", [*NETS.values(), *NEURON_NETS.values()], ids=[*NETS, *NEURON_NETS])
def test_gradient_and_cpu(text: str) -> None:
    reference = make_net(text, shapes=MATRICES, batch_size=CASES)
    assert_gradients(reference, batch())
    cpu = make_net(text, shapes=MATRICES, batch_size=CASES, ops=CpuOps())
    names = [name for name, layer in reference.graph.items() if layer.has_output]
    for net in (reference, cpu):
        net.keep(*names, *net.parameters)
    # The gradient check has left large weights behind, in float64.
    for name in reference.parameters:
        cpu.set_weights(name, reference.get_weights(name))
        reference.set_weights(name, cpu.get_weights(name).astype(np.float64))
    for mode in (CHECK, MASKED):
        costs = [net.forward(batch(), mode, Clock(seed=2, minibatch=3)) for net in (reference, cpu)]
        for name, values in costs[0].items():
            np.testing.assert_allclose(costs[1][name], values, rtol=2e-5, err_msg=name)
        for net in (reference, cpu):
            net.backward()
        for name in names:
            assert_close(cpu.activity(name), reference.activity(name), name)
        for name in reference.parameters:
            assert_close(cpu.gradient(name), reference.gradient(name), name)


def assert_close(got: np.ndarray, expected: np.ndarray, name: str) -> None:
    """Within the rounding of float32 sums."""
    atol = 5e-5 * max(1e-3, float(np.abs(expected).max()))
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol, err_msg=name)
