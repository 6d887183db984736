"""The operations on windows: convolutions and pooling."""

from __future__ import annotations

from math import inf
from types import ModuleType
from typing import Any

import numpy as np

from convnet.geometry import Pool, Window
from convnet.neurons import Neuron
from convnet.ops.base import In, Ops, Out
from convnet.ops.cpu import conv, local, pool
from convnet.ops.cpu.arrays import checked

_f32: Any = np.float32

# Neurons that clamp to [low, high]: convolutions do so as they store their sums. The others take
# a second pass.
CLAMPS = {"ident": (-inf, inf), "relu": (0.0, inf)}


class WindowOps(Ops):
    """This part of CpuOps."""

    # --- convolution, shared filters --------------------------------------------------------

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
        self._fprop(conv, g, g.conv_filters_shape, images, filters, biases, neuron, acts, add)

    def conv_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        _dgrad(conv, g, g.conv_filters_shape, filters, acts_grad, images_grad, add)

    def conv_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        _wgrad(conv, g, g.conv_filters_shape, images, acts_grad, filters_grad, add)

    # --- convolution, a set of filters per output pixel ---------------------------------------

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
            self.neuron_fprop(neuron, acts, acts)

    # --- pooling ------------------------------------------------------------------------------

    def pool_max_fprop(self, g: Pool, images: In, acts: Out) -> None:
        N = images.shape[-1]
        pool.max_fprop(
            checked("images", images, *g.images_shape, N),
            *_pool_sizes(g),
            checked("acts", acts, *g.acts_shape, N),
        )

    def pool_max_bprop(
        self,
        g: Pool,
        images: In,
        acts: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        N = images.shape[-1]
        pool.max_bprop(
            checked("images", images, *g.images_shape, N),
            checked("acts", acts, *g.acts_shape, N),
            checked("acts_grad", acts_grad, *g.acts_shape, N),
            *_pool_sizes(g),
            checked("images_grad", images_grad, *g.images_shape, N),
            add,
        )

    def pool_avg_fprop(self, g: Pool, divide: bool, images: In, acts: Out) -> None:
        N = images.shape[-1]
        pool.avg_fprop(
            checked("images", images, *g.images_shape, N),
            *_pool_sizes(g),
            divide,
            checked("acts", acts, *g.acts_shape, N),
        )

    def pool_avg_bprop(
        self, g: Pool, divide: bool, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        N = acts_grad.shape[-1]
        pool.avg_bprop(
            checked("acts_grad", acts_grad, *g.acts_shape, N),
            *_pool_sizes(g),
            divide,
            checked("images_grad", images_grad, *g.images_shape, N),
            add,
        )


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


def _pool_sizes(g: Pool) -> tuple[int, int, int]:
    return g.start, g.stride, g.size
