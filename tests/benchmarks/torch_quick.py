"""PyTorch's side of bench_quick.py, a process of its own so that thread pools do not mix.

    python torch_quick.py BATCH THREADS LAYOUT

Prints PyTorch's version, then for each line on its input the seconds that a training step took.
"""

from __future__ import annotations

import sys
import time

import torch
from torch import nn

RATE, MOMENTUM, DECAY, CLASSES = 0.001, 0.9, 0.004, 10


def main() -> None:
    batch, threads, layout = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 5, padding=2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.ReLU(),
        nn.Conv2d(32, 32, 5, padding=2),
        nn.ReLU(),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, CLASSES),
    )
    images = torch.randn(batch, 3, 32, 32)
    labels = torch.randint(CLASSES, (batch,))
    if layout == "channels-last":
        net = net.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)

    print(torch.__version__, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        optimiser.zero_grad()
        cost = nn.functional.cross_entropy(net(images), labels)
        cost.backward()
        optimiser.step()
        cost.item()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
