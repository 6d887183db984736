"""Layers that work element by element, or put inputs together: neuron, sums, maxima, dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from convnet.config.keys import Bool, Float, Floats, Key, NeuronKind
from convnet.config.layers import LayerSpec
from convnet.errors import ShapeError
from convnet.geometry import Shape
from convnet.layer_types.base import (
    GPU_KEY,
    NEURON_KEY,
    Backward,
    Layer,
    Mode,
    check_equal_sizes,
)
from convnet.neurons import Neuron
from convnet.ops.base import Ops
from convnet.plan import Buffer, for_each_run


class NeuronLayer(Layer):
    """An activation function."""

    type_name = "neuron"
    title = "neuron layer"
    keys = (GPU_KEY, Key("neuron", NeuronKind(), "activation function"))

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        self.neuron: Neuron = spec.values["neuron"]
        self.shape = self.inputs[0].shape

    @property
    def has_own_features(self) -> bool:
        return self.neuron.from_output

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        if not (mode.train and self.neuron.is_random):
            ops.neuron_fprop(self.neuron, x[0], y)
        elif self.neuron.kind == "dropout":
            self._drop(ops, x[0], y, False)
        else:
            ops.noisy_neuron_fprop(self.neuron, x[0], for_each_run(self.random_key()), y)

    def _drop(self, ops: Ops, source: Buffer, target: Buffer, add: bool) -> None:
        keep = 1 - self.neuron.parameters[0]
        ops.dropout(source, keep, 1.0, for_each_run(self.random_key()), target, add)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.grad
        if b.mode.train and self.neuron.kind == "dropout":
            self._drop(ops, b.dy, grad.buffer, grad.add)
            return
        values = b.y if self.neuron.from_output else b.x[0]
        ops.neuron_bprop(self.neuron, values, b.dy, grad.buffer, grad.add)


class EltsumLayer(Layer):
    """The sum of the inputs, each times its coefficient."""

    type_name = "eltsum"
    title = "elementwise sum layer"
    keys = (
        NEURON_KEY,
        GPU_KEY,
        Key("coeffs", Floats(), "factor of each input; all 1 if absent", default=(), file="either"),
    )
    max_inputs = None

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        check_equal_sizes(self)
        coeffs = spec.values["coeffs"] or (1.0,) * len(inputs)
        self.coeffs: tuple[float, ...] = coeffs[: len(inputs)]
        wrong = f"coeffs must have one entry per input, {len(inputs)}; found {len(coeffs)}"
        if len(coeffs) < len(inputs):
            raise ShapeError(wrong)
        if len(coeffs) > len(inputs):
            self.warnings.append(f"{wrong}, of which the last are ignored")
        self.shape = self.inputs[0].shape

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        for i, coeff in enumerate(self.coeffs):
            ops.add_scaled(x[i].reshape(*y.shape), coeff, y, add=i > 0)

    def backward(self, ops: Ops, b: Backward) -> None:
        for coeff, grad in zip(self.coeffs, b.dx, strict=True):
            if grad is not None:
                ops.add_scaled(b.dy, coeff, grad.buffer.reshape(*b.dy.shape), grad.add)


class EltmaxLayer(Layer):
    """The largest of the inputs; where several are largest, each gets the whole gradient."""

    type_name = "eltmax"
    title = "elementwise max layer"
    keys = (NEURON_KEY, GPU_KEY)
    min_inputs = 2
    max_inputs = None

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        check_equal_sizes(self)
        self.shape = self.inputs[0].shape

    @property
    def has_own_features(self) -> bool:
        return True

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        largest = x[0].reshape(*y.shape)
        for other in x[1:]:
            ops.eltmax(largest, other.reshape(*y.shape), y)
            largest = y

    def backward(self, ops: Ops, b: Backward) -> None:
        for inputs, grad in zip(b.x, b.dx, strict=True):
            if grad is not None:
                ops.eltmax_bprop(
                    inputs.reshape(*b.y.shape), b.y, b.dy, grad.buffer.reshape(*b.y.shape), grad.add
                )


class ConcatLayer(Layer):
    """The inputs one after another: channels of equal images, or numbers."""

    type_name = "concat"
    title = "concatenation layer"
    keys = (NEURON_KEY, GPU_KEY)
    max_inputs: ClassVar[int | None] = None

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        shapes = [layer.shape for layer in inputs]
        if len({(s.height, s.width) for s in shapes}) == 1:
            self.shape = Shape(sum(s.channels for s in shapes), shapes[0].height, shapes[0].width)
        else:
            self.shape = Shape(sum(s.size for s in shapes))

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        row = 0
        for inputs, layer in zip(x, self.inputs, strict=True):
            ops.copy_rows(inputs.reshape(-1), 0, y.reshape(-1), row, layer.shape.size, False)
            row += layer.shape.size

    def backward(self, ops: Ops, b: Backward) -> None:
        row = 0
        for layer, grad in zip(self.inputs, b.dx, strict=True):
            size = layer.shape.size
            if grad is not None:
                ops.copy_rows(b.dy.reshape(-1), row, grad.buffer.reshape(-1), 0, size, grad.add)
            row += size


class PassLayer(ConcatLayer):
    """As concat; in cuda-convnet2 it did without copying."""

    type_name = "pass"
    title = "pass-through layer"


class UnionLayer(ConcatLayer):
    """As concat, of two inputs. From the fork alemagnani/cuda-convnet."""

    type_name = "union"
    title = "union layer"
    min_inputs = 2
    max_inputs = 2


class StopgradLayer(Layer):
    """Its input as it is, but no gradient for the layers below, as if it were a constant.

    Central differences know nothing of that: --check-grads finds other gradients below it.
    """

    type_name = "stopgrad"
    title = "stop-gradient layer"
    keys = (NEURON_KEY, GPU_KEY)
    passes_gradient = False

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        self.shape = self.inputs[0].shape

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.add_scaled(x[0], 1.0, y)


class DropoutLayer(Layer):
    """Zeroes each number with probability 1 - keep while training; divides the rest by keep."""

    type_name = "dropout"
    title = "dropout layer"
    keys = (
        NEURON_KEY,
        GPU_KEY,
        Key("enable", Bool(), "false: nothing is dropped", default=True, file="parameters"),
        Key(
            "keep",
            Float(above=0, max=1),
            "probability that a number stays",
            default=0.5,
            file="parameters",
        ),
    )
    needs_parameters = True

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        self.shape = self.inputs[0].shape
        self.keep: float = spec.values["keep"]
        self.enabled: bool = spec.values["enable"]

    def kept_scale(self, mode: Mode) -> tuple[bool, float]:
        """Whether numbers are dropped in this mode, and the factor of those that stay."""
        dropping = mode.train and self.enabled
        return dropping, 1 / self.keep if dropping else 1.0

    def _apply(self, ops: Ops, source: Buffer, target: Buffer, add: bool, mode: Mode) -> None:
        dropping, scale = self.kept_scale(mode)
        if dropping:
            ops.dropout(source, self.keep, scale, for_each_run(self.random_key()), target, add)
        else:
            ops.add_scaled(source, scale, target, add)

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        self._apply(ops, x[0], y, False, mode)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.grad
        self._apply(ops, b.dy, grad.buffer, grad.add, b.mode)


class Dropout2Layer(DropoutLayer):
    """Zeroes numbers as dropout does while training; multiplies all by keep while testing.

    With enable=false it multiplies by keep always, as in cuda-convnet2.
    """

    type_name = "dropout2"
    title = "dropout2 layer"

    def kept_scale(self, mode: Mode) -> tuple[bool, float]:
        dropping = mode.train and self.enabled
        return dropping, 1.0 if dropping else self.keep


class DetachedDropout(Dropout2Layer):
    """What the key `dropout` of a layer becomes: a dropout2 layer after it, before its neuron."""
