"""Elementwise operations and copies of rows: checks arrays, calls the CPU kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from convnet.neurons import Neuron
from convnet.ops.cpu import elementwise, neurons
from convnet.ops.cpu.arrays import checked
from convnet.ops.layout import channels_of
from convnet.ops.roles import Array, In, InOut, Out
from convnet.ops.spec.elementwise import ElementwiseOps

_f32: Any = np.float32


class CpuElementwiseOps(ElementwiseOps):
    """This part of CpuOps."""

    def neuron_fprop(self, neuron: Neuron, inputs: In, acts: Out) -> None:
        run_neuron(neuron, inputs, acts)

    def neuron_bprop(
        self, neuron: Neuron, values: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        kernel = neurons.bprop_add(neuron.kind) if add else neurons.bprop(neuron.kind)
        size = values.size
        kernel(
            checked("values", values, size),
            parameters(neuron),
            checked("acts_grad", acts_grad, size),
            checked("inputs_grad", inputs_grad, size),
        )

    def add_scaled(self, inputs: In, scale: float, acts: Out, add: bool = False) -> None:
        kernel = elementwise.scale_add if add else elementwise.scale
        size = inputs.size
        kernel(checked("inputs", inputs, size), _f32(scale), checked("acts", acts, size))

    def eltmax(self, first: In, second: In, acts: Out) -> None:
        size = first.size
        elementwise.eltmax(
            checked("first", first, size),
            checked("second", second, size),
            checked("acts", acts, size),
        )

    def eltmax_bprop(
        self, inputs: In, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        size = inputs.size
        elementwise.eltmax_bprop(
            checked("inputs", inputs, size),
            checked("acts", acts, size),
            checked("acts_grad", acts_grad, size),
            checked("inputs_grad", inputs_grad, size),
            add,
        )

    def copy_rows(
        self, source: In, source_row: int, target: InOut, target_row: int, rows: int, add: bool
    ) -> None:
        block = _as_rows("source", source)[source_row : source_row + rows]
        place = _as_rows("target", target)[target_row : target_row + rows]
        if add:
            place += block
        else:
            place[...] = block

    def copy_cases(
        self, source: In, source_case: int, target: InOut, target_case: int, cases: int
    ) -> None:
        block = _as_rows("source", source)[:, source_case : source_case + cases]
        _as_rows("target", target)[:, target_case : target_case + cases] = block

    def prelu_fprop(self, images: In, slopes: In, acts: Out) -> None:
        shape = channels_of(images)
        elementwise.prelu_fprop(
            checked("images", images, *shape),
            checked("slopes", slopes, shape[0]),
            checked("acts", acts, *shape),
        )

    def prelu_dgrad(
        self, images: In, slopes: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        shape = channels_of(images)
        elementwise.prelu_dgrad(
            checked("images", images, *shape),
            checked("slopes", slopes, shape[0]),
            checked("acts_grad", acts_grad, *shape),
            checked("images_grad", images_grad, *shape),
            add,
        )

    def prelu_terms(self, images: In, acts_grad: In, terms: Out) -> None:
        size = images.size
        elementwise.prelu_terms(
            checked("images", images, size),
            checked("acts_grad", acts_grad, size),
            checked("terms", terms, size),
        )


def parameters(neuron: Neuron) -> tuple[np.float32, ...]:
    """The neuron's parameters as the kernels take them."""
    return tuple(map(np.float32, neuron.parameters))


def run_neuron(neuron: Neuron, inputs: Array, acts: Array) -> None:
    """acts = f(inputs). In place."""
    kernel = neurons.fprop(neuron.kind)
    size = inputs.size
    kernel(checked("inputs", inputs, size), parameters(neuron), checked("acts", acts, size))


def _as_rows(name: str, array: Array) -> Array:
    cases = array.shape[-1]
    return checked(name, array, array.size // cases, cases)
