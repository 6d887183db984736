"""What every layer is: keys of the layer files, an output shape, forward and backward."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from convnet.config.keys import Devices, Key, NeuronKind
from convnet.config.layers import LayerSpec
from convnet.config.schedules import Const, Schedule
from convnet.errors import ShapeError
from convnet.geometry import Shape
from convnet.ops.base import Ops, RandomKey
from convnet.plan import WHOLE, Buffer, Clock, Part, new_buffer

# Keys that every layer with inputs may have; costs have no neuron.
NEURON_KEY = Key(
    "neuron",
    NeuronKind(),
    "activation function, added as a layer of its own named <layer>_neuron",
    default=None,
)
GPU_KEY = Key(
    "gpu",
    Devices(),
    "devices that the layer had in cuda-convnet2, its replicas; those of the first input if absent",
    default=(),
)


@dataclass(frozen=True)
class Mode:
    """What a pass over the net is for.

    Attributes:
        train: whether random layers (dropout) are active.
        backward: whether gradients are computed.
        all_gradients: also of matrices whose learning rate is zero, and all can be read.
        update: whether the weights learn.
    """

    train: bool = False
    backward: bool = False
    all_gradients: bool = False
    update: bool = False


TRAIN = Mode(train=True, backward=True, update=True)
TEST = Mode()
CHECK = Mode(backward=True, all_gradients=True)


class Grad(NamedTuple):
    """Where a layer puts the gradient of one of its inputs, and whether it adds to it."""

    buffer: Buffer
    add: bool


@dataclass
class Backward:
    """What a layer's backward pass works with.

    Attributes:
        x, y: the inputs' outputs and the layer's own.
        dy: the gradient of y.
        dx: where the gradients of the inputs go; None where one is not wanted.
        adds_to: whether to add to the gradient of a parameter, rather than to begin it; to be
            asked once for each use of the parameter, in order.
        mode: what the pass is for.
    """

    x: Sequence[Buffer]
    y: Buffer
    dy: Buffer
    dx: Sequence[Grad | None]
    adds_to: Callable[[Parameter], bool]
    mode: Mode

    @property
    def grad(self) -> Grad:
        """Where the gradient of the only input goes."""
        (grad,) = self.dx
        assert grad is not None, "a layer's backward is only called if a gradient is wanted"
        return grad


class Parameter:
    """A matrix that is learned: weights of one input, or the biases.

    Attributes:
        layer: name of the layer that owns it.
        name: "<layer>.weights.<input>" or "<layer>.biases".
        shape: rows and columns, as in cuda-convnet's checkpoints.
        fan_in: inputs of one unit, for weights; 0 for biases.
        is_bias: whether it holds biases.
        rate: learning-rate schedule, or None if no parameter file was given.
        period: passes between two updates, see convnet.replicas.
        bounds: (modules, low, high, centred) of Ops.bound_columns, applied after each update.
        function: text of initWFunc or initBFunc; see convnet.initial.
        initial: returns the initial values, float32 of `shape`, given a random generator.
        value, increment, gradient: their buffers; the net gives the first two their arrays.
    """

    def __init__(
        self,
        layer: str,
        label: str,
        shape: tuple[int, int],
        *,
        fan_in: int = 0,
        init_scale: float = 0.0,
        init_value: float = 0.0,
        rate: Schedule | None,
        momentum: float,
        decay: float = 0.0,
        period: int = 0,
        bounds: Sequence[tuple[int, float, float, bool]] = (),
        function: str = "",
    ) -> None:
        self.layer = layer
        self.is_bias = label == "biases"
        self.name = name = f"{layer}.{label}"
        self.shape = shape
        self.fan_in = fan_in
        self.init_scale = init_scale
        self.init_value = init_value
        self.rate = rate
        self.momentum = momentum
        self.decay = decay
        self.period = period
        self.bounds = bounds
        self.function = function
        self.value = new_buffer(name, shape, per_case=False)
        self.increment = new_buffer(f"{name}.inc", shape, per_case=False)
        self.gradient = new_buffer(f"{name}.grad", shape, per_case=False)

    def initial(self, generator: np.random.Generator) -> np.ndarray:
        """init_value plus init_scale times standard normal numbers, float32 of `shape`."""
        if not self.init_scale:
            return np.full(self.shape, self.init_value, np.float32)
        # In place: with large matrices a start spends most of its time on fresh memory.
        values = generator.standard_normal(self.shape, np.float32)
        values *= self.init_scale
        values += self.init_value
        return values

    def is_trained(self, mode: Mode) -> bool:
        """Whether this pass computes its gradient: not if its base rate is zero (frozen)."""
        return mode.all_gradients or self.rate is None or self.rate.base > 0


class State:
    """A matrix that lasts from step to step and is saved with the weights, but is not learned.

    Such as running statistics: the layer changes it by operations of its own, in `update_states`.

    Attributes:
        name: "<layer>.<label>".
        shape: of the matrix.
        start: what all its numbers begin with, or an array that broadcasts to the shape.
        value: its buffer; the net gives it its array.
    """

    def __init__(
        self, layer: str, label: str, shape: tuple[int, int], start: np.ndarray | float = 0.0
    ) -> None:
        self.name = f"{layer}.{label}"
        self.shape = shape
        self.start = start
        self.value = new_buffer(self.name, shape, per_case=False)


class Layer(ABC):
    """One section of the layer-definition file, with its shape worked out.

    A subclass declares `keys`, sets `self.shape` in its constructor and writes `forward` and
    `backward` as calls of operations. Both are called once per program, with buffers in place
    of arrays (see convnet.plan), so they must not depend on values, only on shapes and mode.

    Attributes:
        name, inputs, where: of the section; `where` is "file:line".
        values: the typed values of its keys.
        shape: what it puts out per image.
        keep_rate: the share of its outputs that stay while training, see DROPOUT_KEY; the graph
            puts a layer after it that drops the others.
        warnings: what may be a mistake in its section.
        replicas: number of its devices, see convnet.replicas.
        part: the part of a minibatch that is being recorded.
    """

    type_name: ClassVar[str]
    title: str  # as in "Initialized <title> 'conv1'"
    keys: ClassVar[tuple[Key, ...]] = ()
    min_inputs: ClassVar[int] = 1
    max_inputs: ClassVar[int | None] = 1
    needs_parameters: ClassVar[bool] = False  # a section in the parameter file
    has_output: ClassVar[bool] = True
    passes_gradient: ClassVar[bool] = True  # to its inputs

    shape: Shape

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        self.name = spec.name
        self.where = spec.where
        self.values: dict[str, Any] = spec.values
        self.inputs = tuple(inputs)
        self.keep_rate: float = 1 - spec.values.get("dropout", 0.0)
        self.warnings: list[str] = []
        self.replicas = 1
        self.begin(WHOLE)

    def begin(self, part: Part) -> None:
        """Called before `forward` is recorded: what follows works on `part` of a minibatch."""
        self.part = part
        self.temporaries: dict[str, Buffer] = {}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The matrices that this layer uses, shared ones included, once for each use."""
        return ()

    @property
    def own_parameters(self) -> tuple[Parameter, ...]:
        """The matrices that belong to this layer, each once."""
        return tuple(dict.fromkeys(p for p in self.parameters if p.layer == self.name))

    @property
    def states(self) -> tuple[State, ...]:
        """What the layer remembers besides its parameters."""
        return ()

    @property
    def multiply_adds(self) -> int:
        """Of the forward pass, per image."""
        return 0

    @property
    def has_own_features(self) -> bool:
        """Whether features of this layer are its own output, even with a neuron after it.

        As in cuda-convnet, where a neuron overwrites the output of the layer below it unless
        that layer's backward pass reads it; see convnet.graph.feature_layer.
        """
        return False

    @abstractmethod
    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        """Computes the output `y` (shape + N) from the inputs' outputs `x`."""

    def backward(self, ops: Ops, b: Backward) -> None:
        """Computes the gradients of the inputs and of the parameters."""
        raise NotImplementedError(f"layer type {self.type_name} has no backward pass")

    def update_states(self, ops: Ops, mode: Mode) -> None:  # noqa: B027 - most have none
        """Changes `states` by what a minibatch has shown; called last in a pass that learns.

        So a pass that is stopped before its backward pass, since a cost is not finite, leaves no
        trace, and outputs that are computed again for the backward pass count once.
        """

    def temporary(self, name: str, shape: Sequence[int], *, per_case: bool = True) -> Buffer:
        """Memory (per image) that forward leaves for backward, besides x and y."""
        if name not in self.temporaries:
            self.temporaries[name] = new_buffer(
                f"{self.name}.{name}", shape, per_case=per_case, part=self.part
            )
        return self.temporaries[name]

    def random_key(self, label: str = "") -> Callable[[Clock], RandomKey]:
        """What the layer's random numbers depend on: its name, and where the training is.

        For the part of a minibatch that is being recorded. A layer that draws for several
        purposes gives each a label.
        """
        part, stream = self.part, zlib.crc32(f"{self.name}{label}".encode())

        def at(clock: Clock) -> RandomKey:
            minibatch = clock.minibatch * part.of + part.first
            return RandomKey(clock.seed, stream, clock.epoch, clock.batch, minibatch)

        return at

    def freeze(self) -> None:
        """From now on nothing that the layer uses learns."""
        for parameter in self.parameters:
            parameter.rate = Const(0.0)

    def images_shape(self, channels: int, index: int = 0) -> Shape:
        """Input `index` taken as images of so many channels.

        Raises:
            ShapeError: it has another number of channels and is not a stack of square images.
        """
        shape = self.inputs[index].shape
        if shape.channels == channels:
            return shape
        pixels, rest = divmod(shape.size, channels)
        side = round(pixels**0.5)
        if rest or side * side != pixels:
            raise ShapeError(
                f"input '{self.inputs[index].name}' is {shape} ({shape.size} numbers), "
                f"not interpretable as {channels}-channel images"
            )
        return Shape(channels, side, side)


Earlier = Mapping[str, Layer]
"""The layers defined above a layer, by name."""


def check_equal_sizes(layer: Layer) -> None:
    """Raises: ShapeError if the inputs of an elementwise layer differ in size."""
    first, *others = layer.inputs
    for other in others:
        if other.shape.size != first.shape.size:
            raise ShapeError(
                f"inputs must have equal sizes; found '{first.name}' {first.shape} "
                f"and '{other.name}' {other.shape}"
            )
