"""Small nets for the tests: layer files as texts, parameters filled in, seeded batches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from convnet.api import DataShapes, read_graph
from convnet.config.reader import Source
from convnet.graph import Graph
from convnet.net import Matrices, Net
from convnet.ops.base import Ops
from convnet.ops.reference import ReferenceOps
from convnet.train.gradcheck import check_gradients

IMAGES = (2, 5, 5)
LABEL = (1, 1, 1)
SHAPES = (IMAGES, LABEL)

DATA = """
[data]
type=data
dataIdx=0
[labels]
type=data
dataIdx=1
"""

# Above it all layers learn, whatever is under test: 3 classes from the layer `top`.
CLASSIFIER = """
[scores]
type=fc
inputs=top
outputs=3
initW=0.5
[probs]
type=softmax
inputs=scores
[cost]
type=cost.logreg
inputs=labels,probs
"""

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
) -> Net:
    """A net of a definition text, on the reference backend in float64 if no other is given."""
    graph = make_graph(definition, extra, shapes)
    ops = ops or ReferenceOps(np.float64)
    return Net(graph, ops, batch_size=batch_size, seed=seed, keep=keep)


def make_batch(
    shapes: DataShapes = SHAPES, cases: int = 4, classes: int = 3, seed: int = 0
) -> list[np.ndarray]:
    """Normal numbers for each matrix of the data, whole numbers below `classes` for the labels.

    Labels are the matrices of one number per image.
    """
    rng = np.random.default_rng(seed)

    def matrix(shape: Sequence[int]) -> np.ndarray:
        size = int(np.prod(shape))
        if size == 1:
            return rng.integers(0, classes, (1, cases)).astype(np.float32)
        return rng.standard_normal((size, cases), np.float32)

    return [matrix(shape) for shape in shapes]


def assert_gradients(net: Net, matrices: Matrices, *, names: Iterable[str] | None = None) -> None:
    """Asserts that all matrices (or those of `names`) have a gradient, and the right one."""
    results = {result.name: result for result in check_gradients(net, matrices)}
    assert results.keys() == set(net.parameters if names is None else names)
    for result in results.values():
        assert result.passed, f"{result.name}: error {result.error:.2e}, worst {result.worst}"
        assert result.numeric > 0, f"{result.name} does not influence the cost: nothing is tested"
