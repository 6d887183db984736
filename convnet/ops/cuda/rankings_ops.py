"""Costs of rankings and groups: kernels/rankings.cu."""

from __future__ import annotations

from convnet.ops.cuda.launch import LANES, TEAMS, Launcher, checked
from convnet.ops.layout import rows_of
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.costs import CostOps


class CudaRankingOps(Launcher, CostOps):
    """This part of CudaOps."""

    def hinge_cost(self, labels: In, inputs: In, values: Out) -> None:
        rows, N = rows_of(inputs)
        by_image = self._scratch(2 * N)
        self._columns(
            "rankings",
            "hinge_cost",
            N,
            checked("labels", labels, N),
            checked("inputs", inputs, rows, N),
            *(by_image, rows),
        )
        self._sum_rows(by_image, 2, checked("values", values, 2))

    def hinge_bprop(
        self, labels: In, inputs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        rows, N = rows_of(inputs)
        self._columns(
            "rankings",
            "hinge_bprop",
            N,
            checked("labels", labels, N),
            checked("inputs", inputs, rows, N),
            float(coeff),
            checked("inputs_grad", inputs_grad, rows, N),
            *(add, rows),
        )

    def gsinlabel_cost(self, labels: In, inputs: In, values: Out) -> None:
        norms = self._group_norms(labels, inputs, inverse=False)
        self._sum_rows(norms, 1, checked("values", values, 1))

    def gsinlabel_bprop(
        self, labels: In, inputs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        scales = self._group_norms(labels, inputs, inverse=True)
        _, pixels, N = inputs.shape
        self._numbers(
            "rankings",
            "gsinlabel_bprop",
            inputs.size,
            *(inputs, scales, float(coeff)),
            checked("inputs_grad", inputs_grad, *inputs.shape),
            *(add, pixels, N),
        )

    def locrank_cost(
        self, first: In, second: In, third: In, weights: In, margin: float, values: Out
    ) -> None:
        bits, N = rows_of(first)
        target = checked("values", values, 2).reshape(-1)
        excess, sums = self._codes(first, second, third, weights, margin, active=False)
        self._sum_rows(excess, 1, target[1:])
        self._launch("rankings", "locrank_total", (1,), (LANES, TEAMS), sums, target, bits, N)

    def locrank_bprop(
        self,
        first: In,
        second: In,
        third: In,
        weights: In,
        margin: float,
        position: int,
        coeff: float,
        codes_grad: Out,
        add: bool = False,
    ) -> None:
        active, sums = self._codes(first, second, third, weights, margin, active=True)
        self._numbers(
            "rankings",
            "locrank_bprop",
            first.size,
            *(first, second, third, active, sums, position, float(coeff)),
            checked("codes_grad", codes_grad, first.size),
            *(add, first.shape[-1]),
        )

    def _group_norms(self, labels: In, inputs: In, *, inverse: bool) -> Array:
        """See group_norms in the kernels' file: (channels * N,)."""
        channels, pixels, N = inputs.shape
        checked("inputs", inputs, channels, pixels, N)
        size = channels * N
        scratch = self._scratch(2 * size)
        squares, norms = scratch[:size], scratch[size:]
        self._rows("rankings", "channel_squares", channels, N, inputs, squares, pixels)
        arguments = (squares, checked("labels", labels, N), inverse, norms)
        self._rows("rankings", "group_norms", channels, N, *arguments)
        return norms

    def _codes(
        self, first: In, second: In, third: In, weights: In, margin: float, *, active: bool
    ) -> tuple[Array, Array]:
        """What locrank_excess in the kernels' file computes, and the sums of the first codes."""
        bits, N = rows_of(first)
        scratch = self._scratch(N + bits)
        excess, sums = scratch[:N], scratch[N:]
        self._columns(
            "rankings",
            "locrank_excess",
            N,
            checked("first", first, bits, N),
            checked("second", second, bits, N),
            checked("third", third, bits, N),
            checked("weights", weights, N),
            *(float(margin), active, excess, bits),
        )
        self._sum_rows(first, bits, sums)
        return excess, sums
