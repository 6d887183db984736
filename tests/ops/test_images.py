"""Resampling along rows and columns, mixtures of channels, the curve of Lab."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.ops.base import Ops
from convnet.ops.cpu import CpuOps
from convnet.resampling import Resampling, bilinear, gaussian, picked
from tests import reference_images
from tests.ops.check import apply, check, numbers

# The map, and the number of images.
CASES = {
    "smallest": (Resampling(1, np.eye(1), np.eye(1)), 1),
    "crop": (Resampling(3, picked(range(1, 4), 7), picked(range(2, 5), 5)), 7),
    "mirror": (Resampling(2, np.eye(5), picked(reversed(range(4)), 4)), 33),
    "blur": (Resampling(3, gaussian(9, 7, 2.0), gaussian(8, 3, 0.5)), 5),
    "shrink": (Resampling(1, bilinear(9, 5, 1.7), bilinear(8, 4, 1.7)), 16),
    "enlarge": (Resampling(2, bilinear(5, 7, 0.7), bilinear(4, 5, 0.7)), 7),
    "pixels that nobody takes": (Resampling(2, picked([5, 0, 5], 8), picked([1], 3)), 7),
    "nothing from anywhere": (Resampling(1, np.zeros((2, 3)), np.eye(2)), 3),
    "larger than a tile": (Resampling(9, picked([1, 0], 2), gaussian(3, 3, 1.0)), 130),
}
every_case = pytest.mark.parametrize("case", CASES)


@every_case
def test_resample_fprop(ops: Ops, case: str) -> None:
    g, n = CASES[case]
    images = numbers(np.random.default_rng(1), *g.images_shape, n)
    expected = reference_images.resample(g, images)
    assert expected.shape == (*g.acts_shape, n)
    check(ops, "resample_fprop", expected, g=g, images=images)


@every_case
def test_resample_bprop(ops: Ops, case: str) -> None:
    g, n = CASES[case]
    acts_grad = numbers(np.random.default_rng(2), *g.acts_shape, n)
    expected = reference_images.resample_bprop(g, acts_grad)
    check(ops, "resample_bprop", expected, g=g, acts_grad=acts_grad)


@pytest.mark.parametrize(
    ("matrix", "shape"),
    [
        (((2.0,),), (1, 1, 1, 1)),
        (((0.5, -1.0, 2.0), (0.0, 3.0, 0.25)), (3, 4, 5, 7)),
        (((1.0, 2.0), (3.0, 4.0), (0.0, -0.5)), (2, 3, 13, 130)),
    ],
)
def test_mix_channels(
    ops: Ops, matrix: tuple[tuple[float, ...], ...], shape: tuple[int, ...]
) -> None:
    images = numbers(np.random.default_rng(1), *shape)
    expected = reference_images.mix_channels(matrix, images)
    check(ops, "mix_channels", expected, matrix=matrix, images=images)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2, 5, 7), (3, 4, 11, 33)], ids=str)
def test_lab_curve(ops: Ops, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    inputs, acts_grad = numbers(rng, *shape), numbers(rng, *shape)
    inputs[..., ::2] /= 128  # near the bend

    def of_each(function: object) -> np.ndarray:
        assert callable(function)
        return np.reshape([function(t) for t in inputs.flat], shape)

    curve = of_each(reference_images.lab_curve)
    check(ops, "lab_curve_fprop", curve - 0.5, offset=0.5, inputs=inputs)
    expected = of_each(reference_images.lab_slope) * acts_grad
    check(ops, "lab_curve_bprop", expected, inputs=inputs, acts_grad=acts_grad)


def test_pixels_without_weight_do_not_count() -> None:
    """Not even a NaN beside a crop: on the CPU they are not read."""
    images = np.full((1, 3, 3, 1), np.nan)
    images[0, :2, :2] = 4
    crop = picked(range(2), 3)
    g = Resampling(1, crop, crop)
    got = apply(CpuOps(), "resample_fprop", g=g, images=images, acts=(1, 2, 2, 1))
    assert (got["acts"] == 4).all()
