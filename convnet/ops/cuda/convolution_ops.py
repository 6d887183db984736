"""Convolutions (conv, local) and products (fc): kernels/convolution.cu."""

from __future__ import annotations

from math import inf, prod
from typing import Literal, NamedTuple

from convnet.errors import DeviceError
from convnet.geometry import Window
from convnet.neurons import Neuron
from convnet.ops.cuda.driver import Driver, dotted
from convnet.ops.cuda.launch import checked, parts_of_rows
from convnet.ops.cuda.neurons import NeuronLauncher
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.convolution import ConvolutionOps
from convnet.precision import Precision

DEPTH = 16  # terms of a step, see kernels/gemm.cuh
# The sum of a weight's gradient is divided into parts until there is work for so many blocks, but
# none has fewer steps than this.
BLOCKS, STEPS = 256, 8
TENSOR_ARCH = 80  # compute capability times 10 of the first devices with tf32 and bf16


class Tile(NamedTuple):
    """Sums that a block computes."""

    rows: int
    columns: int

    @property
    def threads(self) -> int:
        """As TILE_THREADS in kernels/gemm.cuh."""
        return max(64, self.rows * self.columns // 64)

    def grid(self, rows: int, columns: int, parts: int) -> tuple[int, int, int]:
        return (-(-columns // self.columns), -(-rows // self.rows), parts)


def _wide_tile(rows: int, pixels: int) -> Tile:
    """For `rows` times (pixels x images): the largest whose rows are not for the most part empty.

    A product of one pixel has few columns, and takes small tiles so as to have enough blocks.
    """
    if rows <= 32:
        return Tile(32, 64)
    if pixels == 1:
        return Tile(64, 64)
    return Tile(64, 128) if rows <= 64 else Tile(128, 128)


class Plan(NamedTuple):
    """How the convolutions of one geometry are computed."""

    g: Window
    local: bool

    @property
    def fprop_tile(self) -> Tile:
        return _wide_tile(self.g.group_filters, self.g.out_pixels)

    @property
    def dgrad_tile(self) -> Tile:
        return _wide_tile(self.g.group_channels, self.g.height * self.g.width)

    @property
    def wgrad_tile(self) -> Tile:
        rows = 64 if self.g.taps <= 64 else 128
        columns = next((c for c in (32, 64) if self.g.group_filters <= c), 128)
        return Tile(rows, columns)

    @property
    def filters_shape(self) -> tuple[int, int]:
        return self.g.local_filters_shape if self.local else self.g.conv_filters_shape

    def constants(self, N: int, precision: Precision) -> dict[str, int]:
        """The constants of kernels/convolution.cu."""
        g = self.g
        sides = {
            f"{direction}_{side.upper()}": getattr(tile, side)
            for direction, tile in (
                ("FPROP", self.fprop_tile),
                ("DGRAD", self.dgrad_tile),
                ("WGRAD", self.wgrad_tile),
            )
            for side in ("rows", "columns")
        }
        return {
            "LOCAL": int(self.local),
            "CHANNELS": g.channels,
            "HEIGHT": g.height,
            "WIDTH": g.width,
            "FILTERS": g.filters,
            "FILTER_SIZE": g.filter_size,
            "PADDING": g.padding,
            "STRIDE": g.stride,
            "GROUPS": g.groups,
            "OUT_HEIGHT": g.out_height,
            "OUT_WIDTH": g.out_width,
            "IMAGE_QUADS": int(N % 4 == 0),
            "PRECISION": precision.constant,
            **sides,
        }


def clamps(neuron: Neuron) -> tuple[float, float] | None:
    """The interval that a neuron clamps to, if that is all it does.

    Convolutions do so as they store their sums. Other neurons take a second pass.
    """
    if neuron.kind == "brelu":
        return (0.0, neuron.parameters[0])
    return {"ident": (-inf, inf), "relu": (0.0, inf)}.get(neuron.kind)


class CudaConvolutionOps(NeuronLauncher, ConvolutionOps):
    """This part of CudaOps."""

    def __init__(self, driver: Driver, precision: Precision) -> None:
        super().__init__(driver)
        if precision != Precision.FP32 and driver.arch < TENSOR_ARCH:
            raise DeviceError(
                f"{precision} needs a GPU of compute capability {dotted(TENSOR_ARCH)} or higher; "
                f"this one has {dotted(driver.arch)}: choose --precision fp32"
            )
        self._precision = precision

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
        self._fprop(Plan(g, local=False), images, filters, biases, neuron, acts, add)

    def conv_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        self._dgrad(Plan(g, local=False), filters, acts_grad, images_grad, add)

    def conv_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        self._wgrad(Plan(g, local=False), images, acts_grad, filters_grad, add)

    def local_fprop(
        self,
        g: Window,
        images: In,
        filters: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool = False,
    ) -> None:
        self._fprop(Plan(g, local=True), images, filters, biases, neuron, acts, add)

    def local_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        self._dgrad(Plan(g, local=True), filters, acts_grad, images_grad, add)

    def local_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        self._wgrad(Plan(g, local=True), images, acts_grad, filters_grad, add)

    def fc_fprop(
        self,
        inputs: In,
        weights: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool = False,
    ) -> None:
        self._fprop(_one_pixel(weights), inputs, weights, biases, neuron, acts, add)

    def fc_dgrad(self, weights: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        self._dgrad(_one_pixel(weights), weights, acts_grad, inputs_grad, add)

    def fc_wgrad(self, inputs: In, acts_grad: In, weights_grad: Out, add: bool = False) -> None:
        self._wgrad(_one_pixel(weights_grad), inputs, acts_grad, weights_grad, add)

    def bias_grad(self, acts_grad: In, biases_grad: Out, add: bool = False) -> None:
        rows = biases_grad.size
        length = acts_grad.size // rows
        values = checked("acts_grad", acts_grad, rows, length)
        parts = parts_of_rows(rows, length)
        if parts > 1:
            sums = self._scratch(rows * parts)
            self._sum_rows(values, rows, sums, parts=parts)
            values = sums
        self._sum_rows(values, rows, checked("biases_grad", biases_grad, rows), add)

    def _fprop(
        self,
        plan: Plan,
        images: In,
        filters: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool,
    ) -> None:
        g, N = plan.g, images.shape[-1]
        bounds = clamps(neuron)
        pixels = g.out_pixels if plan.local else 1
        self._product(
            "fprop",
            plan,
            N,
            plan.fprop_tile,
            plan.fprop_tile.grid(g.group_filters, g.out_pixels // pixels * N, g.groups * pixels),
            checked("images", images, *g.images_shape, N),
            checked("filters", filters, *plan.filters_shape),
            filters if biases is None else biases,  # kernels take no None
            bias_kind(g, biases),
            *(bounds or (-inf, inf)),
            checked("acts", acts, *g.acts_shape, N),
            add,
            N,
        )
        if bounds is None:
            self._run_neuron(neuron, acts, acts)

    def _dgrad(self, plan: Plan, filters: In, acts_grad: In, images_grad: Out, add: bool) -> None:
        g, N = plan.g, acts_grad.shape[-1]
        # A part has one pixel, or those of one class, see Dgrad in the kernels' file.
        height, width, parts = (
            (1, 1, g.height * g.width)
            if plan.local
            else (-(-g.height // g.stride), -(-g.width // g.stride), g.stride**2)
        )
        self._product(
            "dgrad",
            plan,
            N,
            plan.dgrad_tile,
            plan.dgrad_tile.grid(g.group_channels, height * width * N, g.groups * parts),
            checked("filters", filters, *plan.filters_shape),
            checked("acts_grad", acts_grad, *g.acts_shape, N),
            checked("images_grad", images_grad, *g.images_shape, N),
            add,
            N,
        )

    def _wgrad(self, plan: Plan, images: In, acts_grad: In, filters_grad: Out, add: bool) -> None:
        g, N = plan.g, images.shape[-1]
        checked("filters_grad", filters_grad, *plan.filters_shape)
        columns, rows, groups = plan.wgrad_tile.grid(g.taps, g.group_filters, g.groups)
        steps, parts = -(-N // DEPTH), g.out_pixels
        if not plan.local:
            steps *= g.out_pixels
            parts = max(1, min(BLOCKS // (columns * rows * groups), steps // STEPS))
            steps = -(-steps // parts)
        divided = parts > 1 and not plan.local
        sums = self._scratch(parts * filters_grad.size) if divided else filters_grad
        self._product(
            "wgrad",
            plan,
            N,
            plan.wgrad_tile,
            (columns, rows, groups * parts),
            checked("images", images, *g.images_shape, N),
            checked("acts_grad", acts_grad, *g.acts_shape, N),
            sums,
            add and not divided,
            N,
            parts,
            steps,
        )
        if divided:
            self._numbers("sums", "sum_parts", filters_grad.size, sums, parts, filters_grad, add)

    def _product(
        self,
        name: Literal["fprop", "dgrad", "wgrad"],
        plan: Plan,
        N: int,
        tile: Tile,
        grid: tuple[int, int, int],
        *args: Array | float,
    ) -> None:
        blocks = (prod(grid),)  # in one dimension, as the others end at 65535
        constants = plan.constants(N, self._precision)
        self._launch("convolution", name, blocks, (tile.threads,), *args, **constants)


def _one_pixel(weights: Array) -> Plan:
    """A product as the convolution of one pixel."""
    K, F = weights.shape
    return Plan(Window(K, 1, 1, F, 1), local=False)


def bias_kind(g: Window, biases: Array | None) -> int:
    """0 without biases, 1 if there is one per filter, 2 if there is one per output."""
    if biases is None:
        return 0
    if biases.size == g.filters:
        checked("biases", biases, g.filters)
        return 1
    checked("biases", biases, g.filters, g.out_pixels)
    return 2
