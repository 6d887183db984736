"""Convolutions by Winograd's method, where it pays: kernels/winograd.cu."""

from __future__ import annotations

from functools import cache
from itertools import accumulate, pairwise
from math import inf
from typing import NamedTuple

from convnet.geometry import Window
from convnet.neurons import Neuron
from convnet.ops.cuda.convolution_ops import CudaConvolutionOps, bias_kind, clamps
from convnet.ops.cuda.driver import MAX_GRID, Constant
from convnet.ops.cuda.launch import BLOCK, checked
from convnet.ops.cuda.tiles import DEPTH, DIRECTIONS, QUAD, Cut, Direction, Factor, Product, choose
from convnet.ops.roles import Array, In, Out
from convnet.ops.winograd import SIZES, matrices
from convnet.precision import Precision

SIDE = 6  # of a tile of the source
POINTS = SIDE * SIDE
WORKSPACE = 2**26  # the most numbers that points and sums take in all: 256 MiB
# Each number at a point goes through memory twice more than in the plain formula, once written and
# once read: so many bytes. While a byte moves a GPU does some 10 multiply-adds (the peaks of an
# H100 give 10, an A100's 6, a T4's 13, an RTX 3090's 19).
BYTES, MULTIPLY_ADDS_PER_BYTE = 8, 10


class PointPlan(NamedTuple):
    """How a convolution of N images, or a gradient, is computed at the points.

    The image gradient is a convolution too: of the outputs' gradients, with the filters turned
    round, and a padding of K - 1 - padding (which may be negative).

    Attributes:
        multiprocessors: of the device.
    """

    g: Window
    direction: Direction
    N: int
    multiprocessors: int

    @property
    def source_shape(self) -> tuple[int, int, int]:
        """Of what is cut into tiles of SIDE pixels that overlap."""
        return self.g.acts_shape if self.direction == "dgrad" else self.g.images_shape

    @property
    def target_shape(self) -> tuple[int, int, int]:
        """Of what is cut into tiles side by side."""
        return self.g.images_shape if self.direction == "dgrad" else self.g.acts_shape

    @property
    def padding(self) -> int:
        g = self.g
        return g.filter_size - 1 - g.padding if self.direction == "dgrad" else g.padding

    @property
    def tiles(self) -> tuple[int, int]:
        """Of the target: down and across."""
        outer = SIDE + 1 - self.g.filter_size
        _, height, width = self.target_shape
        return -(-height // outer), -(-width // outer)

    @property
    def columns(self) -> int:
        """Tiles x images."""
        down, across = self.tiles
        return down * across * self.N

    @property
    def product(self) -> Product:
        """Those at all points."""
        g, number = self.g, POINTS * self.g.groups
        channels, outputs = g.group_channels, g.group_filters
        across, along = Factor(QUAD, lines=True), Factor(QUAD, lines=False)
        if self.direction == "wgrad":
            steps = number * -(-self.columns // DEPTH)
            return Product(channels, outputs, number, steps, along, along, divisible=True)
        if self.direction == "dgrad":
            steps = number * -(-outputs // DEPTH)
            return Product(channels, self.line, number, steps, along, across)
        return Product(outputs, self.line, number, number * -(-channels // DEPTH), across, across)

    @property
    def cut(self) -> Cut:
        return choose(self.product, self.multiprocessors)

    @property
    def filter_points(self) -> int:
        """Numbers at the points of the filters, or of their gradient's parts."""
        parts = self.cut.parts if self.direction == "wgrad" else 1
        return parts * POINTS * self.g.group_channels * self.g.filters

    @property
    def line(self) -> int:
        """Columns that are worked on at once, so that all fits into WORKSPACE; 0 if none do.

        The work is divided into equal shares.
        """
        column = POINTS * (self.g.channels + self.g.filters)
        room = max(0, WORKSPACE - self.filter_points) // column // QUAD * QUAD
        if room == 0:
            return 0
        shares = max(1, -(-self.columns // room))
        return -(-self.columns // (shares * QUAD)) * QUAD

    @property
    def constants(self) -> dict[str, Constant]:
        return point_constants(self.g, self.N, self.multiprocessors)


@cache
def is_faster(plan: PointPlan) -> bool:
    """Whether this method is faster than the plain formula, by a model of both.

    Time is counted in multiply-adds. Both formulas do theirs at the same speed; the points of
    source, target and filters are paid for by the bytes that they move. Partial tiles, small
    groups and few images need more than they save.
    """
    g = plan.g
    if g.stride != 1 or g.filter_size not in SIZES or not g.is_square:
        return False
    if g.group_filters % QUAD or not plan.line:
        return False
    if max(g.channels, g.filters, POINTS * g.groups) > min(MAX_GRID):  # in its launches
        return False
    _, height, width = plan.target_shape
    pairs = g.group_channels * g.group_filters
    shares = -(-plan.columns // plan.line)  # each reads the filters' points again
    moved = plan.columns * (g.group_channels + g.group_filters) + pairs * (1 + shares) / 2
    at_points = POINTS * (plan.columns * pairs + moved * BYTES * MULTIPLY_ADDS_PER_BYTE)
    return at_points < height * width * plan.N * g.filter_size**2 * pairs


@cache
def point_constants(g: Window, N: int, multiprocessors: int) -> dict[str, Constant]:
    """The constants of kernels/winograd.cu."""
    A, G, B = matrices(g.filter_size, SIDE)
    named = {"SUMS_TO_TARGET": A.T, "FILTERS_TO_POINTS": G, "SOURCE_TO_POINTS": B}
    tiles = {d: PointPlan(g, d, N, multiprocessors).cut.tile for d in DIRECTIONS}
    return {
        "FILTER_SIZE": g.filter_size,
        "TILE_SIDE": SIDE,
        **{name: tuple(matrix.ravel().tolist()) for name, matrix in named.items()},
        **{
            f"{direction}_{side}".upper(): size
            for direction, tile in tiles.items()
            for side, size in tile._asdict().items()
        },
    }


class CudaWinogradOps(CudaConvolutionOps):
    """This part of CudaOps: convolutions that are faster so, the others as they were."""

    def conv_fprop(
        self,
        g: Window,
        images: In,
        filters: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool = False,
    ) -> None:
        plan = self._point_plan(g, "fprop", images)
        if not self._is_for_points(plan):
            super().conv_fprop(g, images, filters, biases, neuron, acts, add)
            return
        checked("images", images, *g.images_shape, plan.N)
        checked("filters", filters, *g.conv_filters_shape)
        checked("acts", acts, *g.acts_shape, plan.N)
        bounds = clamps(neuron)
        self._correlate(plan, images, filters, biases, bounds or (-inf, inf), acts, add)
        if bounds is None:
            self._run_neuron(neuron, acts, acts)

    def conv_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        plan = self._point_plan(g, "dgrad", acts_grad)
        if not self._is_for_points(plan):
            super().conv_dgrad(g, filters, acts_grad, images_grad, add)
            return
        checked("filters", filters, *g.conv_filters_shape)
        checked("acts_grad", acts_grad, *g.acts_shape, plan.N)
        checked("images_grad", images_grad, *g.images_shape, plan.N)
        self._correlate(plan, acts_grad, filters, None, (-inf, inf), images_grad, add)

    def conv_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        plan = self._point_plan(g, "wgrad", images)
        if not self._is_for_points(plan):
            super().conv_wgrad(g, images, acts_grad, filters_grad, add)
            return
        checked("images", images, *g.images_shape, plan.N)
        checked("acts_grad", acts_grad, *g.acts_shape, plan.N)
        checked("filters_grad", filters_grad, *g.conv_filters_shape)
        sums, points, grads = self._workspace(plan)
        parts = plan.cut.parts
        steps = -(-plan.line // (DEPTH * parts))
        for first in range(0, plan.columns, plan.line):
            self._source_to_points(plan, images, points, first)
            self._pixels(plan, "grads_to_points", g.acts_shape, first, acts_grad, grads)
            self._products(plan, points, grads, sums, first > 0, steps)
        self._filters(plan, "sums_to_filters_grad", sums, parts, filters_grad, add)

    def _point_plan(self, g: Window, direction: Direction, images: Array) -> PointPlan:
        return PointPlan(g, direction, images.shape[-1], self._driver.multiprocessors)

    def _is_for_points(self, plan: PointPlan) -> bool:
        """Whether Winograd's method computes this. All its products are in float32."""
        return self._precision == Precision.FP32 and is_faster(plan)

    def _correlate(
        self,
        plan: PointPlan,
        source: Array,
        filters: Array,
        biases: Array | None,
        bounds: tuple[float, float],
        target: Array,
        add: bool,
    ) -> None:
        filter_points, points, sums = self._workspace(plan)
        turned = plan.direction == "dgrad"
        epilogue = (
            filters if biases is None else biases,  # kernels take no None
            bias_kind(plan.g, biases),
            *bounds,
            target,
            add,
        )
        self._filters(plan, "filters_to_points", filters, filter_points, turned)
        for first in range(0, plan.columns, plan.line):
            self._source_to_points(plan, source, points, first)
            self._products(plan, filter_points, points, sums)
            self._pixels(plan, "sums_to_target", plan.target_shape, first, sums, *epilogue)

    def _workspace(self, plan: PointPlan) -> tuple[Array, Array, Array]:
        """Room for what is at the points: of the filters, of the source, of the target."""
        channels = (plan.source_shape[0], plan.target_shape[0])
        sizes = (plan.filter_points, *(POINTS * n * plan.line for n in channels))
        scratch = self._scratch(sum(sizes))
        filters, source, target = (
            scratch[start:end] for start, end in pairwise(accumulate(sizes, initial=0))
        )
        return filters, source, target

    def _source_to_points(self, plan: PointPlan, source: Array, points: Array, first: int) -> None:
        shape = plan.source_shape
        self._pixels(plan, "source_to_points", shape, first, source, points, plan.padding)

    def _pixels(
        self,
        plan: PointPlan,
        name: str,
        shape: tuple[int, int, int],
        first: int,
        *args: Array | float,
    ) -> None:
        """Starts a kernel that goes through the tiles of pixels of `shape`, from column `first`."""
        channels, height, width = shape
        line, (_, across) = plan.line, plan.tiles
        grid, count = (-(-line // BLOCK), channels), min(line, plan.columns - first)
        sizes = (height, width, plan.N, across, first, count, line)
        self._launch("winograd", name, grid, (BLOCK,), *args, *sizes, **plan.constants)

    def _filters(self, plan: PointPlan, name: str, *args: Array | float) -> None:
        """Starts a kernel that goes through the filters."""
        F, size = plan.g.filters, plan.g.group_channels * plan.g.filters
        grid = (-(-size // BLOCK),)
        self._launch("winograd", name, grid, (BLOCK,), *args, F, size, **plan.constants)

    def _products(self, plan: PointPlan, *args: Array | float) -> None:
        """Starts the kernel that multiplies at the points."""
        g, product, (tile, parts) = plan.g, plan.product, plan.cut
        channels, outputs = g.group_channels, g.group_filters
        if plan.direction == "dgrad":
            channels, outputs = outputs, channels
        self._launch(
            "winograd",
            f"{plan.direction}_points",
            tile.grid(product.rows, product.columns, product.number * parts),
            (tile.threads,),
            *args,
            *(g.groups, channels, outputs, plan.line),
            **plan.constants,
        )
