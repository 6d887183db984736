"""Convolutions by Winograd's method, where it pays: kernels/winograd.cu."""

from __future__ import annotations

from functools import cache
from math import inf
from typing import NamedTuple

import numpy as np

from convnet.geometry import Window
from convnet.neurons import Neuron
from convnet.ops.cuda.convolution_ops import CudaConvolutionOps, Plan, Tile, bias_kind, clamps
from convnet.ops.cuda.driver import Constant
from convnet.ops.cuda.launch import BLOCK, checked
from convnet.ops.roles import Array, In, Out
from convnet.ops.winograd import POINTS, SIDE, SIZES, matrices

QUAD = 4  # numbers that are copied at once, see kernels/gemm.cuh
WORKSPACE = 2**26  # the most numbers that points and sums take in all: 256 MiB
# Each number at a point goes through memory twice more than in the plain formula, once written and
# once read: so many bytes. While a byte moves a GPU does some 10 multiply-adds (the peaks of an
# H100 give 10, an A100's 6, a T4's 13, an RTX 3090's 19).
BYTES, MULTIPLY_ADDS_PER_BYTE = 8, 10


class Correlation(NamedTuple):
    """A convolution of N images, or its image gradient.

    That is a convolution too: of the outputs' gradients, with the filters turned round, and a
    padding of K - 1 - padding (which may be negative). Source and target are what the kernels read
    and write.
    """

    g: Window
    backward: bool
    N: int

    @property
    def source_shape(self) -> tuple[int, int, int]:
        return self.g.acts_shape if self.backward else self.g.images_shape

    @property
    def target_shape(self) -> tuple[int, int, int]:
        return self.g.images_shape if self.backward else self.g.acts_shape

    @property
    def padding(self) -> int:
        return self.g.filter_size - 1 - self.g.padding if self.backward else self.g.padding

    @property
    def tile(self) -> Tile:
        """Of the products: as wide as that of the plain formula, which has the same rows."""
        plan = Plan(self.g, local=False)
        return plan.dgrad_tile if self.backward else plan.fprop_tile

    @property
    def tiles(self) -> tuple[int, int]:
        """Of the target: down and across."""
        outer = SIDE + 1 - self.g.filter_size
        _, height, width = self.target_shape
        return -(-height // outer), -(-width // outer)

    @property
    def columns(self) -> int:
        """Of all products: tiles x images."""
        down, across = self.tiles
        return down * across * self.N

    @property
    def filter_points(self) -> int:
        """Numbers of the transformed filters."""
        return POINTS * self.g.group_channels * self.g.filters

    @property
    def line(self) -> int:
        """Columns that are worked on at once, so that all fits into WORKSPACE; 0 if none do.

        The work is divided into equal parts.
        """
        column = POINTS * (self.g.channels + self.g.filters)
        room = max(0, WORKSPACE - self.filter_points) // column // QUAD * QUAD
        if room == 0:
            return 0
        parts = -(-self.columns // room)
        return -(-self.columns // (parts * QUAD)) * QUAD

    @property
    def is_faster(self) -> bool:
        """Whether this method is faster than the plain formula, by a model of both.

        Time is counted in multiply-adds. Both formulas do theirs at the same speed; the points of
        source, target and filters are paid for by the bytes that they move. Partial tiles, small
        groups and few images need more than they save.
        """
        g = self.g
        if g.stride != 1 or g.filter_size not in SIZES or g.group_filters % QUAD or not self.line:
            return False
        _, height, width = self.target_shape
        pair = g.group_channels * g.group_filters
        moved = self.columns * (g.group_channels + g.group_filters) + pair
        by_points = POINTS * (self.columns * pair + moved * BYTES * MULTIPLY_ADDS_PER_BYTE)
        return by_points < height * width * self.N * g.filter_size**2 * pair

    @property
    def constants(self) -> dict[str, Constant]:
        """The constants of kernels/winograd.cu."""
        return {
            "FILTER_SIZE": self.g.filter_size,
            "TURNED": int(self.backward),
            "PRODUCT_ROWS": self.tile.rows,
            "PRODUCT_COLUMNS": self.tile.columns,
            "TILE_SIDE": SIDE,
            **_matrices(self.g.filter_size),
        }


@cache
def _matrices(size: int) -> dict[str, Constant]:
    A, G, B = matrices(size)
    named = {"SUMS_TO_TARGET": A.T, "FILTERS_TO_POINTS": G, "SOURCE_TO_POINTS": B}
    return {name: tuple(matrix.ravel().tolist()) for name, matrix in named.items()}


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
        c = Correlation(g, backward=False, N=images.shape[-1])
        if not self._is_for_points(c):
            super().conv_fprop(g, images, filters, biases, neuron, acts, add)
            return
        checked("images", images, *c.source_shape, c.N)
        checked("filters", filters, *g.conv_filters_shape)
        checked("acts", acts, *c.target_shape, c.N)
        bounds = clamps(neuron)
        self._correlate(c, images, filters, biases, bounds or (-inf, inf), acts, add)
        if bounds is None:
            self._run_neuron(neuron, acts, acts)

    def conv_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        c = Correlation(g, backward=True, N=acts_grad.shape[-1])
        if not self._is_for_points(c):
            super().conv_dgrad(g, filters, acts_grad, images_grad, add)
            return
        checked("filters", filters, *g.conv_filters_shape)
        checked("acts_grad", acts_grad, *c.source_shape, c.N)
        checked("images_grad", images_grad, *c.target_shape, c.N)
        self._correlate(c, acts_grad, filters, None, (-inf, inf), images_grad, add)

    def _is_for_points(self, c: Correlation) -> bool:
        """Whether Winograd's method computes `c`. All products are in float32."""
        return c.is_faster

    def _correlate(
        self,
        c: Correlation,
        source: Array,
        filters: Array,
        biases: Array | None,
        bounds: tuple[float, float],
        target: Array,
        add: bool,
    ) -> None:
        g, N, line, (_, across) = c.g, c.N, c.line, c.tiles
        (channels, *source_size), (outputs, *target_size) = c.source_shape, c.target_shape
        pairs = c.filter_points // POINTS
        ends = np.cumsum([c.filter_points, POINTS * channels * line, POINTS * outputs * line])
        scratch = self._scratch(int(ends[2]))
        filter_points, points, sums = (
            scratch[start:end] for start, end in zip((0, *ends), ends, strict=False)
        )

        def launch(name: str, grid: tuple[int, ...], threads: int, *args: Array | float) -> None:
            self._launch("winograd", name, grid, (threads,), *args, **c.constants)

        launch(
            "filters_to_points",
            (-(-pairs // BLOCK),),
            BLOCK,
            *(filters, filter_points, g.filters, pairs),
        )
        for first in range(0, c.columns, line):
            count = min(line, c.columns - first)
            blocks, columns = -(-count // BLOCK), (across, first, count, line)
            launch(
                "source_to_points",
                (blocks, channels),
                BLOCK,
                *(source, points, *source_size, N, c.padding, *columns),
            )
            launch(
                "multiply_points",
                c.tile.grid(outputs // g.groups, count, POINTS * g.groups),
                c.tile.threads,
                *(filter_points, points, sums),
                *(g.groups, channels // g.groups, outputs // g.groups, line),
            )
            launch(
                "sums_to_target",
                (blocks, outputs),
                BLOCK,
                *(sums, filters if biases is None else biases),  # kernels take no None
                bias_kind(g, biases),
                *(*bounds, target, add, *target_size, N, *columns),
            )
