"""What layers with weights have in common: one weight matrix per input, a bias vector."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from convnet.config.keys import Bool, Float, Ignored, Int, Key, Names, Rate, Text
from convnet.config.layers import LayerSpec
from convnet.errors import ShapeError
from convnet.geometry import Shape
from convnet.layer_types.base import (
    GPU_KEY,
    NEURON_KEY,
    Backward,
    Earlier,
    Grad,
    Layer,
    Mode,
    Parameter,
)
from convnet.neurons import IDENT
from convnet.ops.base import Ops
from convnet.plan import Buffer

_SOURCE = re.compile(r"^\s*([^\[\]]+?)\s*(?:\[\s*(\d+)\s*\])?\s*$")


class WeightLayer(Layer):
    """Base of fc, conv and local.

    A subclass says the shapes of its matrices and how to compute with one input's; the loops
    over inputs, the sharing and the order of additions are here.
    """

    keys: ClassVar[tuple[Key, ...]] = (
        NEURON_KEY,
        GPU_KEY,
        Key(
            "initW",
            Float(min=0, below="taken"),
            "initial weights are so many times standard normal numbers",
            default=0.01,
            per_input=True,
        ),
        Key("biases", Bool(), "false: the layer has none", default=True),
        Key("initB", Float(), "initial value of the biases", default=0.0),
        Key(
            "initWFunc",
            Text(),
            "module.function(a,b) that makes the initial weights, instead of initW",
            default="",
        ),
        Key(
            "initBFunc",
            Text(),
            "module.function(a,b) that makes the initial biases, instead of initB",
            default="",
        ),
        Key(
            "weightSource",
            Names(),
            "matrices to share instead of owning: src[i] is matrix i of the earlier layer src, "
            "src is matrix 0, an empty entry an own matrix; one entry per input",
            default=(),
        ),
        Key("epsW", Rate(), "learning rate of the weights", file="parameters", per_input=True),
        Key("epsB", Rate(), "learning rate of the biases", file="parameters"),
        Key(
            "momW",
            Float(min=0, below="taken"),
            "momentum of the weights",
            file="parameters",
            per_input=True,
        ),
        Key(
            "momB",
            Float(min=0, below="taken"),
            "momentum of the biases",
            file="parameters",
        ),
        Key(
            "wc",
            Float(min=0, below="min"),
            "L2 weight decay of the weights",
            default=0.0,
            file="parameters",
            per_input=True,
        ),
        Key(
            "wball",
            Float(min=0, below="min"),
            "if > 0: after each update the norm of every column is this; in local layers at most "
            "this",
            default=0.0,
            file="parameters",
            per_input=True,
        ),
        Key(
            "updatePeriod",
            Int(min=0, below="min"),
            "passes between two updates, 0: as few as possible; see docs/devices.md",
            default=0,
            file="parameters",
        ),
        Key("superEps", Ignored(), "without effect", default=None, file="parameters"),
        Key("superMom", Ignored(), "without effect", default=None, file="parameters"),
    )
    max_inputs: ClassVar[int | None] = None
    needs_parameters = True

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        """`earlier`: the layers defined above, whose matrices `weightSource` may name."""
        super().__init__(spec, inputs)
        self._earlier = earlier
        self.weights: list[Parameter] = []
        self.biases: Parameter | None = None

    def make_parameters(
        self,
        weight_shapes: Sequence[tuple[int, int]],
        fan_ins: Sequence[int],
        bias_shape: tuple[int, int],
    ) -> None:
        """Creates the matrices, or finds those that `weightSource` names.

        Raises:
            ShapeError: a source that does not exist or has another type or shape.
        """
        v = self.values
        sources: tuple[str, ...] = v["weightSource"] or ("",) * len(weight_shapes)
        if len(sources) != len(weight_shapes):
            raise ShapeError(
                f"weightSource must have one entry per input, {len(weight_shapes)}; "
                f"found {len(sources)}"
            )
        for i, (shape, source) in enumerate(zip(weight_shapes, sources, strict=True)):
            if source:
                self.weights.append(self._shared(source, shape))
                continue
            self.weights.append(
                Parameter(
                    self.name,
                    f"weights.{i}",
                    shape,
                    fan_in=fan_ins[i],
                    init_scale=v["initW"][i],
                    rate=v["epsW"][i] if v["epsW"] else None,
                    momentum=v["momW"][i] if v["momW"] else 0.0,
                    decay=v["wc"][i],
                    period=v["updatePeriod"],
                    bounds=self.bounds(i),
                    function=v["initWFunc"],
                )
            )
        if v.get("biases"):
            self.biases = Parameter(
                self.name,
                "biases",
                bias_shape,
                init_value=v["initB"],
                rate=v["epsB"],
                momentum=v["momB"] or 0.0,
                period=v["updatePeriod"],
                function=v["initBFunc"],
            )

    def bounds(self, i: int) -> list[tuple[int, float, float, bool]]:
        """What Ops.bound_columns is told after each update of weight matrix i."""
        wball: float = self.values["wball"][i]
        return [(1, wball, wball, False)] if wball > 0 else []

    def _shared(self, source: str, shape: tuple[int, int]) -> Parameter:
        match = _SOURCE.match(source)
        name, index = (match.group(1), int(match.group(2) or 0)) if match else (source, 0)
        owner = self if name == self.name else self._earlier.get(name)
        if owner is None:
            raise ShapeError(f"weightSource '{source}': no layer '{name}' is defined above")
        if not isinstance(owner, WeightLayer) or owner.type_name != self.type_name:
            raise ShapeError(
                f"weightSource '{source}' must be a layer of type '{self.type_name}'; "
                f"'{name}' is of type '{owner.type_name}'"
            )
        if index >= len(owner.weights):
            raise ShapeError(
                f"weightSource '{source}': '{name}' has {len(owner.weights)} weight matrices "
                f"so far, numbered from 0"
            )
        if owner.weights[index].shape != shape:
            raise ShapeError(
                f"weightSource '{source}' has shape {owner.weights[index].shape}; expected {shape}"
            )
        return owner.weights[index]

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (*self.weights, self.biases) if self.biases else tuple(self.weights)

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        last = len(x) - 1
        for i, weights in enumerate(self.weights):
            biases = self.biases.value if self.biases and i == last else None
            self.fprop(ops, i, x[i], weights.value, biases, y, add=i > 0)

    def backward(self, ops: Ops, b: Backward) -> None:
        if self.biases and self.biases.is_trained(b.mode):
            ops.bias_grad(b.dy, self.biases.gradient, add=b.adds_to(self.biases))
        for i, weights in enumerate(self.weights):
            if weights.is_trained(b.mode):
                self.wgrad(ops, i, b.x[i], b.dy, weights.gradient, add=b.adds_to(weights))
            grad = b.dx[i]
            if grad is not None:
                self.dgrad(ops, i, weights.value, b.dy, grad)

    @abstractmethod
    def fprop(
        self,
        ops: Ops,
        i: int,
        x: Buffer,
        weights: Buffer,
        biases: Buffer | None,
        y: Buffer,
        add: bool,
    ) -> None:
        """Adds input i's contribution to y; `biases` are given with the last input."""

    @abstractmethod
    def dgrad(self, ops: Ops, i: int, weights: Buffer, dy: Buffer, grad: Grad) -> None:
        """The gradient of input i."""

    @abstractmethod
    def wgrad(self, ops: Ops, i: int, x: Buffer, dy: Buffer, gradient: Buffer, add: bool) -> None:
        """The gradient of the weight matrix of input i."""


class FcLayer(WeightLayer):
    """Fully connected: the sum over inputs of weights^T input, plus biases."""

    type_name = "fc"
    title = "fully-connected layer"
    keys = (Key("outputs", Int(min=1), "number of units"), *WeightLayer.keys)

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        self.make_layer(spec.values["outputs"])

    def make_layer(self, outputs: int) -> None:
        """Sets the shape and creates the matrices."""
        self.shape = Shape(outputs)
        shapes = [(layer.shape.size, outputs) for layer in self.inputs]
        self.make_parameters(shapes, [rows for rows, _ in shapes], (1, outputs))

    @property
    def multiply_adds(self) -> int:
        return sum(rows * columns for rows, columns in (w.shape for w in self.weights))

    def fprop(
        self,
        ops: Ops,
        i: int,
        x: Buffer,
        weights: Buffer,
        biases: Buffer | None,
        y: Buffer,
        add: bool,
    ) -> None:
        ops.fc_fprop(x.reshape(-1), weights, biases, IDENT, y.reshape(-1), add)

    def dgrad(self, ops: Ops, i: int, weights: Buffer, dy: Buffer, grad: Grad) -> None:
        ops.fc_dgrad(weights, dy.reshape(-1), grad.buffer.reshape(-1), grad.add)

    def wgrad(self, ops: Ops, i: int, x: Buffer, dy: Buffer, gradient: Buffer, add: bool) -> None:
        ops.fc_wgrad(x.reshape(-1), dy.reshape(-1), gradient, add)
