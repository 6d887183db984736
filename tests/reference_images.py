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
