"""Batch normalisation, channel by channel, from the formulas of Ioffe and Szegedy (2015)."""

from __future__ import annotations

import numpy as np


def stats(images: np.ndarray) -> np.ndarray:
    """(2, C): means, and variances divided by the count."""
    means = [sum(x.ravel().tolist()) / x.size for x in images]
    pairs = zip(images, means, strict=True)
    return np.array([means, [float(((x - m) ** 2).sum()) / x.size for x, m in pairs]])


def fprop(
    images: np.ndarray, statistics: np.ndarray, gammas: np.ndarray, betas: np.ndarray, eps: float
) -> np.ndarray:
    acts = np.empty_like(images)
    for c, x in enumerate(images):
        normalised = (x - statistics[0, c]) / np.sqrt(statistics[1, c] + eps)
        acts[c] = gammas.flat[c] * normalised + betas.flat[c]
    return acts


def bprop(
    images: np.ndarray, gammas: np.ndarray, acts_grad: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the images, and of gammas and betas (2, C), as the paper's page 4 has them.

    By the gradients of normalised values, variance and mean, one after the other.
    """
    images_grad, sums = np.empty_like(images), np.empty((2, len(images)))
    for c, (x, g) in enumerate(zip(images, acts_grad, strict=True)):
        n, mean = x.size, x.mean()
        variance = ((x - mean) ** 2).sum() / n + eps
        normalised = (x - mean) / np.sqrt(variance)
        normalised_grad = g * gammas.flat[c]
        variance_grad = (normalised_grad * (x - mean)).sum() * -0.5 * variance**-1.5
        mean_grad = -normalised_grad.sum() / np.sqrt(variance)
        mean_grad -= variance_grad * 2 * (x - mean).sum() / n
        images_grad[c] = normalised_grad / np.sqrt(variance)
        images_grad[c] += variance_grad * 2 * (x - mean) / n + mean_grad / n
        sums[:, c] = (g * normalised).sum(), g.sum()
    return images_grad, sums
