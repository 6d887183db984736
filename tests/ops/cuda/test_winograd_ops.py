"""Winograd's method on the emulated device, against float64; and where it is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convnet.geometry import Window
from convnet.neurons import IDENT, parse_neuron
from convnet.ops.cuda import winograd_ops
from convnet.ops.cuda.ops import CudaOps
from convnet.ops.cuda.tiles import DIRECTIONS, Direction
from convnet.ops.cuda.winograd_ops import PointPlan, is_faster
from convnet.ops.reference import ReferenceOps
from tests.helpers import emulated_ops
from tests.ops.check import apply, numbers
from tests.test_shipped_nets import NETS, graph

# The errors that are promised, relative to the largest number of the result.
FORWARD, GRADIENTS = 1e-4, 1e-3
EXACT = ReferenceOps(np.float64)

# Channels, height, width, filters, filter size, ...; and the number of images.
CASES = {
    "one tile": (Window(1, 6, 6, 4, 3), 1),
    "smaller than a tile": (Window(2, 3, 2, 4, 3, padding=1), 7),
    "partial tiles": (Window(5, 9, 11, 8, 3, padding=1), 130),
    "unpadded": (Window(3, 7, 8, 12, 3), 33),
    "two groups, padded by 2": (Window(6, 5, 8, 8, 3, padding=2, groups=2), 5),
    "padded by more than the filter": (Window(3, 4, 5, 4, 3, padding=3), 5),
    "given number of windows": (Window(2, 5, 6, 4, 3, padding=1, modules=9), 7),
    "a part of a tile of products": (Window(35, 4, 5, 68, 3, padding=1), 6),
    "5x5, two groups": (Window(4, 8, 7, 8, 5, padding=2, groups=2), 16),
}
every_case = pytest.mark.parametrize("case", CASES)


def plan(g: Window, direction: Direction, N: int) -> PointPlan:
    """On an A100."""
    return PointPlan(g, direction, N, 108)


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch) -> CudaOps:
    """Takes the method for all sizes."""
    monkeypatch.setattr(CudaOps, "_is_for_points", lambda self, c: True)
    ops = emulated_ops()
    assert isinstance(ops, CudaOps)
    return ops


def random(*shape: int) -> np.ndarray:
    return numbers(np.random.default_rng(sum(shape)), *shape)


def error(ops: CudaOps, name: str, output: str, **arguments: Any) -> float:
    """Of an operation, relative to the largest number."""
    got, expected = (apply(o, name, **arguments)[output] for o in (ops, EXACT))
    worst: float = np.abs(got - expected).max() / np.abs(expected).max()
    return worst


def fprop_error(ops: CudaOps, g: Window, n: int, **changed: Any) -> float:
    arguments = {
        "g": g,
        "images": random(*g.images_shape, n),
        "filters": random(*g.conv_filters_shape),
        "biases": None,
        "neuron": IDENT,
        "acts": (*g.acts_shape, n),
    }
    return error(ops, "conv_fprop", "acts", **arguments | changed)


def dgrad_error(ops: CudaOps, g: Window, n: int, **changed: Any) -> float:
    arguments = {
        "g": g,
        "filters": random(*g.conv_filters_shape),
        "acts_grad": random(*g.acts_shape, n),
        "images_grad": (*g.images_shape, n),
    }
    return error(ops, "conv_dgrad", "images_grad", **arguments | changed)


def wgrad_error(ops: CudaOps, g: Window, n: int, **changed: Any) -> float:
    arguments = {
        "g": g,
        "images": random(*g.images_shape, n),
        "acts_grad": random(*g.acts_shape, n),
        "filters_grad": g.conv_filters_shape,
    }
    return error(ops, "conv_wgrad", "filters_grad", **arguments | changed)


@every_case
def test_fprop(ops: CudaOps, case: str) -> None:
    assert fprop_error(ops, *CASES[case]) < FORWARD


@every_case
def test_dgrad(ops: CudaOps, case: str) -> None:
    g, n = CASES[case]
    assert dgrad_error(ops, g, n) < GRADIENTS
    assert dgrad_error(ops, g, n, images_grad=random(*g.images_shape, n), add=True) < GRADIENTS


@every_case
def test_wgrad(ops: CudaOps, case: str) -> None:
    g, n = CASES[case]
    assert wgrad_error(ops, g, n) < GRADIENTS
    held = random(*g.conv_filters_shape)
    assert wgrad_error(ops, g, n, filters_grad=held, add=True) < GRADIENTS


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("neuron", ["ident", "relu", "brelu[0.5]", "tanh[1,0.1]"])
@pytest.mark.parametrize("biases_for", ["filters", "outputs"])
def test_what_is_done_to_outputs(ops: CudaOps, biases_for: str, neuron: str, add: bool) -> None:
    g, n = CASES["two groups, padded by 2"]
    biases = random(g.filters if biases_for == "filters" else g.filters * g.out_pixels, 1)
    held = random(*g.acts_shape, n)
    changed = {"biases": biases, "neuron": parse_neuron(neuron), "acts": held, "add": add}
    assert fprop_error(ops, g, n, **changed) < FORWARD


@pytest.mark.parametrize("size", [3, 5])
def test_accuracy_of_a_large_layer(ops: CudaOps, size: int) -> None:
    """The errors that are promised hold with room to spare where sums are long."""
    g, n = Window(128, 6, 6, 128, size, padding=1), 8
    assert fprop_error(ops, g, n) < FORWARD / 3
    assert dgrad_error(ops, g, n) < GRADIENTS / 3
    assert wgrad_error(ops, g, n) < GRADIENTS / 3


def test_work_in_parts(ops: CudaOps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the workspace is too small for all columns, in parts; a sum over a column stays the
    same to the last bit."""
    g, n = CASES["partial tiles"]
    images, filters = random(*g.images_shape, n), random(*g.conv_filters_shape)
    acts_grad = random(*g.acts_shape, n)
    results = []
    for workspace in (winograd_ops.WORKSPACE, 10**5):
        monkeypatch.setattr(winograd_ops, "WORKSPACE", workspace)
        assert wgrad_error(ops, g, n) < GRADIENTS
        given = {"g": g, "filters": filters}
        acts = apply(
            ops, "conv_fprop", **given, images=images, biases=None, neuron=IDENT,
            acts=acts_grad.shape,
        )  # fmt: skip
        images_grad = apply(
            ops, "conv_dgrad", **given, acts_grad=acts_grad, images_grad=images.shape
        )
        results.append(acts | images_grad)
    for key, whole in results[0].items():
        np.testing.assert_array_equal(results[1][key], whole, key)
    for direction in DIRECTIONS:
        points = plan(g, direction, n)
        assert 5 * points.line < points.columns
        assert points.filter_points + 36 * (g.channels + g.filters) * points.line <= 10**5
    for key, whole in results[0].items():
        np.testing.assert_array_equal(results[1][key], whole, key)


def test_the_workspace_holds_the_filters_and_some_columns() -> None:
    assert is_faster(plan(Window(1024, 14, 14, 1024, 3, padding=1), "fprop", 128))
    no_room = plan(Window(2048, 14, 14, 2048, 3, padding=1), "fprop", 128)
    assert no_room.line == 0
    assert not is_faster(no_room)
    little_room = plan(Window(1360, 14, 14, 1360, 3, padding=1), "fprop", 128)
    assert 0 < little_room.line < 16
    assert not is_faster(little_room)


def test_where_it_is_taken() -> None:
    taken = {
        "many channels": plan(Window(64, 28, 28, 128, 3, padding=1), "fprop", 128),
        "5x5": plan(Window(128, 28, 28, 128, 5, padding=2), "fprop", 128),
        "gradient": plan(Window(64, 28, 28, 128, 3, padding=1), "dgrad", 128),
    }
    not_taken = {
        "few channels": plan(Window(32, 28, 28, 32, 3, padding=1), "fprop", 128),
        "pictures": plan(Window(3, 224, 224, 64, 3, padding=1), "fprop", 128),
        "small groups": plan(Window(128, 28, 28, 128, 3, padding=1, groups=4), "fprop", 128),
        "filters no multiple of 4": plan(Window(64, 28, 28, 129, 3, padding=1), "fprop", 128),
        "stride": plan(Window(64, 28, 28, 128, 3, stride=2), "fprop", 128),
        "other sizes": plan(Window(64, 28, 28, 128, 7, padding=3), "fprop", 128),
        "rows": plan(Window(64, 28, 28, 128, 3, padding=1, filter_size_y=1), "fprop", 128),
        "most of a tile unused": plan(Window(128, 1, 1, 128, 3, padding=1), "fprop", 128),
        "no images": plan(Window(512, 4, 4, 512, 3, padding=1), "fprop", 0),
        "few images": plan(Window(512, 4, 4, 512, 3, padding=1), "fprop", 1),
    }
    found = {name for name, points in (taken | not_taken).items() if is_faster(points)}
    assert found == set(taken)


def test_layers_of_the_shipped_nets() -> None:
    """In all directions alike."""
    windows = {
        net: {
            name: layer.windows[0]
            for name, layer in graph(net, shape).items()
            if layer.type_name == "conv"
        }
        for net, shape, _ in NETS
    }
    found = {
        (net, direction): [n for n, g in of.items() if is_faster(plan(g, direction, 128))]
        for net, of in windows.items()
        for direction in DIRECTIONS
    }

    def wide(net: str) -> list[str]:
        return [
            name
            for name, g in windows[net].items()
            if (g.filter_size, g.stride) == (3, 1) and g.channels >= 64
        ]

    resnet50 = [
        f"conv{stage}{block}2"
        for stage, blocks in ((2, "abc"), (3, "bcd"), (4, "bcdef"), (5, "bc"))
        for block in blocks
    ]
    last_three = ["conv3", "conv4", "conv5"]
    expected = {
        "tiny-imagenet": last_three,
        "imagenet-1gpu": last_three,
        "imagenet-2gpu-data": last_three,
        "imagenet-4gpu-data": last_three,
        "imagenet-4gpu-data-model": last_three,
        "imagenet-2gpu-model": [f"conv{i}{half}" for i in (3, 4, 5) for half in "ab"],
        "imagenet-vgg11": [f"conv{i}" for i in range(2, 9)],
        "cifar10-resnet20": ["conv4a2", *(f"conv4{block}" for block in ("b1", "b2", "c1", "c2"))],
        "imagenet-resnet50": resnet50,
        "face-resnet50-tasks": resnet50,
        "faces-orl": ["conv3"],
        "face-nn4-small2": ["conv2b", "conv3a3b", "conv3b3b"],
        **{net: wide(net) for net in ("face-center", "face-iresnet18", "face-iresnet50")},
    }
    for (net, _), names in found.items():
        assert names == expected.get(net, []), net
