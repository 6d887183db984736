"""The nets in layers/: their sizes are the published ones, and their gradients are right."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from convnet.api import make_ops, read_graph
from convnet.config.reader import Source
from convnet.graph import Graph
from convnet.net import Net
from convnet.recording import graph_parameters
from convnet.train.gradcheck import check_gradients

LAYERS = Path(__file__).parents[1] / "layers"

PEOPLE = 10_572  # of CASIA-WebFace

# Name, input shape, weights and biases; those of CIFAR-10 and ImageNet nets but vgg11 are
# cuda-convnet's.
NETS = [
    ("mnist-quick", (1, 28, 28), 215_370),
    ("cifar10-80sec", (3, 32, 32), 145_578),
    ("cifar10-18pct", (3, 32, 32), 89_578),
    ("cifar10-13pct", (3, 24, 24), 1_116_490),
    ("cifar10-11pct", (3, 24, 24), 2_112_970),
    ("cifar10-resnet20", (3, 32, 32), 272_474),
    ("tiny-imagenet", (3, 56, 56), 1_663_316),
    ("faces-orl", (3, 56, 56), 170_784),
    ("imagenet-1gpu", (3, 224, 224), 61_100_840),
    ("imagenet-2gpu-data", (3, 224, 224), 61_100_840),
    ("imagenet-2gpu-model", (3, 224, 224), 60_965_224),
    ("imagenet-4gpu-data", (3, 224, 224), 61_100_840),
    ("imagenet-4gpu-data-model", (3, 224, 224), 61_100_840),
    ("imagenet-vgg11", (3, 224, 224), 132_863_336),
    ("imagenet-resnet50", (3, 224, 224), 25_557_032),  # torchvision's
    ("face-nn4-small2", (3, 96, 96), 3_733_968),  # OpenFace's
    ("face-center", (3, 112, 96), 27_536_800 + 513 * PEOPLE),
    ("face-iresnet18", (3, 112, 112), 24_025_600 + 512 * PEOPLE),  # insightface's and the people
    ("face-iresnet50", (3, 112, 112), 43_590_848 + 512 * PEOPLE),
    ("face-resnet50-tasks", (3, 224, 224), 25_557_032 - 1000 * 2049 + 3_416_073 + 512 * PEOPLE),
]
SMALL = [net for net in NETS if net[2] < 10**7]
LARGE = [net for net in NETS if net not in SMALL]


def graph(name: str, shape: tuple[int, int, int]) -> Graph:
    return read_graph(
        LAYERS / f"layers-{name}.cfg",
        LAYERS / f"layer-params-{name}.cfg",
        data_shapes(name, shape),
    )


def data_shapes(name: str, shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Of the images, and the labels of one task or three."""
    return [shape, *[(1, 1, 1)] * (3 if "tasks" in name else 1)]


def test_every_shipped_net_is_listed() -> None:
    files = {path.name for path in LAYERS.glob("*.cfg")}
    assert files == {f"{kind}-{n}.cfg" for n, _, _ in NETS for kind in ("layers", "layer-params")}


@pytest.mark.parametrize(("name", "shape", "parameters"), NETS)
def test_number_of_parameters(name: str, shape: tuple[int, int, int], parameters: int) -> None:
    sizes = [np.prod(p.shape) for p in graph_parameters(graph(name, shape))]
    assert sum(sizes) == parameters


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param(*net[:2], marks=[pytest.mark.slow] if net in LARGE else [])
        for net in NETS
        if net in LARGE or "face" in net[0]
    ],
)
def test_one_step(name: str, shape: tuple[int, int, int]) -> None:
    """On random data, in less memory than 24 GiB."""
    devices = max(layer.replicas for layer in graph(name, shape).values())
    net = Net(graph(name, shape), make_ops("cpu"), batch_size=4 * devices)
    before = net.state()
    costs = net.train_step(batch(name, shape, net.batch_size))
    assert all(np.isfinite(values).all() for values in costs.values())
    # In a hybrid net the last layers have learned when the last images come.
    if "imagenet" in name and "data-model" not in name:
        assert costs["logprob"][0] / net.batch_size == pytest.approx(np.log(1000), rel=0.05)
    after = net.state()
    fixed = [p for p in net.parameters if (after[p] == before[p]).all()]
    assert fixed == (["features.weights.0"] if "iresnet" in name else [])
    assert all(np.isfinite(values).all() for values in after.values())


def batch(name: str, shape: tuple[int, int, int], cases: int) -> list[np.ndarray]:
    """Random images, of faces two for each label."""
    images = np.random.default_rng(0).random((int(np.prod(shape)), cases), np.float32)
    labels = np.arange(cases, dtype=np.float32).reshape(1, -1) // (2 if "face" in name else 1)
    return [images - 0.5, *[labels] * (len(data_shapes(name, shape)) - 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape", "parameters"), [net for net in SMALL if net[1][1] <= 32])
def test_gradients(name: str, shape: tuple[int, int, int], parameters: int) -> None:
    net = Net(graph(name, shape), make_ops("reference"), batch_size=2)
    generator = np.random.default_rng(0)
    images = generator.random((int(np.prod(shape)), 2), np.float32)
    results = list(check_gradients(net, [images, np.array([[3, 7]], np.float32)]))
    assert len(results) == len(net.parameters)
    assert [r for r in results if not r.passed] == []


# Divisors of the channels and of the pixels per side, and the images that remain.
NARROW = [
    pytest.param("face-nn4-small2", 8, 1, (3, 96, 96), marks=pytest.mark.slow),
    ("face-center", 32, 1, (3, 48, 64)),
    ("face-iresnet18", 32, 7, (3, 16, 16)),
    pytest.param("face-iresnet50", 32, 7, (3, 16, 16), marks=pytest.mark.slow),
    pytest.param("face-resnet50-tasks", 32, 7, (3, 32, 32), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "width", "side", "shape"), NARROW)
def test_gradients_of_a_narrow_net(
    name: str, width: int, side: int, shape: tuple[int, int, int]
) -> None:
    """Those of the first layers, which have come through all others."""

    def smaller(match: re.Match[str]) -> str:
        key, number = match[1], int(match[2])
        by = side if key.endswith("X") else width
        return f"{key} = {number // by if number >= by else number}"

    keys = "channels|filters|outputs|classes|modulesX|outputsX"
    text = (LAYERS / f"layers-{name}.cfg").read_text()
    definition = re.sub(rf"^({keys}) = (\d+)$", smaller, text, flags=re.MULTILINE)
    narrow = read_graph(
        Source("narrow.cfg", definition),
        LAYERS / f"layer-params-{name}.cfg",
        data_shapes(name, shape),
    )
    net = Net(narrow, make_ops("reference"), batch_size=4)
    results = list(islice(check_gradients(net, batch(name, shape, 4)), 3))
    assert results[0].numeric > 1e-3
    # What normalisation above takes away, such as a bias below it, has the gradient 0.
    sloped = [r for r in results if max(r.numeric, r.analytic) > 1e-6]
    assert [r for r in sloped if not r.passed] == []
