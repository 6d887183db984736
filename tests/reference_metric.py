"""Metric learning, image by image in plain loops, from the formulas."""

from __future__ import annotations

from math import sqrt

import numpy as np


def l2norm_fprop(inputs: np.ndarray, eps: float) -> np.ndarray:
    acts = np.empty_like(inputs)
    for n, x in enumerate(inputs.T):
        length = sqrt(sum(float(v) ** 2 for v in x) + eps)
        acts[:, n] = [v / length for v in x]
    return acts


def l2norm_bprop(inputs: np.ndarray, acts_grad: np.ndarray, eps: float) -> np.ndarray:
    """By the matrix of derivatives: dy(j)/dx(k) = [j = k] / r - x(j) x(k) / r^3."""
    inputs_grad = np.empty_like(inputs)
    for n, x in enumerate(inputs.T):
        r = sqrt(sum(float(v) ** 2 for v in x) + eps)
        derivatives = np.eye(len(x)) / r - np.outer(x, x) / r**3
        inputs_grad[:, n] = derivatives @ acts_grad[:, n]
    return inputs_grad


def prelu_fprop(images: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    acts = images.copy()
    for index in np.ndindex(images.shape):
        if images[index] < 0:
            acts[index] *= slopes.flat[index[0]]
    return acts


def prelu_bprop(
    images: np.ndarray, slopes: np.ndarray, acts_grad: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the images, and what the gradients of the slopes are sums of."""
    images_grad, terms = acts_grad.copy(), np.zeros_like(images)
    for index in np.ndindex(images.shape):
        if images[index] <= 0:
            images_grad[index] *= slopes.flat[index[0]]
            terms[index] = acts_grad[index] * images[index]
    return images_grad, terms
