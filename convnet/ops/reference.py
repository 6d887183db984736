"""The operations in plain numpy, written from their formulas.

Slow, and right in any float dtype: gradients are checked on it in float64, and every other
backend is tested against it. Shapes and formulas: see convnet.ops.base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from convnet.geometry import Norm, Pool, Window
from convnet.neurons import Neuron
from convnet.ops import reference_conv as conv
from convnet.ops.base import Array, In, InOut, Ops, Out, RandomKey
from convnet.ops.philox import uniform

# f(x, *parameters) of each neuron.
_VALUE: dict[str, Callable[..., Array]] = {
    "ident": lambda x: x,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.where(x < 0, 0, x),
    "brelu": lambda x, a: np.minimum(a, np.maximum(0, x)),
    "softrelu": lambda x: np.where(x > 4, x, np.log(1 + np.exp(x))),
    "abs": np.abs,
    "square": lambda x: x**2,
    "sqrt": np.sqrt,
    "tanh": lambda x, a, b: a * np.tanh(b * x),
    "linear": lambda x, a, b: a * x + b,
    "log": lambda x, a: np.log(a + x),
    "drelu": lambda x, a: x - a * np.tanh(x / a),
}

# df/dx of each neuron, in terms of its output y or its input x as NEURON_TYPES says.
_SLOPE: dict[str, Callable[..., Array]] = {
    "ident": lambda y: 1,
    "logistic": lambda y: y * (1 - y),
    "relu": lambda y: y > 0,
    "brelu": lambda y, a: (y > 0) & (y < a),
    "softrelu": lambda y: np.where(y > 4, 1, 1 - np.exp(-y)),
    "abs": lambda x: np.where(x > 0, 1, -1),
    "square": lambda x: 2 * x,
    "sqrt": lambda y: 1 / (2 * y),
    "tanh": lambda y, a, b: b * (a - y**2 / a),
    "linear": lambda y, a, b: a,
    "log": lambda x, a: 1 / (a + x),
    "drelu": lambda x, a: np.tanh(x / a) ** 2,
}


class ReferenceOps(Ops):
    """Operations on numpy arrays of any float dtype."""

    name = "reference"

    def __init__(self, dtype: DTypeLike = np.float64) -> None:
        self.dtype = np.dtype(dtype)

    # --- memory ---------------------------------------------------------------------------

    def empty(self, size: int) -> Array:
        # NaN, so that reading what was never written shows.
        return np.full(size, np.nan, self.dtype)

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
        total = conv.fprop(g, images, conv.split_shared(g, filters))
        _finish(total, biases, neuron, acts, add)

    def conv_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        total = conv.dgrad(g, conv.split_shared(g, filters), acts_grad)
        _store(images_grad, total, add)

    def conv_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        per_pixel = conv.wgrad(g, images, acts_grad)
        _store(filters_grad, per_pixel.sum(axis=(0, 1)).reshape(g.conv_filters_shape), add)

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
        total = conv.fprop(g, images, conv.split_local(g, filters))
        _finish(total, biases, neuron, acts, add)

    def local_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        total = conv.dgrad(g, conv.split_local(g, filters), acts_grad)
        _store(images_grad, total, add)

    def local_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        per_pixel = conv.wgrad(g, images, acts_grad)
        _store(filters_grad, per_pixel.reshape(g.local_filters_shape), add)

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
        _finish(weights.T @ inputs, biases, neuron, acts, add)

    def fc_dgrad(self, weights: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        _store(inputs_grad, weights @ acts_grad, add)

    def fc_wgrad(self, inputs: In, acts_grad: In, weights_grad: Out, add: bool = False) -> None:
        _store(weights_grad, inputs @ acts_grad.T, add)

    def bias_grad(self, acts_grad: In, biases_grad: Out, add: bool = False) -> None:
        sums = acts_grad.reshape(biases_grad.size, -1).sum(axis=1)
        _store(biases_grad, sums.reshape(biases_grad.shape), add)

    # --- pooling ------------------------------------------------------------------------------

    def pool_max_fprop(self, g: Pool, images: In, acts: Out) -> None:
        for output, window in _pool_windows(g):
            acts[output] = images[window].max(axis=(1, 2), keepdims=True)

    def pool_max_bprop(
        self,
        g: Pool,
        images: In,
        acts: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        total = np.zeros_like(images)
        for output, window in _pool_windows(g):
            total[window] += acts_grad[output] * (images[window] == acts[output])
        _store(images_grad, total, add)

    def pool_avg_fprop(self, g: Pool, divide: bool, images: In, acts: Out) -> None:
        reduce = np.mean if divide else np.sum
        for output, window in _pool_windows(g):
            acts[output] = reduce(images[window], axis=(1, 2), keepdims=True)

    def pool_avg_bprop(
        self, g: Pool, divide: bool, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        total = np.zeros_like(images_grad)
        for output, window in _pool_windows(g):
            height, width = total[window].shape[1:3]
            total[window] += acts_grad[output] / (height * width if divide else 1)
        _store(images_grad, total, add)

    # --- response normalisation -----------------------------------------------------------------

    def rnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        _norm_fprop(norm, (1, 2), images, denoms, acts)

    def rnorm_bprop(
        self,
        norm: Norm,
        images: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        _norm_bprop(norm, (1, 2), images, denoms, acts_grad, images_grad, add)

    def cmrnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        _norm_fprop(norm, (0,), images, denoms, acts)

    def cmrnorm_bprop(
        self,
        norm: Norm,
        images: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        _norm_bprop(norm, (0,), images, denoms, acts_grad, images_grad, add)

    # --- elementwise ------------------------------------------------------------------------------

    def neuron_fprop(self, neuron: Neuron, inputs: In, acts: Out) -> None:
        _store(acts, _evaluate(_VALUE, neuron, inputs))

    def neuron_bprop(
        self, neuron: Neuron, values: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        _store(inputs_grad, acts_grad * _evaluate(_SLOPE, neuron, values), add)

    def add_scaled(self, inputs: In, scale: float, acts: Out, add: bool = False) -> None:
        _store(acts, scale * inputs, add)

    def eltmax(self, first: In, second: In, acts: Out) -> None:
        _store(acts, np.maximum(first, second))

    def eltmax_bprop(
        self, inputs: In, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        _store(inputs_grad, acts_grad * (inputs == acts), add)

    def copy_rows(
        self, source: In, source_row: int, target: InOut, target_row: int, rows: int, add: bool
    ) -> None:
        block = _as_rows(source)[source_row : source_row + rows]
        _store(_as_rows(target)[target_row : target_row + rows], block, add)

    def dropout(
        self,
        inputs: In,
        keep: float,
        scale: float,
        key: RandomKey,
        acts: Out,
        add: bool = False,
    ) -> None:
        # In double precision: float32 would round `keep`, and other backends do not.
        kept = uniform(key, inputs.size).astype(np.float64).reshape(inputs.shape) < keep
        _store(acts, np.where(kept, scale * inputs, 0), add)

    # --- softmax and costs ------------------------------------------------------------------------

    def softmax_fprop(self, inputs: In, acts: Out) -> None:
        powers = np.exp(inputs - inputs.max(axis=0))
        _store(acts, powers / powers.sum(axis=0))

    def softmax_bprop(self, acts: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        _store(inputs_grad, acts * (acts_grad - (acts_grad * acts).sum(axis=0)), add)

    @np.errstate(divide="ignore", invalid="ignore")  # infinite or NaN costs are for the trainer
    def logreg_cost(self, labels: In, probs: In, top: int, values: Out) -> None:
        given = _label_probs(labels, probs)
        better = (probs > given).sum(axis=0)
        ties = (probs == given).sum(axis=0)
        values[0] = -np.log(given).sum()
        # In each column the label's share of the slots that are left to those it ties with.
        for i, slots in ((1, 1 - better), (2, top - better)):
            values[i] = (1 - np.clip(slots / ties, 0, 1)).sum()

    @np.errstate(divide="ignore")  # as in logreg_cost
    def logreg_bprop(
        self, labels: In, probs: In, coeff: float, probs_grad: Out, add: bool = False
    ) -> None:
        total = np.where(_is_label(labels, probs), -coeff / _label_probs(labels, probs), 0)
        _store(probs_grad, total, add)

    def softmax_logreg_bprop(
        self, labels: In, probs: In, coeff: float, inputs_grad: Out, add: bool = False
    ) -> None:
        _store(inputs_grad, coeff * (probs - _is_label(labels, probs)), add)

    def sum2_cost(self, inputs: In, values: Out) -> None:
        values[0] = (inputs**2).sum()

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
        increments *= momentum
        increments -= rate / cases * gradients + decay * rate * weights
        weights += increments


def _store(target: Array, result: Array, add: bool = False) -> None:
    """Results come here whole, so a target may be one of the arrays they were computed from."""
    if add:
        target += result
    else:
        target[...] = result


def _as_rows(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1])


@np.errstate(all="ignore")  # infinities and NaNs are results like any other here
def _evaluate(table: dict[str, Callable[..., Array]], neuron: Neuron, values: Array) -> Array:
    return table[neuron.kind](values, *neuron.parameters)


def _finish(total: Array, biases: Array | None, neuron: Neuron, acts: Array, add: bool) -> None:
    """acts = neuron(total + biases), with what `acts` holds added before if `add`."""
    if add:
        total = total + acts
    if biases is not None:
        total = total.reshape(biases.size, -1) + biases.reshape(-1, 1)
    _store(acts, _evaluate(_VALUE, neuron, total).reshape(acts.shape))


def _pool_windows(g: Pool) -> Iterator[tuple[Any, Any]]:
    """Index of each output pixel, and of the image pixels in its window."""
    for p in range(g.out_height):
        for q in range(g.out_width):
            rows, columns = g.rows(p), g.columns(q)
            yield (
                np.s_[:, p : p + 1, q : q + 1],
                np.s_[:, rows.start : rows.stop, columns.start : columns.stop],
            )


def _neighbours(norm: Norm, length: int, dtype: np.dtype[Any]) -> Array:
    """Square matrix: 1 where the row's element is normalised by the column's."""
    matrix = np.zeros((length, length), dtype)
    for i in range(length):
        matrix[i, norm.span(i, length)] = 1
    return matrix


def _apply(matrix: Array, values: Array, axis: int) -> Array:
    return np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)


def _norm_fprop(
    norm: Norm, axes: tuple[int, ...], images: Array, denoms: Array, acts: Array
) -> None:
    total = images**2
    for axis in axes:
        total = _apply(_neighbours(norm, total.shape[axis], total.dtype), total, axis)
    _store(denoms, norm.min_div + norm.scale * total)
    _store(acts, images * denoms**-norm.power)


def _norm_bprop(
    norm: Norm,
    axes: tuple[int, ...],
    images: Array,
    denoms: Array,
    acts_grad: Array,
    images_grad: Array,
    add: bool,
) -> None:
    total = acts_grad * images * denoms ** (-norm.power - 1)
    for axis in axes:
        total = _apply(_neighbours(norm, total.shape[axis], total.dtype).T, total, axis)
    direct = acts_grad * denoms**-norm.power
    _store(images_grad, direct - 2 * norm.power * norm.scale * images * total, add)


def _label_probs(labels: Array, probs: Array) -> Array:
    """Probability of each image's label, (N,)."""
    return probs[labels.reshape(-1).astype(int), np.arange(probs.shape[-1])]


def _is_label(labels: Array, probs: Array) -> Array:
    """Truth of "row is the image's label", (classes, N)."""
    return np.arange(len(probs))[:, None] == labels.reshape(1, -1)
