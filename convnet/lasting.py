"""What lasts of a net from step to step: weights, increments, and states of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from convnet.errors import ShapeError
from convnet.graph import Graph
from convnet.layer_types.base import Parameter
from convnet.ops.base import Ops
from convnet.recording import carried_parameters, graph_parameters
from convnet.runner import in_one_piece


class Lasting:
    """The matrices of a graph, in memory of their own in one piece.

    Attributes:
        parameters: of the graph, by name.
        buffers: weights and increments, the layers' states, and the gradients that go on to be
            summed in the next minibatch.

    Raises:
        ShapeError: the graph's matrices have memory, so it serves another net.
    """

    def __init__(
        self,
        graph: Graph,
        ops: Ops,
        accumulate: int,
        initial: Callable[[Parameter], np.ndarray],
    ) -> None:
        """
        Args:
            accumulate: see convnet.updates.
            initial: the first values of a parameter.
        """
        self._ops = ops
        self.parameters = {p.name: p for p in graph_parameters(graph)}
        states = [state for layer in graph.values() for state in layer.states]
        self._sums = [p.gradient for p in carried_parameters(graph, accumulate)]
        self.buffers = [b for p in self.parameters.values() for b in (p.value, p.increment)]
        self.buffers += [state.value for state in states] + self._sums
        if any(buffer.storage.array is not None for buffer in self.buffers):
            raise ShapeError("this graph serves another net already; build a graph for each")
        arrays = in_one_piece(ops, [buffer.storage.size for buffer in self.buffers])
        for buffer, array in zip(self.buffers, arrays, strict=True):
            ops.upload(np.zeros(array.size, np.float32), array)
            buffer.storage.array = array.reshape(buffer.shape)
        for parameter in self.parameters.values():
            ops.upload(initial(parameter), parameter.value.storage.array)
        for state in states:
            start = np.broadcast_to(np.asarray(state.start, np.float32), state.shape)
            ops.upload(start, state.value.storage.array)

    def read(self) -> dict[str, np.ndarray]:
        """Copies of all matrices by name."""
        return {b.storage.name: self._ops.download(b.storage.array) for b in self.buffers}

    def write(self, state: dict[str, np.ndarray]) -> None:
        """Overwrites all matrices.

        Raises:
            ShapeError: names or shapes are not this net's; nothing is changed then.
        """
        buffers = {b.storage.name: b for b in self.buffers}
        # A change of updatePeriod begins or ends the summing of gradients.
        sums = {p.gradient.storage.name for p in self.parameters.values()}
        begun = {b.storage.name: np.zeros(b.shape, np.float32) for b in self._sums}
        state = begun | {n: v for n, v in state.items() if n in buffers or n not in sums}
        missing, extra = buffers.keys() - state.keys(), state.keys() - buffers.keys()
        if missing or extra:
            parts = [f"without {_few(missing)}"] if missing else []
            parts += [f"with unknown {_few(extra)}"] if extra else []
            raise ShapeError(f"weights do not belong to this net: {', '.join(parts)}")
        for name, buffer in buffers.items():
            if state[name].shape != buffer.shape:
                raise ShapeError(
                    f"weights do not belong to this net: '{name}' has shape "
                    f"{state[name].shape}; expected {buffer.shape}"
                )
        for name, buffer in buffers.items():
            self._ops.upload(state[name], buffer.storage.array)

    def forget_sums(self) -> None:
        """Lets the summing of gradients over minibatches begin with the next one."""
        for buffer in self._sums:
            self._ops.upload(np.zeros(buffer.shape, np.float32), buffer.storage.array)


def _few(names: Iterable[str]) -> str:
    first, *rest = sorted(names)
    return f"'{first}'" + (f" and {len(rest)} more" if rest else "")
