"""Convolutions (conv, local) and products (fc): checks arrays, calls the CPU kernels."""

from __future__ import annotations

from math import inf
from types import ModuleType
from typing import Any

import numpy as np

from convnet.geometry import Window
from convnet.neurons import Neuron
from convnet.ops.cpu import conv, elementwise, fc, local, pointwise, winograd
from convnet.ops.cpu.arrays import checked
from convnet.ops.cpu.elementwise_ops import run_neuron
from convnet.ops.roles import In, Out
from convnet.ops.spec.convolution import ConvolutionOps

_f32: Any = np.float32


# Neurons that clamp to [low, high]: convolutions do so as they store their sums. The others take
# a second pass.
CLAMPS = {"ident": (-inf, inf), "relu": (0.0, inf)}


class CpuConvolutionOps(ConvolutionOps):
    """This part of CpuOps."""

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
        kernels = _conv_kernels(g)
        self._fprop(kernels, g, g.conv_filters_shape, images, filters, biases, neuron, acts, add)

    def conv_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        _dgrad(_conv_kernels(g), g, g.conv_filters_shape, filters, acts_grad, images_grad, add)

    def conv_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        _wgrad(_conv_kernels(g), g, g.conv_filters_shape, images, acts_grad, filters_grad, add)

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
        self._fprop(local, g, g.local_filters_shape, images, filters, biases, neuron, acts, add)

    def local_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        _dgrad(local, g, g.local_filters_shape, filters, acts_grad, images_grad, add)

    def local_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        _wgrad(local, g, g.local_filters_shape, images, acts_grad, filters_grad, add)

    def fc_fprop(
        self,
        inputs: In,
        weights: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool = False,
    ) -> None:
        (K, F), N = weights.shape, inputs.shape[-1]
        if biases is None:
            biases = np.zeros(F, _f32)
        low, high = CLAMPS.get(neuron.kind, CLAMPS["ident"])
        fc.fprop(
            checked("inputs", inputs, K, N),
            checked("weights", weights, K, F),
            checked("biases", biases, F),
            _f32(low),
            _f32(high),
            checked("acts", acts, F, N),
            add,
        )
        if neuron.kind not in CLAMPS:
            run_neuron(neuron, acts, acts)

    def fc_dgrad(self, weights: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        (K, F), N = weights.shape, acts_grad.shape[-1]
        fc.dgrad(
            checked("weights", weights, K, F),
            checked("acts_grad", acts_grad, F, N),
            checked("inputs_grad", inputs_grad, K, N),
            add,
        )

    def fc_wgrad(self, inputs: In, acts_grad: In, weights_grad: Out, add: bool = False) -> None:
        (K, F), N = weights_grad.shape, inputs.shape[-1]
        fc.wgrad(
            checked("inputs", inputs, K, N),
            checked("acts_grad", acts_grad, F, N),
            checked("weights_grad", weights_grad, K, F),
            add,
        )

    def bias_grad(self, acts_grad: In, biases_grad: Out, add: bool = False) -> None:
        rows = biases_grad.size
        values = checked("acts_grad", acts_grad, rows, acts_grad.size // rows)
        elementwise.sum_rows(values, checked("biases_grad", biases_grad, rows), add)

    def _fprop(
        self,
        family: ModuleType,
        g: Window,
        filters_shape: tuple[int, int],
        images: In,
        filters: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool,
    ) -> None:
        """conv_fprop or local_fprop, which differ in the kernels and the shape of the filters."""
        F, P, Q = g.acts_shape
        N = images.shape[-1]
        if biases is None:
            biases = np.zeros(F, _f32)
        low, high = CLAMPS.get(neuron.kind, CLAMPS["ident"])
        family.fprop(
            g,
            checked("images", images, *g.images_shape, N),
            checked("filters", filters, *filters_shape),
            checked("biases", biases, F, P * Q if biases.size == F * P * Q else 1),
            _f32(low),
            _f32(high),
            checked("acts", acts, F, P, Q, N),
            add,
        )
        if neuron.kind not in CLAMPS:
            run_neuron(neuron, acts, acts)


def _conv_kernels(g: Window) -> ModuleType:
    """The kernels that are faster for a convolution with shared filters."""
    return next((kernels for kernels in (pointwise, winograd) if kernels.is_faster(g)), conv)


def _dgrad(
    family: ModuleType,
    g: Window,
    filters_shape: tuple[int, int],
    filters: In,
    acts_grad: In,
    images_grad: Out,
    add: bool,
) -> None:
    N = acts_grad.shape[-1]
    family.dgrad(
        g,
        checked("filters", filters, *filters_shape),
        checked("acts_grad", acts_grad, *g.acts_shape, N),
        checked("images_grad", images_grad, *g.images_shape, N),
        add,
    )


def _wgrad(
    family: ModuleType,
    g: Window,
    filters_shape: tuple[int, int],
    images: In,
    acts_grad: In,
    filters_grad: Out,
    add: bool,
) -> None:
    N = images.shape[-1]
    family.wgrad(
        g,
        checked("images", images, *g.images_shape, N),
        checked("acts_grad", acts_grad, *g.acts_shape, N),
        checked("filters_grad", filters_grad, *filters_shape),
        add,
    )
