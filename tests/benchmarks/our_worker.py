"""This engine's side of bench.py: python our_worker.py FILES SIDE BATCH THREADS

FILES is the name of a shipped net, SIDE that of its images in pixels. Data are uploaded each time.
Rates are those at the end of their schedules: the first are for larger minibatches.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import convnet
from convnet.api import set_threads
from tests.benchmarks.worker import serve

LAYERS = Path(__file__).parents[2] / "layers"


def main() -> None:
    files, (side, batch, threads) = sys.argv[1], map(int, sys.argv[2:])
    set_threads(threads)
    net = convnet.build(
        LAYERS / f"layers-{files}.cfg",
        LAYERS / f"layer-params-{files}.cfg",
        data_shapes=[(3, side, side), (1, 1, 1)],
        batch_size=batch,
    )
    rng = np.random.default_rng(0)
    images = rng.standard_normal((3 * side * side, batch), np.float32)
    labels = rng.integers(0, 10, (1, batch)).astype(np.float32)
    data, clock = [images, labels], convnet.Clock(progress=1.0)
    serve(
        convnet.__version__,
        {"training": lambda: net.train_step(data, clock), "testing": lambda: net.forward(data)},
    )


if __name__ == "__main__":
    main()
