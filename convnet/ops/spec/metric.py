"""Metric learning: arguments, shapes and formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from convnet.ops.roles import In, InOut, Out, RandomKey

# The label of an image of which nobody knows what is on it.
UNKNOWN = -1
BORDER = 1 - 2.0**-20
"""Cosines of labels are clipped to -BORDER..BORDER, where the slope of the angle is finite."""


class Margins(NamedTuple):
    """What cost.margin makes of cosines c, and its labels.

    The logit of an image's label is scale psi(c), those of all other classes are scale c, with

        psi(c) = (-1)^j cos(phi) - 2j - m3,  phi = m1 acos(c) + m2,  j = floor(phi / pi)

    where c is clipped, see BORDER. Where phi <= pi that is cos(phi) - m3; beyond, it goes on
    falling. Its slope is psi' = m1 |sin(phi)| / sin(acos(c)) everywhere. Deng, Guo, Xue and
    Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition" (2019), equation 4;
    j is that of Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition" (2017).

    The label counts 1 - smoothing, each of the other classes an equal share of smoothing. "All"
    classes are those that are chosen, where some are; see MetricOps.choose_classes.
    """

    m1: float
    m2: float
    m3: float
    scale: float
    smoothing: float


class MetricOps(ABC):
    """This part of Ops."""

    @abstractmethod
    def l2norm_fprop(self, inputs: In, eps: float, acts: Out) -> None:
        """acts(k,n) = x(k,n) / r(n), r(n) = sqrt(sum over k of x(k,n)^2 + eps): (rows,N)."""

    @abstractmethod
    def l2norm_bprop(
        self, inputs: In, acts_grad: In, eps: float, inputs_grad: Out, add: bool = False
    ) -> None:
        """inputs_grad = (g - u sum over k of u g) / r, with g = acts_grad and u = x / r."""

    @abstractmethod
    def choose_classes(self, labels: In, share: float, key: RandomKey, chosen: Out) -> None:
        """chosen(k) = 1 if an image has label k or uniform(key, k) < share, else 0.

        labels (1,N), those below 0 standing for none; chosen (classes,).
        """

    @abstractmethod
    def margin_cost(
        self,
        labels: In,
        cosines: In,
        margins: Margins,
        top: int,
        values: Out,
        chosen: In | None = None,
    ) -> None:
        """Softmax with margins: labels (1,N), cosines (classes,N) -> values (3,).

        values = [-sum t log softmax(logits), number wrong, number wrong among the `top` best], with
        the shares t of the classes. Wrong as in logreg_cost, by the cosines: without margins, and
        among all classes. The sum is over the classes with chosen(k) = 1, if that is given, as
        choose_classes leaves it. Images with a label below 0 do not count.
        """

    @abstractmethod
    def margin_bprop(
        self,
        labels: In,
        cosines: In,
        margins: Margins,
        coeff: float,
        cosines_grad: Out,
        add: bool = False,
        chosen: In | None = None,
    ) -> None:
        """cosines_grad = coeff scale (softmax(logits) - t), at the label times psi'.

        0 where chosen(k) = 0, and for images with a label below 0.
        """

    @abstractmethod
    def triplet_cost(
        self,
        labels: In,
        inputs: In,
        margin: float,
        semihard: bool,
        key: RandomKey,
        values: Out,
    ) -> None:
        """Triplets of images: labels (1,N), inputs x (rows,N) -> values (5,).

        With d(i,j) = sum over rows of (x(i) - x(j))^2: each pair of images a < p of one label, not
        below 0, makes a triplet with one image n of another label with d(a,n) < d(a,p) + margin
        and, if `semihard`, d(a,n) > d(a,p). If c images qualify it is number floor(u c) of them, in
        their order, with u = uniform(key, a N + p). With P pairs and T triplets,

        values = [N/T sum over triplets of d(a,p) - d(a,n) + margin, T, P, N/P sum over pairs of
        d(a,p), N/M sum over the M pairs i < j of different labels of d(i,j)].

        Where there are none, a sum is 0; if some x is not finite, the first value is not either.
        Label UNKNOWN is not different from any other. With lower ones an image can be n alone.
        """

    @abstractmethod
    def triplet_bprop(
        self,
        labels: In,
        inputs: In,
        margin: float,
        semihard: bool,
        key: RandomKey,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        """The gradient of the first value, with the same triplets:

        inputs_grad = coeff N/T times the sum over the triplets of 2 (n - p) at a, 2 (p - a) at p,
        2 (a - n) at n.
        """

    @abstractmethod
    def contrastive_cost(self, labels: In, inputs: In, margin: float, values: Out) -> None:
        """Pairs of images: labels (1,N), inputs (rows,N) -> values (4,).

        With d of triplet_cost, P pairs i < j of one label, not below 0, and M of different labels:

        values = [N (1/P sum over the former of d / 2 + 1/M sum over the latter of
        max(0, margin - sqrt(d))^2 / 2), number of the latter with sqrt(d) < margin, N/P sum over
        the former of d, N/M sum over the latter of d]. Where there are none, a sum is 0. Label
        UNKNOWN is not different from any other.
        """

    @abstractmethod
    def contrastive_bprop(
        self,
        labels: In,
        inputs: In,
        margin: float,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        """The gradient of the first value: coeff N w(i,j) (x(i) - x(j)) at i, the opposite at j.

        w is 1/P for the former, -max(0, margin - sqrt(d)) / (M max(sqrt(d), 1e-6)) for the latter.
        """

    @abstractmethod
    def center_cost(self, labels: In, inputs: In, centers: In, values: Out) -> None:
        """Distances from centers: labels (1,N), inputs x (rows,N), centers (rows,classes).

        values (2,) = [half the sum of |x(n) - centers(label n)|^2, sum of |x(n)|], without images
        whose label is below 0.
        """

    @abstractmethod
    def center_bprop(
        self,
        labels: In,
        inputs: In,
        centers: In,
        coeff: float,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        """inputs_grad = coeff (x(n) - centers(label n)), 0 if the label is below 0."""

    @abstractmethod
    def center_track(self, labels: In, inputs: In, rate: float, centers: InOut) -> None:
        """centers(j) += rate / (1 + n(j)) sum of x(n) - centers(j) over the n(j) images labelled j.

        Where there are none it stays. Wen, Zhang, Li and Qiao, "A Discriminative Feature Learning
        Approach for Deep Face Recognition" (2016), equation 4.
        """
