"""The operations on a CPU: numba kernels in float32, and numpy's BLAS for plain products."""

from __future__ import annotations

from math import inf, prod
from types import ModuleType

import numpy as np

from convnet.errors import ShapeError
from convnet.geometry import Norm, Pool, Window
from convnet.neurons import Neuron
from convnet.ops.base import Array, In, InOut, Ops, Out, RandomKey
from convnet.ops.cpu import conv, elementwise, local, neurons, norms, pool, softmax
from convnet.ops.cpu.dropout import dropout
from convnet.ops.cpu.jit import aligned

_f32 = np.float32

# Neurons that clamp to [low, high]: convolutions do so as they store their sums. The others take
# a second pass.
_CLAMPS = {"ident": (-inf, inf), "relu": (0.0, inf)}


class CpuOps(Ops):
    """Operations on numpy arrays in float32.

    Arrays must be C-contiguous. Results do not depend on the number of threads, which is
    numba's (NUMBA_NUM_THREADS, numba.set_num_threads); the products of fc layers are BLAS's.

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
        low, high = _CLAMPS.get(neuron.kind, _CLAMPS["ident"])
        family.fprop(
            g,
            _array("images", images, *g.images_shape, N),
            _array("filters", filters, *filters_shape),
            _array("biases", biases, F, P * Q if biases.size == F * P * Q else 1),
            _f32(low),
            _f32(high),
            _array("acts", acts, F, P, Q, N),
            add,
        )
        if neuron.kind not in _CLAMPS:
            self.neuron_fprop(neuron, acts, acts)

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
        acts = _array("acts", acts, F, N)
        _product(_array("weights", weights, K, F).T, _array("inputs", inputs, K, N), acts, add)
        if biases is not None:
            acts += _array("biases", biases, F, 1)
        if neuron.kind != "ident":
            self.neuron_fprop(neuron, acts, acts)

    def fc_dgrad(self, weights: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        (K, F), N = weights.shape, acts_grad.shape[-1]
        _product(
            _array("weights", weights, K, F),
            _array("acts_grad", acts_grad, F, N),
            _array("inputs_grad", inputs_grad, K, N),
            add,
        )

    def fc_wgrad(self, inputs: In, acts_grad: In, weights_grad: Out, add: bool = False) -> None:
        (K, F), N = weights_grad.shape, inputs.shape[-1]
        _product(
            _array("inputs", inputs, K, N),
            _array("acts_grad", acts_grad, F, N).T,
            _array("weights_grad", weights_grad, K, F),
            add,
        )

    def bias_grad(self, acts_grad: In, biases_grad: Out, add: bool = False) -> None:
        rows = biases_grad.size
        values = _array("acts_grad", acts_grad, rows, acts_grad.size // rows)
        elementwise.sum_rows(values, _array("biases_grad", biases_grad, rows), add)

    # --- pooling ------------------------------------------------------------------------------

    def pool_max_fprop(self, g: Pool, images: In, acts: Out) -> None:
        N = images.shape[-1]
        pool.max_fprop(
            _array("images", images, *g.images_shape, N),
            *_pool_sizes(g),
            _array("acts", acts, *g.acts_shape, N),
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
            _array("images", images, *g.images_shape, N),
            _array("acts", acts, *g.acts_shape, N),
            _array("acts_grad", acts_grad, *g.acts_shape, N),
            *_pool_sizes(g),
            _array("images_grad", images_grad, *g.images_shape, N),
            add,
        )

    def pool_avg_fprop(self, g: Pool, divide: bool, images: In, acts: Out) -> None:
        N = images.shape[-1]
        pool.avg_fprop(
            _array("images", images, *g.images_shape, N),
            *_pool_sizes(g),
            divide,
            _array("acts", acts, *g.acts_shape, N),
        )

    def pool_avg_bprop(
        self, g: Pool, divide: bool, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        N = acts_grad.shape[-1]
        pool.avg_bprop(
            _array("acts_grad", acts_grad, *g.acts_shape, N),
            *_pool_sizes(g),
            divide,
            _array("images_grad", images_grad, *g.images_shape, N),
            add,
        )

    # --- response normalisation -----------------------------------------------------------------

    def rnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        shape = images.shape
        norms.rnorm_fprop(
            _array("images", images, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            _f32(norm.min_div),
            _array("denoms", denoms, *shape),
            _array("acts", acts, *shape),
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
            _array("images", images, *shape),
            _array("denoms", denoms, *shape),
            _array("acts_grad", acts_grad, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            _array("images_grad", images_grad, *shape),
            add,
        )

    def cmrnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        shape = _planes(images)
        norms.cmrnorm_fprop(
            _array("images", images, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            _f32(norm.min_div),
            norm.blocked,
            _array("denoms", denoms, *shape),
            _array("acts", acts, *shape),
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
            _array("images", images, *shape),
            _array("denoms", denoms, *shape),
            _array("acts_grad", acts_grad, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            norm.blocked,
            _array("images_grad", images_grad, *shape),
            add,
        )

    # --- elementwise ------------------------------------------------------------------------------

    def neuron_fprop(self, neuron: Neuron, inputs: In, acts: Out) -> None:
        kernel = neurons.fprop(neuron.kind)
        size = inputs.size
        kernel(_array("inputs", inputs, size), *_parameters(neuron), _array("acts", acts, size))

    def neuron_bprop(
        self, neuron: Neuron, values: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        kernel = neurons.bprop_add(neuron.kind) if add else neurons.bprop(neuron.kind)
        size = values.size
        kernel(
            _array("values", values, size),
            *_parameters(neuron),
            _array("acts_grad", acts_grad, size),
            _array("inputs_grad", inputs_grad, size),
        )

    def add_scaled(self, inputs: In, scale: float, acts: Out, add: bool = False) -> None:
        kernel = elementwise.scale_add if add else elementwise.scale
        size = inputs.size
        kernel(_array("inputs", inputs, size), _f32(scale), _array("acts", acts, size))

    def eltmax(self, first: In, second: In, acts: Out) -> None:
        size = first.size
        elementwise.eltmax(
            _array("first", first, size), _array("second", second, size), _array("acts", acts, size)
        )

    def eltmax_bprop(
        self, inputs: In, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        size = inputs.size
        elementwise.eltmax_bprop(
            _array("inputs", inputs, size),
            _array("acts", acts, size),
            _array("acts_grad", acts_grad, size),
            _array("inputs_grad", inputs_grad, size),
            add,
        )

    def copy_rows(
        self, source: In, source_row: int, target: InOut, target_row: int, rows: int, add: bool
    ) -> None:
        N = source.shape[-1]
        block = _array("source", source, source.size // N, N)[source_row : source_row + rows]
        place = _array("target", target, target.size // N, N)[target_row : target_row + rows]
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
            _array("inputs", inputs, size),
            np.uint64(np.ceil(keep * 2**24)),  # u 2^-24 < keep, in whole numbers
            _f32(scale),
            np.array([word & 0xFFFFFFFF for word in key], np.uint64),
            _array("acts", acts, size),
            add,
        )

    # --- softmax and costs ------------------------------------------------------------------------

    def softmax_fprop(self, inputs: In, acts: Out) -> None:
        shape = _rows(inputs)
        softmax.fprop(_array("inputs", inputs, *shape), _array("acts", acts, *shape))

    def softmax_bprop(self, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        shape = _rows(acts)
        softmax.bprop(
            _array("acts", acts, *shape),
            _array("acts_grad", acts_grad, *shape),
            _array("inputs_grad", inputs_grad, *shape),
            add,
        )

    def logreg_cost(self, labels: In, probs: In, top: int, values: Out) -> None:
        shape = _rows(probs)
        softmax.logreg_cost(
            _array("labels", labels, shape[1]),
            _array("probs", probs, *shape),
            top,
            _array("values", values, 3),
        )

    def logreg_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        shape = _rows(probs)
        softmax.logreg_bprop(
            _array("labels", labels, shape[1]),
            _array("probs", probs, *shape),
            _f32(coeff),
            _array("probs_grad", probs_grad, *shape),
            add,
        )

    def softmax_logreg_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        shape = _rows(probs)
        softmax.softmax_logreg_bprop(
            _array("labels", labels, shape[1]),
            _array("probs", probs, *shape),
            _f32(coeff),
            _array("inputs_grad", inputs_grad, *shape),
            add,
        )

    def sum2_cost(self, inputs: In, values: Out) -> None:
        softmax.sum2_cost(
            _array("inputs", inputs, inputs.size), _array("values", values, values.size)
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
            _array("weights", weights, size),
            _array("increments", increments, size),
            _array("gradients", gradients, size),
            _f32(momentum),
            _f32(rate / cases),
            _f32(decay * rate),
        )


def _array(name: str, array: Array, *shape: int) -> Array:
    """`array` as a float32 array of `shape`, sharing its memory."""
    if array.dtype != np.float32 or not array.flags.c_contiguous or array.size != prod(shape):
        order = "" if array.flags.c_contiguous else " not C-contiguous"
        raise ShapeError(
            f"'{name}' must be a C-contiguous float32 array of shape {shape}; "
            f"found{order} {array.dtype} of shape {array.shape}"
        )
    return array.reshape(shape)


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
        _array("filters", filters, *filters_shape),
        _array("acts_grad", acts_grad, *g.acts_shape, N),
        _array("images_grad", images_grad, *g.images_shape, N),
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
        _array("images", images, *g.images_shape, N),
        _array("acts_grad", acts_grad, *g.acts_shape, N),
        _array("filters_grad", filters_grad, *filters_shape),
        add,
    )


def _rows(array: Array) -> tuple[int, int]:
    return array.size // array.shape[-1], array.shape[-1]


def _planes(images: Array) -> tuple[int, int, int]:
    """(C, H, W, N) -> (C, H * W, N)."""
    C, H, W, N = images.shape
    return C, H * W, N


def _pool_sizes(g: Pool) -> tuple[int, int, int]:
    return g.start, g.stride, g.size


def _parameters(neuron: Neuron) -> tuple[np.float32, np.float32]:
    """The two parameters of a neuron, zero where it has none."""
    a, b = (*neuron.parameters, 0.0, 0.0)[:2]
    return _f32(a), _f32(b)


def _product(first: Array, second: Array, result: Array, add: bool) -> None:
    """result = first second, matrices. BLAS takes transposed ones as they are."""
    if add:
        result += first @ second
    else:
        np.matmul(first, second, out=result)
