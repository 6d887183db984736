"""Softmax and the costs that are minimised.

The objective is the sum over cost layers of coeff times the first value. Values are sums over
the images of a minibatch; who prints them divides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from convnet.config.keys import Bool, Float, Int, Key, Names
from convnet.config.layers import LayerSpec
from convnet.errors import BatchError, ShapeError
from convnet.geometry import Shape
from convnet.layer_types.base import GPU_KEY, NEURON_KEY, Backward, Earlier, Layer, Mode
from convnet.layer_types.data import DataLayer, Matrices
from convnet.ops.base import Ops
from convnet.ops.spec.metric import UNKNOWN
from convnet.plan import Buffer, Part, new_buffer


class SoftmaxLayer(Layer):
    """exp(x_i) / sum of exp(x_j) over all numbers of an image."""

    type_name = "softmax"
    title = "softmax layer"
    keys = (NEURON_KEY, GPU_KEY)

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        self.shape = Shape(self.inputs[0].shape.size)

    @property
    def has_own_features(self) -> bool:
        return True

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.softmax_fprop(x[0].reshape(-1), y.reshape(-1))

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.grad
        ops.softmax_bprop(b.y.reshape(-1), b.dy.reshape(-1), grad.buffer.reshape(-1), grad.add)


class CostLayer(Layer):
    """Base of the costs.

    Attributes:
        value_names: what the values are that are reported; the first is what is minimised.
        computed: how many values the operation computes, those that are reported first.
        values_buffer: where it puts them, summed over the images.
        children: costs whose values are added to this one's when they are reported.
        is_child: whether this cost's values are added to another's.
        counted: which of the values is the number of images that the others are sums over; None
            if these are all images.
    """

    keys: ClassVar[tuple[Key, ...]] = (
        GPU_KEY,
        Key(
            "coeff",
            Float(),
            "weight of this cost in the objective; 0: only reported",
            file="parameters",
        ),
        Key(
            "children",
            Names(),
            "costs of the same type, defined above, whose values are added to this one's and not "
            "printed themselves",
            default=(),
        ),
    )
    needs_parameters = True
    has_output = False
    value_names: tuple[str, ...]
    additive_values: ClassVar[int | None] = None  # so many values can be added up; None: all
    counted: int | None = None

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        """`earlier`: the layers defined above, which `children` may name."""
        self.computed = len(self.value_names)
        super().__init__(spec, inputs)
        self.shape = Shape(0)
        coeff = spec.values["coeff"]
        self.coeff: float = 1.0 if coeff is None else coeff
        self.is_child = False
        self.children = [self._child(name, earlier) for name in spec.values["children"]]
        if self.children:
            self.report_additive_values()

    def begin(self, part: Part) -> None:
        super().begin(part)
        shape = (self.computed,)
        self.values_buffer = new_buffer(f"{self.name}.values", shape, per_case=False, part=part)

    def _child(self, name: str, earlier: Earlier) -> CostLayer:
        child = earlier.get(name)
        if not isinstance(child, CostLayer) or child.type_name != self.type_name:
            raise ShapeError(
                f"children: '{name}' must be a layer of type '{self.type_name}' defined above"
            )
        child.report_additive_values()
        child.is_child = True
        return child

    def report_additive_values(self) -> None:
        """From now on reports only values whose sum over several costs has a meaning.

        Raises:
            ShapeError: this cost has none.
        """
        if self.additive_values == 0:
            raise ShapeError(f"values of '{self.name}', a {self.title}, cannot be added up")
        self.value_names = self.value_names[: self.additive_values]

    @property
    def family(self) -> list[CostLayer]:
        """The costs that are reported as one under this cost's name: itself and all below it."""
        return [self, *(member for child in self.children for member in child.family)]

    def check_data(self, matrices: Matrices) -> None:
        """Looks at the data of a batch before it is used.

        Raises:
            BatchError: it is not what this cost needs.
        """

    def reported(self, computed: np.ndarray, matrices: Matrices) -> np.ndarray:
        """The values of a minibatch that are reported, of those that were computed."""
        return computed[: len(self.value_names)]

    def format(self, values: Sequence[float], cases: int, label_names: Sequence[str]) -> str:
        """What is printed of `values`, sums over `cases` images."""
        return ", ".join(f"{value / cases:.6f}" for value in values)

    def trouble(self, values: Sequence[float], cases: int) -> str:
        """What is wrong with a training that has these values, and what to do; "" if nothing is."""
        return ""


MISSING_KEY = Key(
    "missing",
    Bool(),
    "images may have the label -1, which is none: they do not count for this cost, which also "
    "prints how many have one",
    default=False,
)


class ClassLabelCost(CostLayer):
    """Base of costs with two inputs: the labels, one number per image, and one row per class.

    Attributes:
        classes: the number of classes.
        classes_of: the layer that says it.
        missing: whether images may be without a label, see MISSING_KEY.
    """

    min_inputs = 2
    max_inputs = 2

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        self.labels = label_layer(self.inputs[0])
        self.classes = self.inputs[1].shape.size
        self.classes_of = self.inputs[1].name
        self.missing: bool = spec.values.get("missing", False)
        if self.missing:
            self.counted = len(self.value_names)
            self.value_names = (*self.value_names, "images with a label")
        for child in self.children:
            if child.counted != self.counted:
                raise ShapeError(f"children: '{child.name}' must have the same value of missing")

    def check_data(self, matrices: Matrices) -> None:
        labels = self.labels.read(matrices)
        valid = (labels >= 0) & (labels < self.classes) & (labels == np.floor(labels))
        if self.missing:
            valid |= labels == UNKNOWN
        if not valid.all():
            raise BatchError(
                f"labels must be whole numbers from 0 to {self.classes - 1}, the classes of "
                f"'{self.classes_of}'{', or -1' * self.missing}; found {labels[~valid][0]:g}"
            )

    def reported(self, computed: np.ndarray, matrices: Matrices) -> np.ndarray:
        if self.missing:
            return np.append(computed, np.count_nonzero(self.labels.read(matrices) >= 0))
        return super().reported(computed, matrices)

    def format(self, values: Sequence[float], cases: int, label_names: Sequence[str]) -> str:
        if not self.missing:
            return super().format(values, cases, label_names)
        *sums, count = values
        means = super().format(sums, max(1, int(count)), label_names)
        return f"{means}, (labels) {count:.0f} of {cases}"


class GroupLabelCost(CostLayer):
    """Base of costs with two inputs: the labels, one number per image, and any layer.

    Only which images have equal labels matters, so there is no number of classes.
    """

    min_inputs = 2
    max_inputs = 2

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        self.labels = label_layer(self.inputs[0])

    def check_data(self, matrices: Matrices) -> None:
        if not np.isfinite(self.labels.read(matrices)).all():
            raise BatchError(f"labels of '{self.name}' must be finite numbers")


def label_layer(layer: Layer) -> DataLayer:
    """The first input of a cost, if it can be the labels; raises ShapeError if not."""
    if not isinstance(layer, DataLayer) or layer.shape.size != 1:
        raise ShapeError(
            f"first input must be the labels, a data layer with one number per image; "
            f"found '{layer.name}' of type '{layer.type_name}' with {layer.shape.size}"
        )
    return layer


def check_softmax(layer: Layer) -> None:
    """Raises ShapeError if the second input of a cost is not a softmax layer."""
    if layer.type_name != "softmax":
        raise ShapeError(
            f"second input must be a softmax layer; "
            f"found '{layer.name}' of type '{layer.type_name}'"
        )


class LogregCost(ClassLabelCost):
    """Multinomial logistic regression: -log of the probability of the right class.

    Inputs: the labels (one number per image, from 0) and a softmax layer.
    """

    type_name = "cost.logreg"
    title = "logistic regression cost"
    keys = (
        *CostLayer.keys,
        MISSING_KEY,
        Key(
            "topk", Int(min=1), "third value: label not among the k best", default=1, file="either"
        ),
    )
    value_names: tuple[str, ...] = ("logprob", "error", "top-k error")

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        check_softmax(self.inputs[1])
        self.top: int = spec.values["topk"]
        if self.top > self.classes:
            self.warnings.append(
                f"the top-k error is always 0 for topk={self.top} of {self.classes} classes"
            )

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.logreg_cost(x[0].reshape(1), x[1].reshape(-1), self.top, self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.dx[1]
        if grad is not None:
            ops.logreg_bprop(
                b.x[0].reshape(1), b.x[1].reshape(-1), self.coeff, grad.buffer.reshape(-1), grad.add
            )


class Sum2Cost(CostLayer):
    """The sum of squares of its input."""

    type_name = "cost.sum2"
    title = "sum-of-squares cost"
    value_names = ("sum of squares",)

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.sum2_cost(x[0], self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.grad
        ops.add_scaled(b.x[0], 2 * self.coeff, grad.buffer, grad.add)
