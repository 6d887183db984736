"""Costs of nets that recognise people by comparing images."""

from __future__ import annotations

from collections.abc import Sequence

from convnet.config.keys import Choice, Float, Int, Key
from convnet.config.layers import LayerSpec
from convnet.errors import ShapeError
from convnet.layer_types.base import Backward, Earlier, Layer, Mode, State
from convnet.layer_types.cost import MISSING_KEY, ClassLabelCost, CostLayer, GroupLabelCost
from convnet.ops.base import Ops
from convnet.ops.spec.metric import Margins
from convnet.plan import Buffer, for_each_run


class MarginCost(ClassLabelCost):
    """Logistic regression of cosines, by which images must be nearer to their class by a margin.

    Inputs: the labels (one number per image, from 0) and a cosfc layer with a unit for each class.
    The cosine of the label, cos(theta), is replaced by cos(m1 theta + m2) - m3; all cosines are
    multiplied by `scale`, and go through softmax. Where the angle would be beyond pi, the formula
    goes on falling as in SphereFace. The errors are without margin.

    With sampleRate below 1 each training step has a softmax of some classes only: those of its
    images and, drawn anew for each minibatch, others with this probability. The rest get no
    gradient; momentum and decay still move them. All cosines are computed nevertheless, so it takes
    as long. An, Deng, Guo, Feng, Zhu, Yang and Liu, "Killing Two Birds with One Stone: Efficient
    and Robust Training of Face Recognition CNNs by Partial FC" (2022), found that wrong labels do
    less harm.

    ArcFace has m2 = 0.5, CosFace m3 = 0.35, SphereFace m1 = 1.35, NormFace no margin. Deng, Guo,
    Xue and Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (2019),
    equation 4.
    """

    type_name = "cost.margin"
    title = "margin cost"
    keys = (
        *CostLayer.keys,
        MISSING_KEY,
        Key("m1", Float(above=0), "factor of the angle", default=1.0, file="parameters"),
        Key("m2", Float(min=0), "added to the angle, in radians", default=0.5, file="parameters"),
        Key("m3", Float(min=0), "subtracted from the cosine", default=0.0, file="parameters"),
        Key("scale", Float(above=0), "factor of the cosines", default=64.0, file="parameters"),
        Key(
            "smoothing",
            Float(min=0, max=1),
            "share of the other classes in what an image shall be",
            default=0.0,
            file="parameters",
        ),
        Key(
            "sampleRate",
            Float(above=0, max=1),
            "probability that another class counts in a training step",
            default=1.0,
            file="parameters",
        ),
        Key(
            "topk", Int(min=1), "third value: label not among the k best", default=1, file="either"
        ),
    )
    value_names: tuple[str, ...] = ("logprob", "error", "top-k error")

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        cosines = self.inputs[1]
        if cosines.type_name != "cosfc":
            raise ShapeError(
                f"second input must be a cosfc layer; "
                f"found '{cosines.name}' of type '{cosines.type_name}'"
            )
        v = spec.values
        self.top: int = v["topk"]
        self.margins = Margins(v["m1"], v["m2"], v["m3"], v["scale"], v["smoothing"])
        self.sample_rate: float = v["sampleRate"]

    def _chosen(self, mode: Mode) -> Buffer | None:
        """Which classes count, if not all do."""
        if not mode.train or self.sample_rate == 1:
            return None
        return self.temporary("chosen", (self.classes,), per_case=False)

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        labels, cosines, chosen = x[0].reshape(1), x[1].reshape(-1), self._chosen(mode)
        if chosen:
            ops.choose_classes(labels, self.sample_rate, for_each_run(self.random_key()), chosen)
        ops.margin_cost(labels, cosines, self.margins, self.top, self.values_buffer, chosen)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.dx[1]
        if grad is not None:
            labels, cosines = b.x[0].reshape(1), b.x[1].reshape(-1)
            target, chosen = grad.buffer.reshape(-1), self._chosen(b.mode)
            ops.margin_bprop(labels, cosines, self.margins, self.coeff, target, grad.add, chosen)


# Mean squared distance of different people, against the margin, below which nothing is told apart.
COLLAPSED = 1e-3


class TripletCost(GroupLabelCost):
    """Images shall be nearer to those of their label than to others, by a margin.

    Inputs: the labels (one number per image) and a layer, usually l2norm. With squared distances d,
    each pair of images a, p of the minibatch with one label makes a triplet with one image n of
    another: at random one of those with d(a,n) < d(a,p) + margin, if there are any. What is
    minimised is the mean of d(a,p) - d(a,n) + margin over the triplets, 0 if there are none, times
    the number of images. An image with label -1 is unknown and in no triplet; with lower labels it
    serves as n alone.

    Printed are the cost; how many of the pairs have made a triplet; and the mean squared distances
    of pairs with one label and with different ones. Where the latter is nearly 0 all images have
    become alike, and the cost stays at the margin: `collapsed`. Schroff, Kalenichenko and Philbin,
    "FaceNet: A Unified Embedding for Face Recognition and Clustering" (2015); the choice is that of
    OpenFace.
    """

    type_name = "cost.triplet"
    title = "triplet cost"
    keys = (
        *CostLayer.keys,
        Key("margin", Float(above=0), "of squared distances", default=0.2, file="parameters"),
        Key(
            "negatives",
            Choice("violating", "semihard"),
            "which images n may be in a triplet: all that the formula says, or of these those that "
            "are farther from a than p is",
            default="violating",
            file="parameters",
        ),
    )
    value_names = ("triplet loss", "triplets", "pairs", "distance of pairs", "distance of others")

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        self.margin: float = spec.values["margin"]
        self.semihard: bool = spec.values["negatives"] == "semihard"

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        labels, inputs, key = x[0].reshape(1), x[1].reshape(-1), for_each_run(self.random_key())
        ops.triplet_cost(labels, inputs, self.margin, self.semihard, key, self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.dx[1]
        if grad is not None:
            ops.triplet_bprop(
                b.x[0].reshape(1),
                b.x[1].reshape(-1),
                self.margin,
                self.semihard,
                for_each_run(self.random_key()),
                self.coeff,
                grad.buffer.reshape(-1),
                grad.add,
            )

    def format(self, values: Sequence[float], cases: int, label_names: Sequence[str]) -> str:
        loss, triplets, pairs, same, others = values
        if pairs == 0:
            return f"{loss / cases:.6f}, no two images of one label"
        text = (
            f"{loss / cases:.6f}, (triplets) {triplets:.0f} of {pairs:.0f}, "
            f"(distances) {same / cases:.6f}, {others / cases:.6f}"
        )
        return f"{text}, collapsed" if self._has_collapsed(values, cases) else text

    def _has_collapsed(self, values: Sequence[float], cases: int) -> bool:
        _, triplets, _, _, others = values
        return triplets > 0 and others / cases < COLLAPSED * self.margin

    def trouble(self, values: Sequence[float], cases: int) -> str:
        _, triplets, pairs, _, others = values
        if pairs == 0:
            return (
                "no minibatch has two images of one label, so there are no triplets: take "
                "minibatches of several images of each of several people"
            )
        if self._has_collapsed(values, cases):
            return (
                f"collapsed: {triplets / pairs:.0%} of the pairs make triplets, but images of "
                f"different labels have a mean squared distance of {others / cases:.1e} only, with "
                f"margin {self.margin:g}; go on from an earlier checkpoint with lower learning "
                f"rates, negatives = semihard, or more people in a minibatch, or let the net begin "
                f"with cost.logreg or cost.margin"
            )
        return ""


class ContrastiveCost(GroupLabelCost):
    """Images of one label shall be near to each other, others at least `margin` apart.

    Inputs: the labels (one number per image) and a layer, usually l2norm. With the distance d of
    two images, the mean of d^2 / 2 over all pairs in the minibatch with one label, plus the mean of
    max(0, margin - d)^2 / 2 over all with different labels, times the number of images; a mean over
    none is 0. An image with label -1 is unknown and left out; with lower labels it differs from all
    others.

    Printed are the cost; how many pairs with different labels are nearer than the margin; and the
    mean squared distances of pairs with one label and with different ones, nearly 0 where all have
    become alike. Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant
    Mapping" (2006).
    """

    type_name = "cost.contrastive"
    title = "contrastive cost"
    keys = (
        *CostLayer.keys,
        Key("margin", Float(above=0), "of distances", default=1.0, file="parameters"),
    )
    value_names = ("contrastive loss", "near others", "distance of pairs", "distance of others")

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        self.margin: float = spec.values["margin"]

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.contrastive_cost(x[0].reshape(1), x[1].reshape(-1), self.margin, self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.dx[1]
        if grad is not None:
            labels, inputs, target = b.x[0].reshape(1), b.x[1].reshape(-1), grad.buffer.reshape(-1)
            ops.contrastive_bprop(labels, inputs, self.margin, self.coeff, target, grad.add)

    def format(self, values: Sequence[float], cases: int, label_names: Sequence[str]) -> str:
        loss, near, same, others = values
        return (
            f"{loss / cases:.6f}, (near others) {near:.0f}, "
            f"(distances) {same / cases:.6f}, {others / cases:.6f}"
        )


class CenterCost(ClassLabelCost):
    """Images of a class shall be near to its center: half the squared distance from it.

    Inputs: the labels (one number per image, from 0) and a layer, the features. It goes together
    with cost.logreg or the like, with a `coeff` of some 0.003: alone it makes all features equal.

    The centers are no weights: they have no learning rate, momentum or decay, begin with 0, and are
    saved with the weights as `LAYER.centers`, a column for each class. After the gradients of a
    minibatch are computed, the center c of each class with n images x in it moves by
    centersRate / (1 + n) times the sum of x - c. The second value is the length of the features,
    which shows whether they grow without bound. Wen, Zhang, Li and Qiao, "A Discriminative Feature
    Learning Approach for Deep Face Recognition" (2016).
    """

    type_name = "cost.center"
    title = "center cost"
    keys = (
        *CostLayer.keys,
        MISSING_KEY,
        Key("classes", Int(min=1), "number of classes"),
        Key(
            "centersRate",
            Float(min=0, max=1),
            "how fast the centers move; alpha of the paper",
            default=0.5,
            file="parameters",
        ),
    )
    value_names: tuple[str, ...] = ("center loss", "length of features")

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        self.classes = spec.values["classes"]
        self.classes_of = self.name
        self.rate: float = spec.values["centersRate"]
        self.centers = State(self.name, "centers", (self.inputs[1].shape.size, self.classes))

    @property
    def states(self) -> tuple[State, ...]:
        return (self.centers,)

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        self.seen = x[0].reshape(1), x[1].reshape(-1)
        ops.center_cost(*self.seen, self.centers.value, self.values_buffer)

    def backward(self, ops: Ops, b: Backward) -> None:
        grad = b.dx[1]
        if grad is not None:
            labels, inputs, target = b.x[0].reshape(1), b.x[1].reshape(-1), grad.buffer.reshape(-1)
            ops.center_bprop(labels, inputs, self.centers.value, self.coeff, target, grad.add)

    def update_states(self, ops: Ops, mode: Mode) -> None:
        ops.center_track(*self.seen, self.rate, self.centers.value)
