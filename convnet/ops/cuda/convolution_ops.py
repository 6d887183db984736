"""Convolutions (conv, local) and products (fc): kernels/convolution.cu."""

from __future__ import annotations

from math import inf, prod
from typing import NamedTuple

from convnet.errors import DeviceError
from convnet.geometry import Window
from convnet.neurons import Neuron
from convnet.ops.cuda.driver import Driver, dotted
from convnet.ops.cuda.launch import checked, parts_of_rows
from convnet.ops.cuda.neurons import NeuronLauncher
from convnet.ops.cuda.tiles import DIRECTIONS, QUAD, Cut, Direction, Product, choose, products
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.convolution import ConvolutionOps
from convnet.precision import Precision

TENSOR_ARCH = 80  # compute capability times 10 of the first devices with tf32 and bf16


class Plan(NamedTuple):
    """How the convolutions of N images of one geometry are computed on a device.

    Attributes:
        multiprocessors: of the device.
    """

    g: Window
    local: bool
    N: int
    multiprocessors: int

    def product(self, direction: Direction) -> Product:
        return products(self.g, self.local, self.N)[direction]

    def cut(self, direction: Direction) -> Cut:
        return choose(self.product(direction), self.multiprocessors)

    @property
    def filters_shape(self) -> tuple[int, int]:
        return self.g.local_filters_shape if self.local else self.g.conv_filters_shape

    def constants(self, precision: Precision) -> dict[str, int]:
        """The constants of kernels/convolution.cu."""
        g = self.g
        sides = {
            f"{direction.upper()}_{side.upper()}": getattr(self.cut(direction).tile, side)
            for direction in DIRECTIONS
            for side in ("rows", "columns")
        }
        return {
            "LOCAL": int(self.local),
            "CHANNELS": g.channels,
            "HEIGHT": g.height,
            "WIDTH": g.width,
            "FILTERS": g.filters,
            "FILTER_HEIGHT": g.rows.filter_size,
            "FILTER_WIDTH": g.columns.filter_size,
            "TOP": g.rows.padding,
            "LEFT": g.columns.padding,
            "STRIDE": g.stride,
            "GROUPS": g.groups,
            "OUT_HEIGHT": g.out_height,
            "OUT_WIDTH": g.out_width,
            "IMAGE_QUADS": int(self.N % QUAD == 0),
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
        self._fprop(g, False, images, filters, biases, neuron, acts, add)

    def conv_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        self._dgrad(g, False, filters, acts_grad, images_grad, add)

    def conv_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        self._wgrad(g, False, images, acts_grad, filters_grad, add)

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
        self._fprop(g, True, images, filters, biases, neuron, acts, add)

    def local_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        self._dgrad(g, True, filters, acts_grad, images_grad, add)

    def local_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        self._wgrad(g, True, images, acts_grad, filters_grad, add)

    def fc_fprop(
        self,
        inputs: In,
        weights: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool = False,
    ) -> None:
        self._fprop(_one_pixel(weights), False, inputs, weights, biases, neuron, acts, add)

    def fc_dgrad(self, weights: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        self._dgrad(_one_pixel(weights), False, weights, acts_grad, inputs_grad, add)

    def fc_wgrad(self, inputs: In, acts_grad: In, weights_grad: Out, add: bool = False) -> None:
        self._wgrad(_one_pixel(weights_grad), False, inputs, acts_grad, weights_grad, add)

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
        g: Window,
        local: bool,
        images: In,
        filters: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool,
    ) -> None:
        N = images.shape[-1]
        plan = self._plan(g, local, N)
        bounds = clamps(neuron)
        self._product(
            "fprop",
            plan,
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

    def _dgrad(
        self,
        g: Window,
        local: bool,
        filters: In,
        acts_grad: In,
        images_grad: Out,
        add: bool,
    ) -> None:
        N = acts_grad.shape[-1]
        plan = self._plan(g, local, N)
        self._product(
            "dgrad",
            plan,
            checked("filters", filters, *plan.filters_shape),
            checked("acts_grad", acts_grad, *g.acts_shape, N),
            checked("images_grad", images_grad, *g.images_shape, N),
            add,
            N,
        )

    def _wgrad(
        self,
        g: Window,
        local: bool,
        images: In,
        acts_grad: In,
        filters_grad: Out,
        add: bool,
    ) -> None:
        N = images.shape[-1]
        plan = self._plan(g, local, N)
        checked("filters_grad", filters_grad, *plan.filters_shape)
        product, parts = plan.product("wgrad"), plan.cut("wgrad").parts
        divided = parts > 1
        sums = self._scratch(parts * filters_grad.size) if divided else filters_grad
        self._product(
            "wgrad",
            plan,
            checked("images", images, *g.images_shape, N),
            checked("acts_grad", acts_grad, *g.acts_shape, N),
            sums,
            add and not divided,
            N,
            product.number // g.groups * parts,
            -(-product.steps // (product.number * parts)),
        )
        if divided:
            self._numbers("sums", "sum_parts", filters_grad.size, sums, parts, filters_grad, add)

    def _plan(self, g: Window, local: bool, N: int) -> Plan:
        return Plan(g, local, N, self._driver.multiprocessors)

    def _product(self, direction: Direction, plan: Plan, *args: Array | float) -> None:
        product, (tile, parts) = plan.product(direction), plan.cut(direction)
        grid = tile.grid(product.rows, product.columns, product.number * parts)
        blocks = (prod(grid),)  # in one dimension, as the others end at 65535
        constants = plan.constants(self._precision)
        self._launch("convolution", direction, blocks, (tile.threads,), *args, **constants)


def _one_pixel(weights: Array) -> Window:
    """A product as the convolution of one pixel."""
    K, F = weights.shape
    return Window(K, 1, 1, F, 1)


def bias_kind(g: Window, biases: Array | None) -> int:
    """0 without biases, 1 if there is one per filter, 2 if there is one per output."""
    if biases is None:
        return 0
    if biases.size == g.filters:
        checked("biases", biases, g.filters)
        return 1
    checked("biases", biases, g.filters, g.out_pixels)
    return 2
