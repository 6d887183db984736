"""Normalisation over pixels (rnorm, cnorm) and over channels (cmrnorm)."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.geometry import Norm
from convnet.ops.base import Ops
from tests import reference, reference_images
from tests.ops.check import apply, assert_close, check, numbers

# Operation, norm, shape of the images.
CASES = {
    "pixels": ("rnorm", Norm(3, 0.5, 0.75), (2, 4, 5, 7)),
    "pixels, even size": ("rnorm", Norm(4, 0.25, 0.5, 2.0), (2, 5, 4, 33)),
    "pixels, size 1": ("rnorm", Norm(1, 1.0, 1.0), (1, 3, 2, 1)),
    "pixels, as large as the image": ("rnorm", Norm(5, 0.1, 1.25), (1, 5, 5, 16)),
    "channels": ("cmrnorm", Norm(3, 0.5, 0.75), (7, 2, 3, 7)),
    "channels, even size": ("cmrnorm", Norm(4, 0.25, 0.5, 2.0), (9, 1, 2, 33)),
    "channels, all": ("cmrnorm", Norm(6, 0.1, 1.25), (6, 2, 1, 1)),
    "channels, blocked": ("cmrnorm", Norm(3, 0.5, 0.75, blocked=True), (8, 2, 2, 7)),
    "channels, larger than a tile": ("cmrnorm", Norm(5, 0.2, 0.75), (70, 1, 2, 130)),
    "channels, more pixels than a chunk": ("cmrnorm", Norm(3, 0.5, 0.75), (4, 5, 7, 33)),
}
every_case = pytest.mark.parametrize("case", CASES)


@every_case
def test_fprop(ops: Ops, case: str) -> None:
    name, norm, shape = CASES[case]
    images = numbers(np.random.default_rng(1), *shape)
    across = name == "cmrnorm"
    got = apply(ops, f"{name}_fprop", norm=norm, images=images, denoms=shape, acts=shape)
    assert_close(ops, got["denoms"], reference.norm_denoms(norm, across, images), "denoms")
    assert_close(ops, got["acts"], reference.norm_fprop(norm, across, images), "acts")


@every_case
def test_bprop(ops: Ops, case: str) -> None:
    name, norm, shape = CASES[case]
    rng = np.random.default_rng(2)
    images, acts_grad = numbers(rng, *shape), numbers(rng, *shape)
    across = name == "cmrnorm"
    denoms = reference.norm_denoms(norm, across, images)
    expected = reference.norm_bprop(norm, across, images, acts_grad)
    check(
        ops,
        f"{name}_bprop",
        expected,
        norm=norm,
        images=images,
        denoms=denoms,
        acts_grad=acts_grad,
    )


CONTRAST = {
    "smallest": (Norm(1, 1.0, 1.0), (1, 1, 1, 1)),
    "odd size": (Norm(3, 0.5, 0.75), (2, 4, 5, 7)),
    "even size": (Norm(4, 0.25, 0.5, 2.0), (3, 5, 4, 33)),
    "as large as the image": (Norm(5, 0.1, 1.25), (1, 5, 5, 16)),
    "larger than a tile": (Norm(2, 0.3, 0.75), (9, 2, 3, 130)),
}
every_contrast = pytest.mark.parametrize("case", CONTRAST)


@every_contrast
def test_contrast_fprop(ops: Ops, case: str) -> None:
    norm, shape = CONTRAST[case]
    images = numbers(np.random.default_rng(1), *shape)
    outputs = {"diffs": shape, "denoms": shape, "acts": shape}
    got = apply(ops, "cnorm_fprop", norm=norm, images=images, **outputs)
    assert_close(ops, got["diffs"], reference_images.cnorm_diffs(norm, images), "diffs")
    assert_close(ops, got["denoms"], reference_images.cnorm_denoms(norm, images), "denoms")
    assert_close(ops, got["acts"], reference_images.cnorm_fprop(norm, images), "acts")


@every_contrast
def test_contrast_bprop(ops: Ops, case: str) -> None:
    norm, shape = CONTRAST[case]
    rng = np.random.default_rng(2)
    images, acts_grad = numbers(rng, *shape), numbers(rng, *shape)
    check(
        ops,
        "cnorm_bprop",
        reference_images.cnorm_bprop(norm, images, acts_grad),
        norm=norm,
        images=images,
        diffs=reference_images.cnorm_diffs(norm, images),
        denoms=reference_images.cnorm_denoms(norm, images),
        acts_grad=acts_grad,
    )
