"""The operations on a CPU: numba kernels in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from convnet.geometry import Norm
from convnet.neurons import Neuron
from convnet.ops.base import Array, In, InOut, Out, RandomKey
from convnet.ops.cpu import elementwise, fc, neurons, norms, softmax
from convnet.ops.cpu.arrays import checked
from convnet.ops.cpu.dropout import dropout
from convnet.ops.cpu.jit import aligned
from convnet.ops.cpu.windows import CLAMPS, WindowOps

_f32: Any = np.float32


class CpuOps(WindowOps):
    """Operations on numpy arrays in float32.

    Arrays must be C-contiguous. Results do not depend on the number of threads, which is
    numba's (NUMBA_NUM_THREADS, numba.set_num_threads).

    Raises: ShapeError from every operation that is given an array of another dtype or size.
    """

    name = "cpu"
    dtype = np.dtype(np.float32)

    # --- memory ---------------------------------------------------------------------------

    def empty(self, size: int) -> Array:
        # NaN, so that reading what was never written shows.
        array = aligned(size)
        array.fill(np.nan)
        return array

    def upload(self, source: np.ndarray, target: Out) -> None:
        target[...] = source

    def download(self, source: In) -> np.ndarray:
        return np.array(source)

    # --- fully connected ----------------------------------------------------------------------

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
            self.neuron_fprop(neuron, acts, acts)

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

    # --- response normalisation -----------------------------------------------------------------

    def rnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        shape = images.shape
        norms.rnorm_fprop(
            checked("images", images, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            _f32(norm.min_div),
            checked("denoms", denoms, *shape),
            checked("acts", acts, *shape),
        )

    def rnorm_bprop(
        self,
        norm: Norm,
        images: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        shape = images.shape
        norms.rnorm_bprop(
            checked("images", images, *shape),
            checked("denoms", denoms, *shape),
            checked("acts_grad", acts_grad, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            checked("images_grad", images_grad, *shape),
            add,
        )

    def cmrnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        shape = _planes(images)
        norms.cmrnorm_fprop(
            checked("images", images, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            _f32(norm.min_div),
            norm.blocked,
            checked("denoms", denoms, *shape),
            checked("acts", acts, *shape),
        )

    def cmrnorm_bprop(
        self,
        norm: Norm,
        images: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        shape = _planes(images)
        norms.cmrnorm_bprop(
            checked("images", images, *shape),
            checked("denoms", denoms, *shape),
            checked("acts_grad", acts_grad, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            norm.blocked,
            checked("images_grad", images_grad, *shape),
            add,
        )

    # --- elementwise ------------------------------------------------------------------------------

    def neuron_fprop(self, neuron: Neuron, inputs: In, acts: Out) -> None:
        kernel = neurons.fprop(neuron.kind)
        size = inputs.size
        kernel(checked("inputs", inputs, size), *_parameters(neuron), checked("acts", acts, size))

    def neuron_bprop(
        self, neuron: Neuron, values: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        kernel = neurons.bprop_add(neuron.kind) if add else neurons.bprop(neuron.kind)
        size = values.size
        kernel(
            checked("values", values, size),
            *_parameters(neuron),
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
        N = source.shape[-1]
        block = checked("source", source, source.size // N, N)[source_row : source_row + rows]
        place = checked("target", target, target.size // N, N)[target_row : target_row + rows]
        if add:
            place += block
        else:
            place[...] = block

    def dropout(
        self,
        inputs: In,
        keep: float,
        scale: float,
        key: RandomKey,
        acts: Out,
        add: bool = False,
    ) -> None:
        size = inputs.size
        dropout(
            checked("inputs", inputs, size),
            np.uint64(np.ceil(keep * 2**24)),  # u 2^-24 < keep, in whole numbers
            _f32(scale),
            np.array([word & 0xFFFFFFFF for word in key], np.uint64),
            checked("acts", acts, size),
            add,
        )

    # --- softmax and costs ------------------------------------------------------------------------

    def softmax_fprop(self, inputs: In, acts: Out) -> None:
        shape = _rows(inputs)
        softmax.fprop(checked("inputs", inputs, *shape), checked("acts", acts, *shape))

    def softmax_bprop(self, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        shape = _rows(acts)
        softmax.bprop(
            checked("acts", acts, *shape),
            checked("acts_grad", acts_grad, *shape),
            checked("inputs_grad", inputs_grad, *shape),
            add,
        )

    def logreg_cost(self, labels: In, probs: In, top: int, values: Out) -> None:
        shape = _rows(probs)
        softmax.logreg_cost(
            checked("labels", labels, shape[1]),
            checked("probs", probs, *shape),
            top,
            checked("values", values, 3),
        )

    def logreg_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        shape = _rows(probs)
        softmax.logreg_bprop(
            checked("labels", labels, shape[1]),
            checked("probs", probs, *shape),
            _f32(coeff),
            checked("probs_grad", probs_grad, *shape),
            add,
        )

    def softmax_logreg_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        shape = _rows(probs)
        softmax.softmax_logreg_bprop(
            checked("labels", labels, shape[1]),
            checked("probs", probs, *shape),
            _f32(coeff),
            checked("inputs_grad", inputs_grad, *shape),
            add,
        )

    def sum2_cost(self, inputs: In, values: Out) -> None:
        softmax.sum2_cost(
            checked("inputs", inputs, inputs.size), checked("values", values, values.size)
        )

    # --- learning ---------------------------------------------------------------------------

    def sgd(
        self,
        weights: InOut,
        increments: InOut,
        gradients: In,
        momentum: float,
        rate: float,
        decay: float,
        cases: int,
    ) -> None:
        size = weights.size
        elementwise.sgd(
            checked("weights", weights, size),
            checked("increments", increments, size),
            checked("gradients", gradients, size),
            _f32(momentum),
            _f32(rate / cases),
            _f32(decay * rate),
        )


def _rows(array: Array) -> tuple[int, int]:
    return array.size // array.shape[-1], array.shape[-1]


def _planes(images: Array) -> tuple[int, int, int]:
    """(C, H, W, N) -> (C, H * W, N)."""
    C, H, W, N = images.shape
    return C, H * W, N


def _parameters(neuron: Neuron) -> tuple[np.float32, np.float32]:
    """The two parameters of a neuron, zero where it has none."""
    a, b = (*neuron.parameters, 0.0, 0.0)[:2]
    return _f32(a), _f32(b)
