"""Costs of probabilities against a matrix of labels, a row per class: crossent, bce, dce."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from convnet.config.keys import Float, Key
from convnet.config.layers import LayerSpec
from convnet.errors import BatchError, ShapeError
from convnet.layer_types.base import Backward, Earlier, Layer, Mode
from convnet.layer_types.cost import CostLayer, check_softmax
from convnet.layer_types.data import DataLayer, Matrices
from convnet.layer_types.elementwise import NeuronLayer
from convnet.ops.base import Ops
from convnet.plan import Buffer


class LabelMatrixCost(CostLayer):
    """Base of costs with two inputs of equal size: a matrix of labels and the probabilities."""

    min_inputs = 2
    max_inputs = 2

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        labels, probs = self.inputs
        if not isinstance(labels, DataLayer) or labels.shape.size != probs.shape.size:
            raise ShapeError(
                f"first input must be a matrix of labels, a data layer of the size of "
                f"'{probs.name}', {probs.shape.size}; "
                f"found '{labels.name}' of type '{labels.type_name}' with {labels.shape.size}"
            )
        self.labels = labels

    def check_data(self, matrices: Matrices) -> None:
        labels = self.labels.read(matrices)
        valid = (labels >= 0) & (labels <= 1)
        if not valid.all():
            raise BatchError(
                f"labels of '{self.name}' must be numbers from 0 to 1, one per class and image; "
                f"found {labels[~valid][0]:g}"
            )


class CrossentCost(LabelMatrixCost):
    """Cross-entropy: -(sum over classes of label times log of the probability).

    Inputs: a matrix of labels (a row per class; each column the probabilities of the classes, or
    1 for each class of the image) and a softmax layer.
    """

    type_name = "cost.crossent"
    title = "cross-entropy cost"
    value_names = ("cross-entropy", "error")

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        check_softmax(self.inputs[1])

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.crossent_cost(x[0].reshape(-1), x[1].reshape(-1), self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.dx[1]
        if grad is not None:
            labels, probs = (buffer.reshape(-1) for buffer in b.x)
            ops.crossent_bprop(labels, probs, self.coeff, grad.buffer.reshape(-1), grad.add)


class CeCost(CrossentCost):
    """The same as cost.crossent, under the name of an early cuda-convnet2."""

    type_name = "cost.ce"


class BceCost(LabelMatrixCost):
    """Binomial cross-entropy: each row by itself is true or not, with some probability.

    Inputs: a matrix of labels (1 where a row is true, else 0; or probabilities) and a layer of the
    same size with `neuron = logistic`. Together with children it reports only the first value.
    """

    type_name = "cost.bce"
    title = "binomial cross-entropy cost"
    keys = (
        *CostLayer.keys,
        Key(
            "posWeight",
            Float(min=0),
            "weight of the rows whose label is 1 against those whose label is 0",
            default=1.0,
            file="parameters",
        ),
    )
    value_names: tuple[str, ...] = ("cross-entropy", "error", "top-1 error")
    additive_values = 1

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        self.pos_weight: float = spec.values["posWeight"]
        probs = self.inputs[1]
        if not (isinstance(probs, NeuronLayer) and probs.neuron.kind == "logistic"):
            self.warnings.append(
                f"input '{probs.name}' has no neuron=logistic; its values are taken as "
                f"probabilities all the same"
            )

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.bce_cost(x[0].reshape(-1), x[1].reshape(-1), self.pos_weight, self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.dx[1]
        if grad is not None:
            labels, probs = (buffer.reshape(-1) for buffer in b.x)
            target = grad.buffer.reshape(-1)
            ops.bce_bprop(labels, probs, self.pos_weight, self.coeff, target, grad.add)


class DceCost(BceCost):
    """Detection: cost.bce, reported as precision and recall of each class.

    Precision is the part of the images declared positive (probability above 0.5) that are,
    recall the part of the positive images that are declared so; inf where there are none.
    """

    type_name = "cost.dce"
    title = "detection cross-entropy cost"
    value_names: tuple[str, ...] = ("cross-entropy", "error", "precision and recall of each class")
    additive_values = 0

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        counts = ("declared positive", "positive", "true positive")
        classes = range(inputs[1].shape.size)
        self.value_names = (
            *BceCost.value_names[:2],
            *(f"{count} {k}" for k in classes for count in counts),
        )
        super().__init__(spec, inputs, earlier)

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.dce_cost(x[0].reshape(-1), x[1].reshape(-1), self.pos_weight, self.values_buffer)

    def format(self, values: Sequence[float], cases: int, label_names: Sequence[str]) -> str:
        parts = [f"(crossent) {values[0] / cases:.6f}", f"(err) {values[1] / cases:.6f}"]
        counts = zip(values[2::3], values[3::3], values[4::3], strict=True)
        for k, (declared, positive, true) in enumerate(counts):
            label = label_names[k] if k < len(label_names) else k
            precision, recall = (true / n if n > 0 else inf for n in (declared, positive))
            parts.append(f"({label}) {precision:.6f}, {recall:.6f}")
        return ", ".join(parts)
