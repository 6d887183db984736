"""Operations on images as plain loops over their formulas, in float64; see tests/reference.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

# --- contrast normalisation -------------------------------------------------------------------


def neighbours(norm: Any, pixel: Any, shape: Any) -> Iterator[Any]:
    """Pixels of the window that (c, y, x) is normalised by."""
    c, y, x = pixel
    for i, j in np.ndindex(norm.size, norm.size):
        v, u = y - norm.size // 2 + i, x - norm.size // 2 + j
        if 0 <= v < shape[1] and 0 <= u < shape[2]:
            yield (c, v, u)


def cnorm_diffs(norm: Any, images: np.ndarray) -> np.ndarray:
    diffs = np.empty_like(images)
    for i in np.ndindex(*images.shape[:3]):
        diffs[i] = images[i] - np.mean([images[j] for j in neighbours(norm, i, images.shape)], 0)
    return diffs


def cnorm_denoms(norm: Any, images: np.ndarray) -> np.ndarray:
    diffs, denoms = cnorm_diffs(norm, images), np.empty_like(images)
    for i in np.ndindex(*images.shape[:3]):
        squares = sum(diffs[j] ** 2 for j in neighbours(norm, i, images.shape))
        denoms[i] = norm.min_div + norm.scale * squares
    return denoms


def cnorm_fprop(norm: Any, images: np.ndarray) -> np.ndarray:
    return images / cnorm_denoms(norm, images) ** norm.power


def cnorm_bprop(norm: Any, images: np.ndarray, acts_grad: np.ndarray) -> np.ndarray:
    """y_j = x_j D_j^-power; the derivative of D_j by each d_k, and of each d_k by x_k and x_l."""
    diffs, denoms = cnorm_diffs(norm, images), cnorm_denoms(norm, images)
    images_grad = acts_grad / denoms**norm.power
    for j in np.ndindex(*images.shape[:3]):
        by_denom = -norm.power * acts_grad[j] * images[j] * denoms[j] ** (-norm.power - 1)
        for k in neighbours(norm, j, images.shape):
            by_diff = by_denom * norm.scale * 2 * diffs[k]
            images_grad[k] += by_diff
            window = list(neighbours(norm, k, images.shape))
            for pixel in window:
                images_grad[pixel] -= by_diff / len(window)
    return images_grad


# --- linear maps along both sides -------------------------------------------------------------


def resample(g: Any, images: np.ndarray) -> np.ndarray:
    acts = np.zeros((len(images), len(g.rows), len(g.columns), images.shape[-1]))
    for c, p, q in np.ndindex(*acts.shape[:3]):
        for y, x in np.ndindex(*images.shape[1:3]):
            acts[c, p, q] += g.rows[p, y] * g.columns[q, x] * images[c, y, x]
    return acts


def resample_bprop(g: Any, acts_grad: np.ndarray) -> np.ndarray:
    images_grad = np.zeros((*g.images_shape, acts_grad.shape[-1]))
    for c, p, q in np.ndindex(*acts_grad.shape[:3]):
        for y, x in np.ndindex(*images_grad.shape[1:3]):
            images_grad[c, y, x] += g.rows[p, y] * g.columns[q, x] * acts_grad[c, p, q]
    return images_grad


def made_of(images: np.ndarray, height: int, width: int, pixel: Any) -> np.ndarray:
    """Images of height x width whose pixel (y, x) of channel c is pixel(c, y, x)."""
    acts = np.empty((len(images), height, width, images.shape[-1]))
    for c, y, x in np.ndindex(*acts.shape[:3]):
        acts[c, y, x] = pixel(c, y, x)
    return acts


def nailbed(images: np.ndarray, stride: int) -> np.ndarray:
    counts = [int(np.ceil(length / stride)) for length in images.shape[1:3]]
    top, left = (
        (length - stride * (count - 1)) // 2
        for length, count in zip(images.shape[1:3], counts, strict=True)
    )
    return made_of(images, *counts, lambda c, y, x: images[c, top + y * stride, left + x * stride])


def blur(images: np.ndarray, size: int, stdev: float) -> np.ndarray:
    """Weight exp(-(dx^2 + dy^2) / (2 stdev^2)) over the sum of all size x size of them."""
    steps = range(-(size // 2), size // 2 + 1)
    weights = {(i, j): np.exp(-(i * i + j * j) / (2 * stdev * stdev)) for i in steps for j in steps}

    def pixel(c: int, y: int, x: int) -> Any:
        total = np.zeros(images.shape[-1])
        for (i, j), weight in weights.items():
            if 0 <= y + i < images.shape[1] and 0 <= x + j < images.shape[2]:
                total += weight * images[c, y + i, x + j]
        return total / sum(weights.values())

    return made_of(images, *images.shape[1:3], pixel)


def place_between(i: int, length: int, outputs: int, scale: float) -> tuple[int, int, float]:
    """The pixels before and after the place that output pixel i comes from, and how far it is."""
    place = i * scale + length / 2 - outputs * scale / 2
    place = min(max(place, 0), max(length - 1.01, 0))
    before = int(np.floor(place))
    return before, min(before + 1, length - 1), place - before


def resize(images: np.ndarray, height: int, width: int, scale: float) -> np.ndarray:
    def pixel(c: int, y: int, x: int) -> Any:
        top, bottom, down = place_between(y, images.shape[1], height, scale)
        left, right, along = place_between(x, images.shape[2], width, scale)
        upper = (1 - along) * images[c, top, left] + along * images[c, top, right]
        lower = (1 - along) * images[c, bottom, left] + along * images[c, bottom, right]
        return (1 - down) * upper + down * lower

    return made_of(images, height, width, pixel)


# --- colours ----------------------------------------------------------------------------------


def rgb2yuv(images: np.ndarray) -> np.ndarray:
    r, g, b = images
    return np.stack(
        [
            0.2126 * r + 0.7152 * g + 0.0722 * b,
            -0.09991 * r - 0.33609 * g + 0.436 * b,
            0.615 * r - 0.55861 * g - 0.05639 * b,
        ]
    )


def lab_curve(t: float) -> float:
    return t**0.3333 if t > 0.0088564517 else 7.787037 * t + 0.13793103


def lab_slope(t: float) -> float:
    return 0.3333 * t**-0.6667 if t > 0.0088564517 else 7.787037


def rgb2lab(images: np.ndarray, center: bool) -> np.ndarray:
    acts = np.empty_like(images)
    for i in np.ndindex(*images.shape[1:]):
        r, g, b = (float(images[(c, *i)]) for c in range(3))
        x = lab_curve(0.49 * r + 0.31 * g + 0.2 * b)
        y = lab_curve(0.17697 * r + 0.8124 * g + 0.01063 * b)
        z = lab_curve(0.01 * g + 0.99 * b)
        acts[(0, *i)] = 116 * y - 16 - (50 if center else 0)
        acts[(1, *i)] = 500 * (x - y)
        acts[(2, *i)] = 200 * (y - z)
    return acts


def mix_channels(matrix: Any, images: np.ndarray) -> np.ndarray:
    acts = np.zeros((len(matrix), *images.shape[1:]))
    for d, row in enumerate(matrix):
        for c, factor in enumerate(row):
            acts[d] += factor * images[c]
    return acts
