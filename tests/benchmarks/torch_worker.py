"""PyTorch's side of bench.py: python torch_worker.py FILES SIDE BATCH THREADS LAYOUT [DEVICE]

LAYOUT is NCHW, channels-last, or compile (channels-last through torch.compile). The nets are
those of the layer files, with the loss and SGD with momentum. DEVICE is cpu or cuda, on which all
products are in full float32, and cuDNN looks for its fastest algorithms.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import torch
from torch import nn

from tests.benchmarks.worker import serve

RATE, MOMENTUM, DECAY = 0.001, 0.9, 0.004


class Local(nn.Module):
    """A 3 x 3 convolution with filters of its own at each pixel, for which there is no module."""

    def __init__(self, channels: int, filters: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.weight = nn.Parameter(0.04 * torch.randn(side * side, channels * 9, filters))
        self.bias = nn.Parameter(torch.zeros(filters, side * side))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        patches = nn.functional.unfold(images, 3, padding=1)
        acts = torch.einsum("nkp,pkf->nfp", patches, self.weight) + self.bias
        return acts.unflatten(2, (self.side, self.side))


def max_pool(size: int = 3) -> nn.Module:
    return nn.MaxPool2d(size, 2, ceil_mode=True)


def avg_pool() -> nn.Module:
    return nn.AvgPool2d(3, 2, ceil_mode=True)


def quick() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2), max_pool(), nn.ReLU(),
        nn.Conv2d(32, 32, 5, padding=2), nn.ReLU(), avg_pool(),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), avg_pool(),
        nn.Flatten(), nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def eleven_percent() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 5, padding=2), nn.ReLU(), max_pool(),
        nn.LocalResponseNorm(9, 0.001), nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(),
        nn.LocalResponseNorm(9, 0.001), max_pool(),
        Local(64, 64, 6), nn.ReLU(), Local(64, 32, 6), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(10),
    )  # fmt: skip


def classifier() -> Iterator[nn.Module]:
    """The fully connected layers of the nets for ImageNet."""
    yield nn.Flatten()
    yield from (nn.LazyLinear(4096), nn.ReLU(), nn.Dropout())
    yield from (nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000))


def alexnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.LocalResponseNorm(5), max_pool(), nn.ReLU(),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.LocalResponseNorm(5), max_pool(),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), max_pool(), nn.ReLU(),
        *classifier(),
    )  # fmt: skip


def vgg11() -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for filters, pooled in (
        (64, True), (128, True), (256, False), (256, True),
        (512, False), (512, True), (512, False), (512, True),
    ):  # fmt: skip
        layers += [nn.Conv2d(channels, filters, 3, padding=1), nn.ReLU()]
        layers += [max_pool(2)] if pooled else []
        channels = filters
    return nn.Sequential(*layers, *classifier())


class Block(nn.Module):
    """A residual block: 1x1, 3x3 and 1x1 convolutions, or two of 3x3, and a shortcut."""

    def __init__(self, channels: int, sizes: list[tuple[int, int]], stride: int) -> None:
        """`sizes`: filter size and filters of each convolution; the first 3x3 has the stride."""
        super().__init__()
        layers: list[nn.Module] = []
        below, strided = channels, [size for size, _ in sizes].index(3)
        for i, (size, filters) in enumerate(sizes):
            layers += [*normed(below, filters, size, stride if i == strided else 1), nn.ReLU()]
            below = filters
        self.layers = nn.Sequential(*layers[:-1])
        same = stride == 1 and channels == below
        self.shortcut = nn.Sequential(*([] if same else normed(channels, below, 1, stride)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.layers(images) + self.shortcut(images))


def normed(channels: int, filters: int, size: int, stride: int = 1) -> list[nn.Module]:
    """A convolution without biases, and batch normalisation."""
    conv = nn.Conv2d(channels, filters, size, stride, padding=size // 2, bias=False)
    return [conv, nn.BatchNorm2d(filters)]


def resnet50() -> nn.Sequential:
    layers = [*normed(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
    channels = 64
    for filters, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(count):
            stride = 2 if i == 0 and filters > 64 else 1
            sizes = [(1, filters), (3, filters), (1, 4 * filters)]
            layers.append(Block(channels, sizes, stride))
            channels = 4 * filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


def resnet20() -> nn.Sequential:
    layers: list[nn.Module] = [*normed(3, 16, 3), nn.ReLU()]
    channels = 16
    for filters in (16, 32, 64):
        for i in range(3):
            stride = 2 if i == 0 and filters > 16 else 1
            layers.append(Block(channels, [(3, filters), (3, filters)], stride))
            channels = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


NETS = {
    "cifar10-resnet20": resnet20,
    "imagenet-resnet50": resnet50,
    "cifar10-80sec": quick,
    "cifar10-11pct": eleven_percent,
    "imagenet-1gpu": alexnet,
    "imagenet-vgg11": vgg11,
}


def main() -> None:
    files, (side, batch, threads), layout = sys.argv[1], map(int, sys.argv[2:5]), sys.argv[5]
    device = sys.argv[6] if len(sys.argv) > 6 else "cpu"
    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    net = NETS[files]().to(device)
    images = torch.randn(batch, 3, side, side, device=device)
    labels = torch.randint(10, (batch,), device=device)
    net(images)  # gives lazy layers their sizes
    if layout != "NCHW":
        net = net.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    run = torch.compile(net) if layout == "compile" else net

    def train() -> None:
        net.train()
        optimiser.zero_grad()
        cost = nn.functional.cross_entropy(run(images), labels)
        cost.backward()
        optimiser.step()
        cost.item()

    def test() -> None:
        net.eval()
        with torch.no_grad():
            nn.functional.cross_entropy(run(images), labels).item()

    serve(f"torch {torch.__version__}", {"training": train, "testing": test})


if __name__ == "__main__":
    main()
