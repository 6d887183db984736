"""This engine's side of bench.py: python our_worker.py FILES SIDE BATCH THREADS [BACKEND]

FILES is the name of a shipped net, SIDE that of its images in pixels. Data are uploaded each time.
A step ends when the device has done it. Learning rates are those at the end of their schedules: the
first are for larger minibatches.
"""

from __future__ import annotations

import sys
from math import prod
from pathlib import Path

import numpy as np

import convnet
from convnet.api import make_ops, new_net, read_graph, set_threads
from convnet.net import Net
from convnet.ops.base import Ops
from tests.benchmarks.worker import serve

LAYERS = Path(__file__).parents[2] / "layers"


def build(files: str, side: int, batch: int, ops: Ops) -> Net:
    """A shipped net with initial weights."""
    graph = read_graph(
        LAYERS / f"layers-{files}.cfg",
        LAYERS / f"layer-params-{files}.cfg",
        [(3, side, side), (1, 1, 1)],
    )
    return new_net(graph, ops, batch_size=batch)


def main() -> None:
    files, (side, batch, threads) = sys.argv[1], map(int, sys.argv[2:5])
    backend = sys.argv[5] if len(sys.argv) > 5 else "cpu"
    if backend == "cpu":
        set_threads(threads)
    net = build(files, side, batch, make_ops(backend))
    smallest = min(net.parameters, key=lambda name: prod(net.parameters[name].shape))
    rng = np.random.default_rng(0)
    images = rng.standard_normal((3 * side * side, batch), np.float32)
    labels = rng.integers(0, 10, (1, batch)).astype(np.float32)
    data, clock = [images, labels], convnet.Clock(progress=1.0)

    def train() -> None:
        net.train_step(data, clock)
        net.get_weights(smallest)  # waits for the update

    serve(convnet.__version__, {"training": train, "testing": lambda: net.forward(data)})


if __name__ == "__main__":
    main()
