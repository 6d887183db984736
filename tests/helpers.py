"""Small nets for the tests: layer files as texts, parameters filled in, seeded batches."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from convnet.api import DataShapes, make_ops, read_graph
from convnet.config.reader import Source
from convnet.errors import ConfigError
from convnet.graph import Graph
from convnet.layer_types.base import Mode
from convnet.net import Matrices, Net
from convnet.ops.base import Ops
from convnet.ops.cuda.emulated.build import COMPILER
from convnet.ops.reference import ReferenceOps
from convnet.plan import Clock
from convnet.train.gradcheck import check_gradients

SHAPES = ((2, 5, 7), (1, 1, 1))  # of images and labels
CLASSES = 3

# Random layers draw, and all gradients can be read.
MASKED = Mode(train=True, backward=True, all_gradients=True)

# Values for every key that some layer type requires in the parameter file.
PARAMETERS = """
[DEFAULT]
epsW=0.1
epsB=0.2
momW=0.5
momB=0.25
wc=0.01
coeff=1
scale=2
pow=0.75
"""


def layer(name: str, kind: str, inputs: str = "", **keys: Any) -> str:
    """The section of one layer."""
    lines = [f"[{name}]", f"type={kind}"]
    lines += [f"inputs={inputs}"] * bool(inputs)
    return "\n".join([*lines, *(f"{key}={value}" for key, value in keys.items())]) + "\n"


DATA = layer("data", "data", dataIdx=0) + layer("labels", "data", dataIdx=1)
# A layer with weights, so that there are gradients to propagate to it. 4x5x7
BELOW = layer("below", "conv", "data", channels=2, filters=4, filterSize=3, padding=1, initW=0.3)
# Makes a cost of a layer named `top`.
CLASSIFIER = (
    layer("scores", "fc", "top", outputs=CLASSES, initW=0.1)
    + layer("probs", "softmax", "scores")
    + layer("cost", "cost.logreg", "labels,probs")
)


def between(layers: str) -> str:
    """A whole net whose layers under test use `below` and end in `top`."""
    return DATA + BELOW + layers + CLASSIFIER


# Layer types that no version of the original has, and a layer of one.
NEW_TYPES = {
    "batchnorm",
    "prelu",
    "l2norm",
    "cosfc",
    "stopgrad",
    "cost.margin",
    "cost.triplet",
    "cost.center",
    "cost.contrastive",
}
NEW_LAYER = layer("b1", "batchnorm", "c3", neuron="relu")

# All kinds of layers, several users of one output, one input twice, shared weights.
EVERYTHING = between(
    layer("c1", "conv", "below,data", channels="4,2", filters=4, filterSize="3,5",
          padding="1,2", initW=0.2, neuron="relu")
    + layer("n1", "cmrnorm", "c1", channels=4, size=3)
    + layer("p1", "pool", "n1", channels=4, sizeX=3, stride=2, pool="max", neuron="abs")
    + layer("c2", "conv", "p1", channels=4, filters=4, filterSize=3, padding=1, initW=0.2)
    + layer("c3", "conv", "c2", channels=4, filters=4, filterSize=3, padding=1,
            weightSource="c2", neuron="tanh[1.5,0.5]")
    + NEW_LAYER
    + layer("n2", "rnorm", "b1", channels=4, size=2)
    + layer("l1", "local", "n2,p1", channels=4, filters=3, filterSize=2, padding=1, initW=0.2,
            neuron="relu")
    + layer("a1", "pool", "l1", channels=3, sizeX=2, stride=1, pool="avg", start=-1)
    + layer("f1", "fc", "a1,l1", outputs=6, initW=0.3, neuron="square")
    + layer("f2", "fc", "f1", outputs=6, initW=0.3, neuron="logistic")
    + layer("s1", "eltsum", "f1,f2,f2", coeffs="1,-2,0.5")
    + layer("m1", "eltmax", "s1,f2,f1")
    + layer("d1", "dropout", "m1", neuron="softrelu")
    + layer("d2", "dropout2", "f2")
    + layer("i1", "cnorm", "c1", channels=4, size=2)
    + layer("i2", "cmpool", "i1", channels=4, pool="max", size=2, stride=1, outputs=3)
    + layer("i3", "rgb2yuv", "i2")
    + layer("i4", "crop", "i3", channels=3, startX=2, startY=0, sizeX=5, neuron="softrelu")
    + layer("i5", "rscale", "i4", channels=3, maxScale=1.5, tgtSize=4)
    + layer("i6", "blur", "i5", channels=3, filterSize=3, stdev=1.5)
    + layer("top", "concat", "d1,s1,d2,d1,i6")
) + layer("squares", "cost.sum2", "f2")  # fmt: skip


def parameter_file(definition: str, extra: str = "") -> str:
    """PARAMETERS for each layer of `definition`; sections in `extra` add to it or overrule it."""
    names = re.findall(r"^\[(.+)\]$", definition, re.MULTILINE)
    return PARAMETERS + "".join(f"[{name}]\n" for name in names) + extra


def make_graph(definition: str, extra: str = "", shapes: DataShapes = SHAPES) -> Graph:
    """The graph of a definition text; `extra`: see parameter_file."""
    return read_graph(
        Source("net.cfg", definition),
        Source("params.cfg", parameter_file(definition, extra)),
        shapes,
    )


def make_net(
    definition: str,
    extra: str = "",
    *,
    shapes: DataShapes = SHAPES,
    ops: Ops | None = None,
    batch_size: int = 4,
    seed: int = 1,
    keep: Iterable[str] = (),
    **arguments: Any,
) -> Net:
    """A net of a definition text, on the reference backend in float64 if no other is given."""
    graph = make_graph(definition, extra, shapes)
    ops = ops or ReferenceOps(np.float64)
    return Net(graph, ops, batch_size=batch_size, seed=seed, keep=keep, **arguments)


def emulated_ops(precision: str = "fp32") -> Ops:
    """The GPU backend on the emulated device; skips the test where its compiler is missing.

    CONVNET_TEST_BACKEND=cuda runs the same tests on a GPU.
    """
    backend = os.environ.get("CONVNET_TEST_BACKEND", "emulated")
    if backend == "emulated" and not shutil.which(COMPILER):
        pytest.skip(f"the emulated device compiles kernels by {COMPILER}, which is not installed")
    return make_ops(backend, precision)


BACKENDS = ("reference", "cpu", "emulated")


def ops_of(backend: str) -> Ops:
    """The backend of a name; see emulated_ops."""
    return emulated_ops() if backend == "emulated" else make_ops(backend)


def make_batch(shapes: DataShapes = SHAPES, cases: int = 4, seed: int = 0) -> list[np.ndarray]:
    """Normal numbers for each matrix of the data; labels where it has one number per image."""
    rng = np.random.default_rng(seed)

    def matrix(shape: Sequence[int]) -> np.ndarray:
        size = int(np.prod(shape))
        if size == 1:
            return rng.integers(0, CLASSES, (1, cases)).astype(np.float32)
        return rng.standard_normal((size, cases), np.float32)

    return [matrix(shape) for shape in shapes]


def assert_gradients(net: Net, matrices: Matrices | None = None) -> None:
    """Asserts that every matrix of the net has a gradient, and the right one."""
    results = {result.name: result for result in check_gradients(net, matrices or make_batch())}
    assert results.keys() == net.parameters.keys()
    for result in results.values():
        assert result.passed, f"{result.name}: error {result.error:.2e}, worst {result.worst}"
        assert result.numeric > 0, f"{result.name} does not influence the cost: nothing is tested"


def assert_gradients_with_mask(net: Net, clock: Clock) -> None:
    """Asserts the gradients of the training form of a net, at every seventh element."""
    matrices = make_batch()
    net.keep(*net.parameters)
    net.forward(matrices, MASKED, clock)
    net.backward()
    gradients = {name: net.gradient(name) for name in net.parameters}
    h = 1e-6
    for name, gradient in gradients.items():
        original = net.get_weights(name)
        for index in list(np.ndindex(original.shape))[::7]:
            costs = []
            for step in (h, -h):
                changed = original.copy()
                changed[index] += step
                net.set_weights(name, changed)
                costs.append(net.forward(matrices, MASKED, clock)["cost"][0])
            net.set_weights(name, original)
            slope = (costs[0] - costs[1]) / (2 * h)
            assert abs(slope - gradient[index]) < 1e-6 * max(1, abs(slope)), (name, index)


def config_error(definition: str, extra: str = "", shapes: DataShapes = SHAPES) -> str:
    """The message of the ConfigError that the files lead to."""
    with pytest.raises(ConfigError) as caught:
        make_graph(definition, extra, shapes)
    return str(caught.value)


def layer_errors(definition: str, extra: str = "", shapes: DataShapes = SHAPES) -> list[str]:
    """The same, a line per error, without the `net.cfg:7: Layer 'top': ` at its head."""
    lines = config_error(definition, extra, shapes).splitlines()
    heads = [re.match(r"net\.cfg:\d+: Layer '\w+': ", line) for line in lines]
    return [line[head.end() :] if head else line for line, head in zip(lines, heads, strict=True)]
