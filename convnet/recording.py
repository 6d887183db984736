"""Records the passes of a net as programs: forward, backward, update.

In a net whose layers have different numbers of replicas (see convnet.replicas) training goes
through the levels: the layers with most replicas run forward on the whole minibatch; then for
each part of it those with fewer run forward and backward, and learn; then the first run backward.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from convnet.errors import ConfigError
from convnet.graph import Graph, consumers
from convnet.layer_types.base import Backward, Grad, Layer, Mode, Parameter
from convnet.layer_types.cost import CostLayer, LogregCost, SoftmaxLayer
from convnet.layer_types.data import DataLayer
from convnet.layer_types.elementwise import NeuronLayer
from convnet.layer_types.weights import WeightLayer
from convnet.plan import WHOLE, Buffer, Part, Recorder, for_each_run, for_each_size, new_buffer
from convnet.program import Program, compile_program
from convnet.replicas import Rhythm, levels, rhythm_of
from convnet.updates import NO_MORE, Updates


@dataclass
class Recording:
    """A program with the buffers of the layers that it computes.

    Where a layer works on the minibatch part by part, it has one buffer for each.

    Attributes:
        outputs: of each layer, by name.
        gradients: of the outputs and of the matrices, by name, where there are any.
        values: of the costs, by name.
        learning: the parameters that learn, in the order in which their gradients are complete.
        squares: where updates wait for all gradients (convnet.updates): their sums of squares, in
            the order of `learning`, and, where they are checked, those of the weights.
    """

    program: Program
    outputs: dict[str, list[Buffer]]
    gradients: dict[str, list[Buffer]]
    values: dict[str, list[Buffer]]
    learning: list[Parameter]
    squares: Buffer | None


@dataclass
class _Scope:
    """What a level knows while it works on one part of the minibatch.

    Attributes:
        outputs, gradients: of the level's layers, and of what they use of the level below.
        again: outputs that were computed once more for the backward pass.
        begun: parameters whose gradient a layer of this run has begun.
    """

    part: Part
    below: _Scope | None = None
    outputs: dict[str, Buffer] = field(default_factory=dict)
    gradients: dict[str, Buffer] = field(default_factory=dict)
    again: dict[str, Buffer] = field(default_factory=dict)
    begun: set[Parameter] = field(default_factory=set)


def record(
    graph: Graph,
    mode: Mode,
    batch_size: int,
    keep: Iterable[str] = (),
    conserve: bool = False,
    updates: Updates = NO_MORE,
) -> Recording:
    """The program of one pass: forward, and, as `mode` says, backward and update.

    Args:
        keep: layers whose output and gradient, and matrices whose gradient, can be read
            afterwards. In CHECK mode those of all matrices can, in TEST mode the predictions.
        conserve: outputs of layers without weights are not kept for the backward pass but
            computed again.
        updates: what is asked of gradients before the weights learn.

    Raises:
        ConfigError: there is no parameter file; or updates cannot wait in a net of several levels.
    """
    tape = _Tape(graph, mode, batch_size, conserve, updates)
    tape.run(0, WHOLE, None)
    kept = [
        buffer
        for name, layer in graph.items()
        for buffer in tape.outputs[name]
        if isinstance(layer, DataLayer) or name in keep
    ]
    if not mode.backward:
        costs = [layer for layer in graph.values() if isinstance(layer, LogregCost)]
        kept += [buffer for cost in costs for buffer in tape.outputs[cost.inputs[1].name]]
    kept += [buffer for buffers in tape.values.values() for buffer in buffers]
    matrices = {p.name for p in graph_parameters(graph)}
    readable = {*keep, *matrices} if mode.all_gradients else set(keep)
    for name in tape.gradients.keys() & readable:
        kept += tape.gradients[name]
    kept += [tape.squares] if tape.squares else []
    program = compile_program(tape.recorder.calls, tape.marks, batch_size, kept)
    learning = [parameter for parameter, _, _ in tape.learning]
    return Recording(program, tape.outputs, tape.gradients, tape.values, learning, tape.squares)


class _Tape:
    """Writes down the calls of the layers, level by level."""

    def __init__(
        self, graph: Graph, mode: Mode, batch_size: int, conserve: bool, updates: Updates
    ) -> None:
        self.graph = graph
        self.mode = mode
        self.batch_size = batch_size
        self.conserve = conserve
        self.updates = updates
        self.recorder = Recorder()
        self.ops = self.recorder.as_ops()
        self.marks: dict[str, int] = {}
        self.outputs: dict[str, list[Buffer]] = {}
        self.gradients: dict[str, list[Buffer]] = {}
        self.values: dict[str, list[Buffer]] = {}
        self.learning: list[tuple[Parameter, Rhythm, int]] = []
        self.squares: Buffer | None = None
        # Only learning in between makes a difference to working on the whole minibatch at once.
        self.levels = levels(graph.values()) if mode.update else [list(graph.values())]
        self.counts = [level[-1].replicas for level in self.levels]
        self.backward = _backward_layers(graph, mode)
        self.last_users = _last_users(graph, self.backward, mode)
        self.waits = mode.update and updates.wait
        if self.waits and len(self.levels) > 1:
            raise ConfigError(
                "--clip-norm and --check-finite all need layers that all learn at the same time: "
                "give them equal numbers of devices (gpu)"
            )

    def run(self, level: int, part: Part, below: _Scope | None) -> None:
        """A level on its part of the minibatch, with the levels above it."""
        scope = _Scope(part, below)
        self.recorder.part = part
        for layer in self.levels[level]:
            self._forward(layer, scope)
        if level + 1 < len(self.levels):
            count = self.counts[level + 1]
            for first in range(part.first, part.first + self.counts[level], count):
                self.run(level + 1, Part(first, count, self.counts[0]), scope)
            self.recorder.part = part
        if not below:
            self.marks["backward"] = len(self.recorder.calls)
        for layer in reversed(self.levels[level]):
            if layer.name in self.backward:
                self._backward(layer, scope, run=part.first // self.counts[level])
            if self.mode.update and not self.waits:
                self._update_states(layer)
        if self.waits:
            self._learn()
        if below:
            self._hand_down(scope, below)

    def _forward(self, layer: Layer, scope: _Scope) -> None:
        layer.begin(scope.part)
        x = [self._input(i, scope) for i in layer.inputs]
        self.recorder.layer = layer.name
        y = new_buffer(layer.name, layer.shape.as_tuple(), part=scope.part)
        layer.forward(self.ops, x, y, self.mode)
        scope.outputs[layer.name] = y
        self.outputs.setdefault(layer.name, []).append(y)
        if isinstance(layer, CostLayer):
            self.values.setdefault(layer.name, []).append(layer.values_buffer)

    def _input(self, layer: Layer, scope: _Scope) -> Buffer:
        """The output of a layer; of one below this level, the part that is worked on."""
        if layer.name not in scope.outputs:
            assert scope.below is not None
            source, part = self._input(layer, scope.below), scope.part
            target = new_buffer(f"{layer.name}.part", layer.shape.as_tuple(), part=part)
            first, count = _place(part, scope.below.part)
            self.ops.copy_cases(source, first, target, 0, count)
            scope.outputs[layer.name] = target
        return scope.outputs[layer.name]

    def _hand_down(self, scope: _Scope, below: _Scope) -> None:
        """Puts the gradients of a part's inputs into those of the level below."""
        for name in scope.gradients.keys() & below.outputs.keys():
            if name not in below.gradients:
                self._new_gradient(self.graph[name], below)
            first, count = _place(scope.part, below.part)
            source, target = scope.gradients[name], below.gradients[name]
            self.ops.copy_cases(source, 0, target, first, count)

    def _backward(self, layer: Layer, scope: _Scope, run: int) -> None:
        x = [self._value(i, scope) for i in layer.inputs]
        y = self._value(layer, scope)
        dx = [self._input_gradient(i, scope) for i in layer.inputs]
        dy = scope.gradients.get(layer.name, y)
        rhythms = {p: rhythm_of(self.graph, p, self.updates.accumulate) for p in layer.parameters}

        def adds_to(parameter: Parameter) -> bool:
            if parameter in scope.begun:
                return True
            scope.begun.add(parameter)
            rhythm = rhythms[parameter]
            if not self.mode.update:
                return False
            if not rhythm.carries:
                return not rhythm.begins(0, run)
            return for_each_run(lambda clock: not rhythm.begins(clock.steps, run))

        self.recorder.layer = layer.name
        layer.backward(self.ops, Backward(x, y, dy, dx, adds_to, self.mode))
        for parameter, rhythm in rhythms.items():
            if self.last_users.get(parameter) is layer:
                self.gradients[parameter.name] = [parameter.gradient]
                if self.mode.update:
                    self.learning.append((parameter, rhythm, run))
                    if not self.waits:
                        self._update(parameter, rhythm, run)

    def _input_gradient(self, layer: Layer, scope: _Scope) -> Grad | None:
        if layer.name not in self.backward:
            return None
        add = layer.name in scope.gradients
        if not add:
            self._new_gradient(layer, scope)
        return Grad(scope.gradients[layer.name], add)

    def _new_gradient(self, layer: Layer, scope: _Scope) -> None:
        buffer = new_buffer(f"{layer.name}.grad", layer.shape.as_tuple(), part=scope.part)
        scope.gradients[layer.name] = buffer
        self.gradients.setdefault(layer.name, []).append(buffer)

    def _value(self, layer: Layer, scope: _Scope) -> Buffer:
        """The output of a layer for the backward pass, computed again to save memory."""
        if not self.conserve or _is_anchor(layer) or not self._owns(layer, scope):
            return scope.outputs[layer.name]
        if layer.name not in scope.again:
            x = [self._value(i, scope) for i in layer.inputs]
            layer.begin(scope.part)
            y = new_buffer(f"{layer.name}.again", layer.shape.as_tuple(), part=scope.part)
            with self.recorder.repeating():
                layer.forward(self.ops, x, y, self.mode)
            scope.again[layer.name] = y
        return scope.again[layer.name]

    def _owns(self, layer: Layer, scope: _Scope) -> bool:
        """Whether the layer is of the level that works on `scope`, not of one below."""
        return scope.below is None or layer.name not in scope.below.outputs

    def _learn(self) -> None:
        """All that waits until the gradients are complete."""
        looked_at = [parameter.gradient for parameter, _, _ in self.learning]
        if self.updates.checked:
            looked_at += [parameter.value for parameter, _, _ in self.learning]
        self.squares = new_buffer("squares", (len(looked_at),), per_case=False)
        for i, buffer in enumerate(looked_at):
            self.ops.sum2_cost(buffer, self.squares.rows(i, 1))
        self.marks["update"] = len(self.recorder.calls)
        if self.updates.clip_norm:
            self._clip(self.squares.rows(0, len(self.learning)))
        for parameter, rhythm, run in self.learning:
            self._update(parameter, rhythm, run)
        for layer in reversed(self.graph.values()):
            self._update_states(layer)

    def _clip(self, squares: Buffer) -> None:
        """Scales all gradients down where their norm is too large."""
        if len({rhythm.period for _, rhythm, _ in self.learning}) > 1:
            raise ConfigError(
                "--clip-norm needs layers that all learn at the same time: give them all the same "
                "updatePeriod, or none"
            )
        for parameter, rhythm, run in self.learning:
            first = len(self.recorder.calls)
            cases = rhythm.cases(parameter, self.batch_size)
            self.recorder.layer = parameter.layer
            self.ops.clip_norm(parameter.gradient, squares, self.updates.clip_norm * cases)
            self._only_when_due(first, rhythm, run)

    def _only_when_due(self, first: int, rhythm: Rhythm, run: int) -> None:
        """The calls from number `first` on are run only where a sum of gradients is complete."""
        if rhythm.carries:
            for call in self.recorder.calls[first:]:
                call.due = lambda clock: rhythm.is_due(clock.steps, run)

    def _update_states(self, layer: Layer) -> None:
        self.recorder.layer = layer.name
        layer.update_states(self.ops, self.mode)

    def _update(self, parameter: Parameter, rhythm: Rhythm, run: int) -> None:
        if not rhythm.carries and not rhythm.is_due(0, run):
            return
        rate = parameter.rate
        if rate is None:
            raise ConfigError("the net was read without a layer parameter file, so it cannot learn")
        first = len(self.recorder.calls)
        self.recorder.layer = parameter.layer
        self.ops.sgd(
            parameter.value,
            parameter.increment,
            parameter.gradient,
            parameter.momentum,
            for_each_run(lambda clock: rate(clock.progress) * clock.rates),
            parameter.decay,
            rhythm.cases(parameter, self.batch_size),
        )
        for bound in parameter.bounds:
            self.ops.bound_columns(parameter.value, *bound)
        self._only_when_due(first, rhythm, run)


def carried_parameters(graph: Graph, accumulate: int) -> list[Parameter]:
    """Those whose gradients are summed over several minibatches, so must be remembered."""
    return [p for p in graph_parameters(graph) if rhythm_of(graph, p, accumulate).carries]


def graph_parameters(graph: Graph) -> list[Parameter]:
    """All matrices that are learned, each once."""
    return [p for layer in graph.values() for p in layer.own_parameters]


def _backward_layers(graph: Graph, mode: Mode) -> set[str]:
    """The layers that have a backward pass.

    Something at or below them learns, and a cost that counts depends on them.
    """
    if not mode.backward:
        return set()
    learning: set[str] = set()
    for name, layer in graph.items():
        learns = any(p.is_trained(mode) for p in layer.parameters)
        passes = layer.passes_gradient and any(i.name in learning for i in layer.inputs)
        if learns or passes:
            learning.add(name)
    found: set[str] = set()
    for name, layer in reversed(graph.items()):
        begins = isinstance(layer, CostLayer) and layer.coeff != 0
        if name in learning and (begins or any(c.name in found for c in consumers(graph, layer))):
            found.add(name)
    return found


def _last_users(graph: Graph, backward: set[str], mode: Mode) -> dict[Parameter, Layer]:
    """The layer whose backward pass completes the gradient of each parameter."""
    users = [layer for layer in reversed(graph.values()) if layer.name in backward]
    return {p: layer for layer in users for p in layer.parameters if p.is_trained(mode)}


def _is_anchor(layer: Layer) -> bool:
    """Whether its output stays from the forward to the backward pass in any case.

    Those of data, weights and predictions, and of a neuron that its layer computes in the same
    call.
    """
    if isinstance(layer, NeuronLayer) and layer.neuron.from_output:
        return isinstance(layer.inputs[0], WeightLayer)
    return isinstance(layer, (DataLayer, WeightLayer, SoftmaxLayer, CostLayer))


def _place(part: Part, inside: Part) -> tuple[int, int]:
    """Where a part begins in another, and its number of images."""
    return (
        for_each_size(lambda cases: part.span(cases)[0] - inside.span(cases)[0]),
        for_each_size(part.cases),
    )
