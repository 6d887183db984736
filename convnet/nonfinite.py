"""Where a NaN or infinity began."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convnet.graph import Graph
from convnet.layer_types.base import Parameter
from convnet.layer_types.cost import CostLayer
from convnet.layer_types.data import DataLayer
from convnet.ops.base import Ops
from convnet.ops.spec.images import Source
from convnet.plan import Buffer, Clock
from convnet.recording import Recording
from convnet.runner import Runner

REMEDY = "lower the learning rates (epsW, epsB) or initW and go on from the last checkpoint"


def explain_squares(learning: Sequence[Parameter], squares: np.ndarray) -> str | None:
    """Names the first layer whose weights or gradients hold a NaN or infinity, or are beyond 1e19.

    Weights first, since they make gradients bad; then gradients in the order in which they are
    computed, from the costs downwards.

    Args:
        squares: sums of squares of the parameters' gradients, then of their values.
    """
    gradients, values = np.split(np.isfinite(squares), 2)
    for what, finite in (("", values), ("the gradient of ", gradients)):
        for parameter, good in zip(learning, finite, strict=True):
            if not good:
                return (
                    f"Layer '{parameter.layer}': {what}{parameter.name} holds a NaN or infinity; "
                    f"{REMEDY}"
                )
    return None


def explain(
    graph: Graph,
    ops: Ops,
    recording: Recording,
    data: Sequence[tuple[Buffer, Source]],
    cases: int,
    clock: Clock,
) -> str:
    """Names the first layer, from the data upwards, that holds a NaN or infinity.

    Args:
        recording: a pass that keeps the outputs of all layers, which is made here.
        data: what goes into it.
    """
    runner = Runner(ops)
    runner.run(recording.program, cases, clock, data, stop="backward")
    for name, layer in graph.items():
        for parameter in layer.parameters:
            if not np.isfinite(ops.download(parameter.value.storage.array)).all():
                return f"Layer '{name}': {parameter.name} holds a NaN or infinity; {REMEDY}"
        buffers = (recording.values if isinstance(layer, CostLayer) else recording.outputs)[name]
        if not all(
            np.isfinite(ops.download(runner.array(recording.program, b, cases))).all()
            for b in buffers
            if b.storage.part.cases(cases)
        ):
            if isinstance(layer, DataLayer):
                return f"Layer '{name}': its data holds a NaN or infinity; mend the data"
            return f"Layer '{name}': its output holds a NaN or infinity; {REMEDY}"
    return "a cost was NaN or infinite, but every layer's output is finite now"
