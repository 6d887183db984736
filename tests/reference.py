"""Every operation as plain loops over its formula, in float64: what the backends must agree with.

Independent of the package: it reads only the numbers in the objects that describe an operation,
and derives every size and border itself. Only the images, innermost, are not looped over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests import reference_lif

# --- convolution, shared filters (conv) or filters per output pixel (local) -------------------


def conv_sides(g: Any) -> list[tuple[int, int, int]]:
    """Filter size, padding and outputs, of rows and of columns; enough to cover the image."""
    sides = []
    for pixels, own in (
        (g.height, (g.filter_size_y, g.padding_y, g.modules_y)),
        (g.width, (None, None, None)),
    ):
        usual = (g.filter_size, g.padding, g.modules)
        size, padding, outputs = (u if o is None else o for o, u in zip(own, usual, strict=True))
        outputs = outputs or 1 + int(np.ceil((2 * padding + pixels - size) / g.stride))
        sides.append((size, padding, outputs))
    return sides


def conv_size(g: Any) -> tuple[int, int]:
    """Height and width of the output."""
    (_, _, P), (_, _, Q) = conv_sides(g)
    return P, Q


def conv_terms(g: Any, local: bool) -> Iterator[tuple[Any, Any, Any]]:
    """Indices (output, weight, pixel) of every product in the sums of a convolution."""
    (KY, top, P), (KX, left, Q) = conv_sides(g)
    group_channels, group_filters = g.channels // g.groups, g.filters // g.groups
    for f, p, q, c, y, x in np.ndindex(g.filters, P, Q, group_channels, KY, KX):
        h = p * g.stride - top + y
        w = q * g.stride - left + x
        if 0 <= h < g.height and 0 <= w < g.width:
            row = (c * KY + y) * KX + x
            if local:
                row += (p * Q + q) * group_channels * KY * KX
            yield (f, p, q), (row, f), (f // group_filters * group_channels + c, h, w)


def conv_fprop(g: Any, images: np.ndarray, filters: np.ndarray, local: bool = False) -> np.ndarray:
    """The sums, before biases and neuron."""
    acts = np.zeros((g.filters, *conv_size(g), images.shape[-1]))
    for output, weight, pixel in conv_terms(g, local):
        acts[output] += filters[weight] * images[pixel]
    return acts


def conv_dgrad(
    g: Any, filters: np.ndarray, acts_grad: np.ndarray, local: bool = False
) -> np.ndarray:
    images_grad = np.zeros((g.channels, g.height, g.width, acts_grad.shape[-1]))
    for output, weight, pixel in conv_terms(g, local):
        images_grad[pixel] += filters[weight] * acts_grad[output]
    return images_grad


def conv_wgrad(g: Any, images: np.ndarray, acts_grad: np.ndarray, local: bool) -> np.ndarray:
    (KY, _, P), (KX, _, Q) = conv_sides(g)
    taps = g.channels // g.groups * KY * KX
    filters_grad = np.zeros((P * Q * taps if local else taps, g.filters))
    for output, weight, pixel in conv_terms(g, local):
        filters_grad[weight] += np.sum(images[pixel] * acts_grad[output])
    return filters_grad


def biased(acts: np.ndarray, biases: np.ndarray | None) -> np.ndarray:
    """acts (F, P, Q, N) or (F, N) + biases, F of them or one for each output."""
    if biases is None:
        return acts
    result = np.empty_like(acts)
    for number, output in enumerate(np.ndindex(*acts.shape[:-1])):
        result[output] = (
            acts[output] + biases.flat[number if biases.size > len(acts) else output[0]]
        )
    return result


# --- fully connected --------------------------------------------------------------------------


def fc_fprop(inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The sums, before biases and neuron: (K, N), (K, F) -> (F, N)."""
    acts = np.zeros((weights.shape[1], inputs.shape[1]))
    for k, f in np.ndindex(*weights.shape):
        acts[f] += weights[k, f] * inputs[k]
    return acts


def fc_dgrad(weights: np.ndarray, acts_grad: np.ndarray) -> np.ndarray:
    inputs_grad = np.zeros((weights.shape[0], acts_grad.shape[1]))
    for k, f in np.ndindex(*weights.shape):
        inputs_grad[k] += weights[k, f] * acts_grad[f]
    return inputs_grad


def fc_wgrad(inputs: np.ndarray, acts_grad: np.ndarray) -> np.ndarray:
    weights_grad = np.zeros((len(inputs), len(acts_grad)))
    for k, f in np.ndindex(*weights_grad.shape):
        weights_grad[k, f] = np.sum(inputs[k] * acts_grad[f])
    return weights_grad


def bias_grad(acts_grad: np.ndarray, entries: int) -> np.ndarray:
    """A sum for each filter or, with as many entries, for each output."""
    result = np.zeros(entries)
    for number, output in enumerate(np.ndindex(*acts_grad.shape[:-1])):
        result[number if entries > len(acts_grad) else output[0]] += acts_grad[output].sum()
    return result


# --- pooling ----------------------------------------------------------------------------------


def rows_of(g: Any) -> list[int]:
    """Size, start and number of the rows of windows: their own, or as for columns."""
    own = (g.size_y, g.start_y, g.outputs_y)
    return [u if o is None else o for o, u in zip(own, (g.size, g.start, g.outputs), strict=True)]


def pool_windows(g: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Index of each output and of the pixels in its window, row by row."""
    (size, start, P), (width, left, Q) = (
        (size, start, outputs or int(np.ceil((pixels - start - size) / g.stride)) + 1)
        for pixels, size, start, outputs in (
            (g.height, *rows_of(g)),
            (g.width, g.size, g.start, g.outputs),
        )
    )
    for c, p, q in np.ndindex(g.channels, P, g.width if g.tall else Q):
        pixels = [
            (c, start + p * g.stride + y, q if g.tall else left + q * g.stride + x)
            for y, x in np.ndindex(size, 1 if g.tall else width)
        ]
        yield (c, p, q), [i for i in pixels if 0 <= i[1] < g.height and 0 <= i[2] < g.width]


def pool_fprop(g: Any, kind: str, images: np.ndarray) -> np.ndarray:
    """`kind`: max, maxabs, avg, sum or l2."""
    acts: dict[Any, np.ndarray] = {}
    for output, pixels in pool_windows(g):
        values = [images[pixel] for pixel in pixels]
        if kind == "max":
            acts[output] = np.max(values, axis=0)
        elif kind == "maxabs":
            acts[output] = values[0]
            for value in values[1:]:
                acts[output] = np.where(abs(value) >= abs(acts[output]), value, acts[output])
        elif kind == "l2":
            acts[output] = np.linalg.norm(values, axis=0)
        else:
            acts[output] = np.sum(values, axis=0) / (len(pixels) if kind == "avg" else 1)
    shape = np.max(list(acts), axis=0) + 1
    return np.reshape([acts[i] for i in np.ndindex(*shape)], (*shape, images.shape[-1]))


def pool_bprop(g: Any, kind: str, images: np.ndarray, acts_grad: np.ndarray) -> np.ndarray:
    acts = pool_fprop(g, kind, images)
    images_grad = np.zeros_like(images)
    for output, pixels in pool_windows(g):
        for pixel in pixels:
            if kind in ("max", "maxabs"):
                images_grad[pixel] += np.where(images[pixel] == acts[output], acts_grad[output], 0)
            elif kind == "l2":
                y = acts[output]
                images_grad[pixel] += np.divide(
                    images[pixel] * acts_grad[output], y, out=np.zeros_like(y), where=y > 0
                )
            else:
                images_grad[pixel] += acts_grad[output] / (len(pixels) if kind == "avg" else 1)
    return images_grad


# --- response normalisation -------------------------------------------------------------------


def in_neighbourhood(norm: Any, across: bool, i: Any, j: Any) -> bool:
    """Whether element i = (c, h, w) is normalised by element j; `across` channels or pixels."""
    if not across:
        near = [0 <= j[d] - (i[d] - norm.size // 2) < norm.size for d in (1, 2)]
        return i[0] == j[0] and all(near)
    if norm.blocked:
        return i[1:] == j[1:] and i[0] // norm.size == j[0] // norm.size
    return i[1:] == j[1:] and 0 <= j[0] - (i[0] - norm.size // 2) < norm.size


def norm_denoms(norm: Any, across: bool, images: np.ndarray) -> np.ndarray:
    denoms = np.full_like(images, norm.min_div)
    for i in np.ndindex(*images.shape[:3]):
        for j in np.ndindex(*images.shape[:3]):
            if in_neighbourhood(norm, across, i, j):
                denoms[i] += norm.scale * images[j] ** 2
    return denoms


def norm_fprop(norm: Any, across: bool, images: np.ndarray) -> np.ndarray:
    return images / norm_denoms(norm, across, images) ** norm.power


def norm_bprop(norm: Any, across: bool, images: np.ndarray, acts_grad: np.ndarray) -> np.ndarray:
    """Derivative of x_j D_j^-power by x_i, for every pair."""
    denoms = norm_denoms(norm, across, images)
    images_grad = acts_grad / denoms**norm.power
    for i in np.ndindex(*images.shape[:3]):
        for j in np.ndindex(*images.shape[:3]):
            if in_neighbourhood(norm, across, j, i):
                slope = -norm.power * denoms[j] ** (-norm.power - 1) * norm.scale * 2 * images[i]
                images_grad[i] += acts_grad[j] * images[j] * slope
    return images_grad


# --- elementwise ------------------------------------------------------------------------------

NEURONS = {
    "ident": lambda x: x,
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: x if x > 0 else 0.0,
    "brelu": lambda x, a: 0.0 if x < 0 else a if x > a else x,
    "softrelu": lambda x: x if x > 4 else np.log(1 + np.exp(x)),
    "abs": lambda x: x if x > 0 else -x,
    "square": lambda x: x * x,
    "sqrt": lambda x: x**0.5,
    "tanh": lambda x, a, b: a * (np.exp(2 * b * x) - 1) / (np.exp(2 * b * x) + 1),
    "linear": lambda x, a, b: a * x + b,
    "log": lambda x, a: np.log(a + x),
    "drelu": lambda x, a: x - a * (np.exp(2 * x / a) - 1) / (np.exp(2 * x / a) + 1),
    "power": lambda x, a: np.exp(a * np.log(x)),
    "dropout": lambda x, p: (1 - p) * x,
    "softlif": reference_lif.rate,
    "softlifalpha": reference_lif.rate,
    "softlifalpharc": reference_lif.rate,
}

# All in terms of x, the input.
DERIVATIVES = {
    "ident": lambda x: 1.0,
    "logistic": lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2,
    "relu": lambda x: 1.0 if x > 0 else 0.0,
    "brelu": lambda x, a: 1.0 if 0 < x < a else 0.0,
    "softrelu": lambda x: 1.0 if x > 4 else 1 / (1 + np.exp(-x)),
    "abs": lambda x: 1.0 if x > 0 else -1.0,
    "square": lambda x: 2 * x,
    "sqrt": lambda x: 0.5 * x**-0.5,
    "tanh": lambda x, a, b: a * b / np.cosh(b * x) ** 2,
    "linear": lambda x, a, b: a,
    "log": lambda x, a: 1 / (a + x),
    "drelu": lambda x, a: 1 - 1 / np.cosh(x / a) ** 2,
    "power": lambda x, a: a * np.exp((a - 1) * np.log(x)),
    "dropout": lambda x, p: 1 - p,
    "softlif": reference_lif.slope,
    "softlifalpha": reference_lif.slope,
    "softlifalpharc": reference_lif.slope,
}


def neuron_fprop(neuron: Any, inputs: np.ndarray) -> np.ndarray:
    function = NEURONS[neuron.kind]
    return np.reshape([function(x, *neuron.parameters) for x in inputs.flat], inputs.shape)


def neuron_bprop(neuron: Any, inputs: np.ndarray, acts_grad: np.ndarray) -> np.ndarray:
    slope = DERIVATIVES[neuron.kind]
    slopes = np.reshape([slope(x, *neuron.parameters) for x in inputs.flat], inputs.shape)
    return slopes * acts_grad


def eltmax_bprop(inputs: np.ndarray, acts: np.ndarray, acts_grad: np.ndarray) -> np.ndarray:
    inputs_grad = np.zeros_like(inputs)
    for i in np.ndindex(*inputs.shape):
        if inputs[i] == acts[i]:
            inputs_grad[i] = acts_grad[i]
    return inputs_grad


# --- softmax and costs ------------------------------------------------------------------------


def softmax_fprop(inputs: np.ndarray) -> np.ndarray:
    acts = np.empty_like(inputs)
    for k, n in np.ndindex(*inputs.shape):
        acts[k, n] = 1 / sum(np.exp(other - inputs[k, n]) for other in inputs[:, n])
    return acts


def softmax_bprop(acts: np.ndarray, acts_grad: np.ndarray) -> np.ndarray:
    """dE/dx_i = sum over k of g_k dy_k/dx_i, with dy_k/dx_i = y_k (1[i = k] - y_i)."""
    inputs_grad = np.zeros_like(acts)
    for i, k in np.ndindex(len(acts), len(acts)):
        inputs_grad[i] += acts_grad[k] * acts[k] * ((i == k) - acts[i])
    return inputs_grad


def logreg_cost(labels: np.ndarray, probs: np.ndarray, top: int) -> np.ndarray:
    """[log probability, wrong, wrong among the top best], the sums over images."""
    logprob = wrong = wrong_top = 0.0
    for n in range(probs.shape[1]):
        p = probs[int(labels[0, n]), n]
        better = sum(other > p for other in probs[:, n])
        ties = sum(other == p for other in probs[:, n])
        logprob -= np.log(p)
        wrong += 1 if better else 1 - 1 / ties
        slots = top - better
        wrong_top += 1 - (0 if slots <= 0 else 1 if ties <= slots else slots / ties)
    return np.array([logprob, wrong, wrong_top])


def logreg_bprop(labels: np.ndarray, probs: np.ndarray, coeff: float) -> np.ndarray:
    probs_grad = np.zeros_like(probs)
    for n in range(probs.shape[1]):
        label = int(labels[0, n])
        probs_grad[label, n] = -coeff / probs[label, n]
    return probs_grad


# --- learning ---------------------------------------------------------------------------------


def sgd(
    weights: np.ndarray,
    increments: np.ndarray,
    gradients: np.ndarray,
    momentum: float,
    rate: float,
    decay: float,
    cases: int,
) -> tuple[np.ndarray, np.ndarray]:
    """New weights and increments."""
    weights, increments = weights.copy(), increments.copy()
    for i in np.ndindex(*weights.shape):
        increments[i] = (
            momentum * increments[i] - rate * gradients[i] / cases - decay * rate * weights[i]
        )
        weights[i] += increments[i]
    return weights, increments
