"""The nets in layers/: their sizes are the published ones, and their gradients are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convnet.api import make_ops, read_graph
from convnet.graph import Graph
from convnet.net import Net
from convnet.recording import graph_parameters
from convnet.train.gradcheck import check_gradients

LAYERS = Path(__file__).parents[1] / "layers"

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
    ("imagenet-1gpu", (3, 224, 224), 61_100_840),
    ("imagenet-2gpu-data", (3, 224, 224), 61_100_840),
    ("imagenet-2gpu-model", (3, 224, 224), 60_965_224),
    ("imagenet-4gpu-data", (3, 224, 224), 61_100_840),
    ("imagenet-4gpu-data-model", (3, 224, 224), 61_100_840),
    ("imagenet-vgg11", (3, 224, 224), 132_863_336),
    ("imagenet-resnet50", (3, 224, 224), 25_557_032),  # torchvision's
]
SMALL = [net for net in NETS if net[2] < 10**7]
LARGE = [net for net in NETS if net not in SMALL]


def graph(name: str, shape: tuple[int, int, int]) -> Graph:
    return read_graph(
        LAYERS / f"layers-{name}.cfg",
        LAYERS / f"layer-params-{name}.cfg",
        [shape, (1, 1, 1)],
    )


def test_every_shipped_net_is_listed() -> None:
    files = {path.name for path in LAYERS.glob("*.cfg")}
    assert files == {f"{kind}-{n}.cfg" for n, _, _ in NETS for kind in ("layers", "layer-params")}


@pytest.mark.parametrize(("name", "shape", "parameters"), NETS)
def test_number_of_parameters(name: str, shape: tuple[int, int, int], parameters: int) -> None:
    sizes = [np.prod(p.shape) for p in graph_parameters(graph(name, shape))]
    assert sum(sizes) == parameters


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape", "parameters"), LARGE)
def test_one_step_of_a_large_net(name: str, shape: tuple[int, int, int], parameters: int) -> None:
    """On random data, in less memory than 24 GiB."""
    devices = max(layer.replicas for layer in graph(name, shape).values())
    net = Net(graph(name, shape), make_ops("cpu"), batch_size=4 * devices)
    before = net.state()
    images = np.random.default_rng(0).random((int(np.prod(shape)), net.batch_size), np.float32)
    labels = np.arange(net.batch_size, dtype=np.float32).reshape(1, -1)
    costs = net.train_step([images - 0.5, labels])
    if "data-model" not in name:  # there the last layers have learned when the last images come
        assert costs["logprob"][0] / net.batch_size == pytest.approx(np.log(1000), rel=0.05)
    after = net.state()
    assert all((after[p] != before[p]).any() for p in net.parameters)
    assert all(np.isfinite(values).all() for values in after.values())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape", "parameters"), [net for net in SMALL if net[1][1] <= 32])
def test_gradients(name: str, shape: tuple[int, int, int], parameters: int) -> None:
    net = Net(graph(name, shape), make_ops("reference"), batch_size=2)
    generator = np.random.default_rng(0)
    images = generator.random((int(np.prod(shape)), 2), np.float32)
    results = list(check_gradients(net, [images, np.array([[3, 7]], np.float32)]))
    assert len(results) == len(net.parameters)
    assert [r for r in results if not r.passed] == []
