"""What CudaOps adds to the kernels: checks of arrays, plans of products, sums in parts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from convnet.errors import ShapeError
from convnet.geometry import Window
from convnet.neurons import NEURON_TYPES
from convnet.ops.base import Ops
from convnet.ops.cuda.emulated.driver import EmulatedDriver
from convnet.ops.cuda.launch import checked, parts_of_rows
from convnet.ops.cuda.neurons import KINDS
from convnet.ops.cuda.ops import CudaOps
from tests import reference
from tests.helpers import emulated_ops
from tests.ops.check import apply, assert_close, numbers, uploaded


@pytest.fixture(scope="module")
def ops() -> Ops:
    return emulated_ops()


def test_arrays_of_another_size(ops: Ops) -> None:
    acts, grad = ops.empty(6).reshape(2, 3), ops.empty(7)
    with pytest.raises(ShapeError) as caught:
        ops.softmax_bprop(acts, acts, grad)
    assert str(caught.value) == (
        "'inputs_grad' must be a float32 array of shape (2, 3); found float32 of shape (7,)"
    )


@pytest.mark.parametrize(
    ("dtype", "size", "says"),
    [
        (np.float64, 4, r"'x' must be a float32 array of shape \(4,\); found float64"),
        (np.float32, 2**31, "'x' has 2147483648 numbers; a kernel works on fewer than 2147483648"),
    ],
)
def test_arrays_that_no_kernel_takes(dtype: type, size: int, says: str) -> None:
    array = SimpleNamespace(dtype=np.dtype(dtype), size=size, shape=(size,))
    with pytest.raises(ShapeError, match=says):
        checked("x", array, size)


def test_kernels_know_all_neurons() -> None:
    assert tuple(NEURON_TYPES) == KINDS


def test_a_gradient_in_parts(ops: Ops) -> None:
    """A long sum is divided; its bits repeat, and what was held is added once."""
    g, N = Window(2, 9, 8, 3, 3, padding=1), 64
    rng = np.random.default_rng(1)
    images, acts_grad = numbers(rng, *g.images_shape, N), numbers(rng, *g.acts_shape, N)
    held = numbers(rng, *g.conv_filters_shape)
    expected = held + reference.conv_wgrad(g, images, acts_grad, False)
    arrays = {"images": images, "acts_grad": acts_grad, "filters_grad": held}
    once, twice = (
        apply(ops, "conv_wgrad", g=g, **arrays, add=True)["filters_grad"] for _ in range(2)
    )
    assert_close(ops, once, expected, "conv_wgrad")
    np.testing.assert_array_equal(once, twice)


@pytest.mark.parametrize(
    ("rows", "length", "parts"),
    [
        (1, 1, 1),
        (3, 4 * 256 + 1, 2),
        (3, 10**6, 32),
        (64, 55 * 55 * 128, 16),
        (384, 13 * 13 * 128, 3),
        (4096, 10**6, 1),
    ],
)
def test_blocks_that_sum_up_a_row(rows: int, length: int, parts: int) -> None:
    assert parts_of_rows(rows, length) == parts


def test_nothing_to_do(ops: Ops) -> None:
    """Not even a launch, which CUDA would refuse."""
    target = uploaded(ops, np.ones((2, 3)))
    ops.copy_cases(target, 0, target, 0, 0)
    assert ops.download(target).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_the_order_of_threads_does_not_matter() -> None:
    """To the last bit."""
    emulated_ops()  # or skips
    g, N = Window(2, 7, 6, 3, 3, padding=1), 33
    rng = np.random.default_rng(2)
    arrays = {
        "images": numbers(rng, *g.images_shape, N),
        "acts_grad": numbers(rng, *g.acts_shape, N),
    }
    classes = numbers(rng, 10, N)
    results = []
    for schedule in ("forward", "reverse", "7"):
        ops = CudaOps(EmulatedDriver(schedule=schedule))
        got = [
            apply(ops, "conv_wgrad", g=g, **arrays, filters_grad=g.conv_filters_shape),
            apply(ops, "softmax_fprop", inputs=classes, acts=classes.shape),
            apply(ops, "bias_grad", acts_grad=arrays["acts_grad"], biases_grad=(3,)),
            apply(ops, "sum2_cost", inputs=arrays["images"], values=(1,)),
        ]
        results.append([value for outputs in got for value in outputs.values()])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
