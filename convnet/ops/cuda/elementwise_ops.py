"""Elementwise operations and copies of rows: kernels/elementwise.cu."""

from __future__ import annotations

from convnet.neurons import Neuron
from convnet.ops.cuda.launch import checked
from convnet.ops.cuda.neurons import NeuronLauncher, neuron_arguments
from convnet.ops.roles import In, InOut, Out
from convnet.ops.spec.elementwise import ElementwiseOps


class CudaElementwiseOps(NeuronLauncher, ElementwiseOps):
    """This part of CudaOps."""

    def neuron_fprop(self, neuron: Neuron, inputs: In, acts: Out) -> None:
        self._run_neuron(neuron, inputs, acts)

    def neuron_bprop(
        self, neuron: Neuron, values: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        size = values.size
        self._numbers(
            "elementwise",
            "neuron_bprop",
            size,
            checked("values", values, size),
            *neuron_arguments(neuron),
            checked("acts_grad", acts_grad, size),
            checked("inputs_grad", inputs_grad, size),
            add,
        )

    def add_scaled(self, inputs: In, scale: float, acts: Out, add: bool = False) -> None:
        size = inputs.size
        self._numbers(
            "elementwise",
            "scale",
            size,
            checked("inputs", inputs, size),
            float(scale),
            checked("acts", acts, size),
            add,
        )

    def eltmax(self, first: In, second: In, acts: Out) -> None:
        size = first.size
        self._numbers(
            "elementwise",
            "eltmax",
            size,
            checked("first", first, size),
            checked("second", second, size),
            checked("acts", acts, size),
        )

    def eltmax_bprop(
        self, inputs: In, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        size = inputs.size
        self._numbers(
            "elementwise",
            "eltmax_bprop",
            size,
            checked("inputs", inputs, size),
            checked("acts", acts, size),
            checked("acts_grad", acts_grad, size),
            checked("inputs_grad", inputs_grad, size),
            add,
        )

    def copy_rows(
        self, source: In, source_row: int, target: InOut, target_row: int, rows: int, add: bool
    ) -> None:
        cases = target.shape[-1]
        parts = [
            array.reshape(-1)[row * cases : (row + rows) * cases]
            for array, row in ((source, source_row), (target, target_row))
        ]
        self.add_scaled(parts[0], 1.0, parts[1], add)

    def copy_cases(
        self, source: In, source_case: int, target: InOut, target_case: int, cases: int
    ) -> None:
        rows = target.size // target.shape[-1]
        self._numbers(
            "elementwise",
            "copy_cases",
            rows * cases,
            checked("source", source, rows, source.shape[-1]).reshape(-1)[source_case:],
            source.shape[-1],
            checked("target", target, target.size).reshape(-1)[target_case:],
            target.shape[-1],
            cases,
        )

    def prelu_fprop(self, images: In, slopes: In, acts: Out) -> None:
        size, C = images.size, images.shape[0]
        self._numbers(
            "elementwise",
            "prelu_fprop",
            size,
            checked("images", images, size),
            checked("slopes", slopes, C),
            checked("acts", acts, size),
            size // C,
        )

    def prelu_dgrad(
        self, images: In, slopes: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        size, C = images.size, images.shape[0]
        self._numbers(
            "elementwise",
            "prelu_dgrad",
            size,
            checked("images", images, size),
            checked("slopes", slopes, C),
            checked("acts_grad", acts_grad, size),
            checked("images_grad", images_grad, size),
            *(add, size // C),
        )

    def prelu_terms(self, images: In, acts_grad: In, terms: Out) -> None:
        size = images.size
        self._numbers(
            "elementwise",
            "prelu_terms",
            size,
            checked("images", images, size),
            checked("acts_grad", acts_grad, size),
            checked("terms", terms, size),
        )
