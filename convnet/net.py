"""A net: connected layers with their weights, on a backend.

    net = Net(graph, ops, batch_size=128)
    costs = net.train_step([images, labels], clock)

Passes are recorded as programs (convnet.recording) when first needed and then replayed. The net
does no printing and touches no files.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from convnet import memory
from convnet.errors import BatchError, NonFiniteError, OptionError, ShapeError
from convnet.graph import Graph, feature_layer
from convnet.lasting import Lasting
from convnet.layer_types.base import TEST, TRAIN, Layer, Mode, Parameter
from convnet.layer_types.cost import CostLayer, LogregCost
from convnet.layer_types.data import DataLayer, Matrices
from convnet.nonfinite import explain, explain_squares
from convnet.ops.base import Ops
from convnet.ops.spec.images import ByteImages, Source
from convnet.plan import Buffer, Clock
from convnet.recording import Recording, record
from convnet.runner import Runner, Sizes
from convnet.updates import NO_MORE, Updates

Costs = dict[str, np.ndarray]


@dataclass
class _Pass:
    """The pass whose values are in the arena."""

    recording: Recording
    mode: Mode
    cases: int
    backward_done: bool = False


class Net:
    """Layers, weights and a backend.

    Args:
        graph: the layers, see convnet.graph. They hold the weights: a graph serves one net.
        ops: the backend.
        batch_size: images per minibatch; gradients are divided by it even if the last
            minibatch of a batch is smaller, as in cuda-convnet2.
        seed: of the initial weights and of dropout.
        keep: layers whose output and gradient, and matrices whose gradient, can be read after a
            pass.
        conserve_mem: compute outputs of layers without weights again in the backward pass
            instead of keeping them; the results are the same bits.
        updates: how it learns, beyond what the layers say.
        initial: makes the initial values of a layer's parameter, see convnet.initial; without
            it they are random numbers.

    Raises:
        OptionError: arguments out of range.
        ShapeError: the graph serves another net.
    """

    def __init__(
        self,
        graph: Graph,
        ops: Ops,
        *,
        batch_size: int,
        seed: int = 0,
        keep: Iterable[str] = (),
        conserve_mem: bool = False,
        updates: Updates = NO_MORE,
        initial: Callable[[Layer, Parameter], np.ndarray] | None = None,
    ) -> None:
        if isinstance(keep, str) or not isinstance(batch_size, int) or batch_size < 1 or seed < 0:
            raise OptionError(
                f"expected batch_size a whole number of at least 1, seed at least 0 and keep a "
                f"list of names; found batch_size={batch_size!r}, seed={seed!r}, keep={keep!r}"
            )
        self.graph = graph
        self.batch_size = batch_size
        self.seed = seed
        self.conserve_mem = conserve_mem
        self.updates = updates
        self._runner = Runner(ops)
        self._recordings: dict[Mode, Recording] = {}
        self._steps = 0
        self._last: _Pass | None = None
        self._lasting = Lasting(graph, ops, updates.accumulate, lambda p: self._initial(p, initial))
        self._keep: set[str] = set()
        self.keep(*keep)
        self.data_layers = [x for x in graph.values() if isinstance(x, DataLayer)]
        self.costs = [x for x in graph.values() if isinstance(x, CostLayer)]

    @property
    def ops(self) -> Ops:
        return self._runner.ops

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The matrices that are learned, by name."""
        return self._lasting.parameters

    def _initial(
        self, parameter: Parameter, initial: Callable[[Layer, Parameter], np.ndarray] | None
    ) -> np.ndarray:
        if initial:
            return initial(self.graph[parameter.layer], parameter)
        return parameter.initial(generator(self.seed, parameter.name))

    def keep(self, *names: str) -> None:
        """Makes the output and the gradient of these layers readable after later passes.

        The name of a matrix makes its gradient readable.

        Raises:
            KeyError: no such layer or matrix.
        """
        self._keep |= {
            name if name in self.parameters else feature_layer(self.graph, name).name
            for name in names
        }
        self._recordings.clear()
        self._last = None

    # --- weights ----------------------------------------------------------------------------

    def get_weights(self, name: str) -> np.ndarray:
        """A copy of one matrix: "conv1.weights.0", "conv1.biases".

        Raises:
            KeyError: no such matrix.
        """
        return self.ops.download(self.parameters[name].value.storage.array)

    def set_weights(self, name: str, values: np.ndarray) -> None:
        """Overwrites one matrix.

        Raises:
            KeyError: no such matrix.
            ShapeError: `values` has another shape.
        """
        target = self.parameters[name].value
        if values.shape != target.shape:
            raise ShapeError(f"'{name}' has shape {target.shape}; found {values.shape}")
        self.ops.upload(values, target.storage.array)

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all weights and increments by name: "conv1.weights.0", ".. .inc" etc.

        Also of the layers' states, and of gradients, ".. .grad", that go on to be summed in the
        next minibatch.
        """
        return self._lasting.read()

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Overwrites all weights, increments and states.

        Raises:
            ShapeError: names or shapes are not this net's; nothing is changed then.
        """
        self._lasting.write(state)

    # --- running ----------------------------------------------------------------------------

    def recording(self, mode: Mode) -> Recording:
        """The program of a mode, compiled when first asked for."""
        if mode not in self._recordings:
            self.reserve(mode)
        return self._recordings[mode]

    def reserve(self, *modes: Mode) -> None:
        """Compiles the programs of these modes and takes the memory for them, in one piece.

        Raises:
            DeviceError: the device has not enough; says which batch_size fits.
        """
        new = {mode: self._record(mode, self.batch_size) for mode in modes}
        recordings = self._recordings | new

        def sizes_for(batch_size: int) -> Sizes:
            sizes = Sizes()
            for mode, recording in recordings.items():
                if batch_size != self.batch_size:
                    recording = self._record(mode, batch_size)
                inputs = self._inputs(recording)
                sizes = sizes.joined(self._runner.sizes_for(recording.program, batch_size, inputs))
            return sizes

        memory.check(sizes_for, self.batch_size, self._lasting.buffers, self._runner.free_memory())
        self._runner.reserve(sizes_for(self.batch_size))
        self._recordings = recordings
        self._last = None  # its values may have gone with a smaller arena

    def memory_summary(self) -> str:
        """One line: the memory that has been taken so far, and what is in it."""
        return memory.summary(self._lasting.buffers, self._runner.sizes)

    def _record(self, mode: Mode, batch_size: int) -> Recording:
        return record(self.graph, mode, batch_size, self._keep, self.conserve_mem, self.updates)

    def check_data(self, matrices: Matrices) -> int:
        """Checks a batch against the net and returns its number of images.

        Raises:
            BatchError: wrong number, type or shape of matrices, or labels outside the classes.
        """
        if not isinstance(matrices, (list, tuple)):
            raise BatchError(f"expected a list of matrices; found {type(matrices).__name__}")
        used = []
        for layer in self.data_layers:
            if layer.index >= len(matrices):
                raise BatchError(
                    f"layer '{layer.name}' wants matrix {layer.index}; "
                    f"the batch has {len(matrices)} matrices"
                )
            matrix = matrices[layer.index]
            if not isinstance(matrix, (np.ndarray, ByteImages)):
                raise BatchError(
                    f"matrix {layer.index} must be a numpy array or ByteImages; "
                    f"found {type(matrix).__name__}"
                )
            if matrix.dtype != np.float32 or matrix.ndim != 2:
                raise BatchError(
                    f"matrix {layer.index} must be float32 (numbers, images); "
                    f"found {matrix.dtype} {matrix.shape}"
                )
            if matrix.shape[0] != layer.matrix_rows:
                raise BatchError(
                    f"matrix {layer.index} must have {layer.matrix_rows} numbers per image for "
                    f"layer '{layer.name}'; found {matrix.shape[0]}"
                )
            used.append(matrix)
        counts = [matrix.shape[1] for matrix in used]
        if len(set(counts)) != 1 or not counts[0]:
            raise BatchError(
                f"matrices must have the same number of images, at least 1; found "
                f"{', '.join(map(str, counts))}"
            )
        for cost in self.costs:
            cost.check_data(matrices)
        return int(counts[0])

    def forward(self, matrices: Matrices, mode: Mode = TEST, clock: Clock | None = None) -> Costs:
        """One forward pass over a minibatch.

        Args:
            matrices: the data, float32 (numbers per image, images), by dataIdx; at most
                batch_size images.

        Returns:
            The values of each cost layer, summed over the images, in float64. Those of children
            are not added to their parents'.

        Raises:
            BatchError: see check_data; or too many images.
        """
        cases = self.check_data(matrices)
        if cases > self.batch_size:
            raise BatchError(
                f"a minibatch holds at most batch_size={self.batch_size} images; found {cases}"
            )
        recording = self.recording(mode)
        clock = clock or Clock(self.seed)
        self._last = _Pass(recording, mode, cases)
        data = self._data(recording, matrices)
        self._runner.run(recording.program, cases, clock, data, stop="backward")
        return {
            cost.name: cost.reported(self._sum(recording, cost.name, cases), matrices)
            for cost in self.costs
        }

    def _sum(self, recording: Recording, cost: str, cases: int) -> np.ndarray:
        """The computed values of a cost, summed over the parts of the minibatch."""
        return sum(
            (
                self.ops.download(self._runner.array(recording.program, values, cases))
                for values in recording.values[cost]
                if values.storage.part.cases(cases)
            ),
            start=np.zeros(()),
        )

    def objective(self, costs: Costs) -> float:
        """What is minimised, of the values of the costs."""
        return sum(float(layer.coeff * costs[layer.name][0]) for layer in self.costs)

    def finite_costs(
        self, matrices: Matrices, mode: Mode = TEST, clock: Clock | None = None
    ) -> Costs:
        """As forward.

        Raises:
            BatchError: as forward.
            NonFiniteError: a cost is NaN or infinite; names the first layer that is.
        """
        costs = self.forward(matrices, mode, clock)
        if not all(np.isfinite(values).all() for values in costs.values()):
            raise NonFiniteError(self.explain_non_finite(matrices, mode, clock))
        return costs

    def cost_values(self, cost: LogregCost, matrices: Matrices, probs: np.ndarray) -> np.ndarray:
        """The values of a cost for given predictions, (classes, .., images), float64."""
        labels = cost.labels.read(matrices)
        arrays = []
        for host in (labels, probs.reshape(-1, probs.shape[-1])):
            array = self.ops.empty(host.size).reshape(host.shape)
            self.ops.upload(host, array)
            arrays.append(array)
        values = self.ops.empty(cost.computed)
        self.ops.logreg_cost(arrays[0], arrays[1], cost.top, values)
        return cost.reported(self.ops.download(values).astype(np.float64), matrices)

    def backward(self) -> None:
        """Gradients (and, in TRAIN mode, the update) for the minibatch of the last forward.

        Raises:
            ShapeError: there was none in a mode with gradients, or it has had its backward pass.
            NonFiniteError: with `updates.checked`, a gradient or weight is NaN or infinite; the
                weights are left as they were, and gradients that were summed up are forgotten.
        """
        last = self._last
        if last is None or not last.mode.backward or last.backward_done:
            raise ShapeError("backward must follow a forward pass in TRAIN or CHECK mode")
        last.backward_done = True
        recording = last.recording
        if recording.squares is None or not self.updates.checked:
            self._runner.go_on(recording.program, last.cases, "backward")
            return
        self._runner.go_on(recording.program, last.cases, "backward", "update")
        array = self._runner.array(recording.program, recording.squares, last.cases)
        if problem := explain_squares(recording.learning, self.ops.download(array)):
            self._lasting.forget_sums()
            raise NonFiniteError(problem)
        self._runner.go_on(recording.program, last.cases, "update")

    def train_step(self, matrices: Matrices, clock: Clock | None = None) -> Costs:
        """Forward, backward and update for one minibatch.

        Args:
            clock: what learning rates and dropout depend on. Without one, dropout differs from
                call to call, and learning rates stay where their schedules begin.

        Raises:
            NonFiniteError: a cost is NaN or infinite; the weights are left as they were. Also as
                in `backward`.
        """
        self._steps += 1
        clock = clock or Clock(self.seed, minibatch=self._steps, steps=self._steps - 1)
        costs = self.finite_costs(matrices, TRAIN, clock)
        self.backward()
        return costs

    def time_calls(self, matrices: Matrices, mode: Mode) -> list[float]:
        """The seconds of each call of the mode's program, in a step on a minibatch.

        Raises:
            BatchError: see check_data.
        """
        cases = self.check_data(matrices)
        recording = self.recording(mode)
        data, self._last = self._data(recording, matrices), None
        self._steps += 1
        clock = Clock(self.seed, minibatch=self._steps, steps=self._steps - 1)
        return self._runner.time_calls(recording.program, cases, clock, data)

    def _inputs(self, recording: Recording) -> list[Buffer]:
        """Where the data layers' matrices go."""
        return [recording.outputs[layer.name][0].reshape(-1) for layer in self.data_layers]

    def _data(self, recording: Recording, matrices: Matrices) -> list[tuple[Buffer, Source]]:
        sources = (layer.source(matrices) for layer in self.data_layers)
        return list(zip(self._inputs(recording), sources, strict=True))

    # --- reading ----------------------------------------------------------------------------

    def activity(self, name: str) -> np.ndarray:
        """Output of a kept layer in the last pass, (channels, height, width, images).

        The name of a layer with a neuron stands for the values after the neuron (see
        convnet.graph.feature_layer).

        Raises:
            KeyError: no such layer.
            ShapeError: the layer is not kept, or nothing has run yet.
        """
        source = feature_layer(self.graph, name).name
        if self._last is None:
            raise ShapeError(f"'{name}' has no values yet: run a pass first")
        return self._read(name, self._last, self._last.recording.outputs[source])

    def gradient(self, name: str) -> np.ndarray:
        """dE/d(output) of a kept layer, or dE/d(matrix) of "<layer>.weights.0", last pass.

        Raises:
            KeyError: no such layer or matrix.
            ShapeError: it is not kept, or the last pass had no gradient of it.
        """
        source = name if name in self.parameters else feature_layer(self.graph, name).name
        if self._last is None or not self.has_gradient(source):
            raise ShapeError(f"the last pass computed no gradient of '{name}'")
        return self._read(name, self._last, self._last.recording.gradients[source])

    def has_gradient(self, name: str) -> bool:
        """Whether the last pass computed the gradient of this matrix or output."""
        last = self._last
        return last is not None and last.backward_done and name in last.recording.gradients

    def _read(self, name: str, last: _Pass, buffers: list[Buffer]) -> np.ndarray:
        program = last.recording.program
        if buffers[0].storage not in program.kept:
            raise ShapeError(f"'{name}' is not kept: name it in `keep` when building the net")
        parts = [self.ops.download(self._runner.array(program, b, last.cases)) for b in buffers]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)

    def explain_non_finite(self, matrices: Matrices, mode: Mode, clock: Clock | None = None) -> str:
        """Names the first layer, from the data upwards, that holds a NaN or infinity."""
        every = record(self.graph, mode, self.batch_size, self.graph)
        data, cases = self._data(every, matrices), self.check_data(matrices)
        return explain(self.graph, self.ops, every, data, cases, clock or Clock(self.seed))


def generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers for one matrix, independent of which other layers the net has."""
    sequence = np.random.SeedSequence([seed, zlib.crc32(name.encode())])
    return np.random.Generator(np.random.Philox(sequence))
