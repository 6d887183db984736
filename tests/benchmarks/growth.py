"""How a training step of this engine's CPU backend grows with its sizes.

    python -m tests.benchmarks.growth [--repeats 7] [--tiny]

A small convolutional net (two convolutions, two poolings, a classifier) is trained on random data,
with one of batch size, image side, channels and threads changed at a time. `ms` is the fastest of
the steps; `of peak` are the multiplications and additions of the plain formulas per second, as
against what the machine does at most with as many threads. Winograd's method needs fewer, so a
step can lie above 100 %. Wants a quiet machine.
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import numba

import convnet
from convnet.api import set_threads
from convnet.config.reader import Source
from convnet.layer_types.base import Mode
from convnet.ops.cpu import peak
from convnet.profile import count_flops, random_batch
from tests.benchmarks.bench import PAUSE, processor
from tests.helpers import DATA, layer

WARM_UP = 2  # steps that are not counted
# Slow, so that no cost gets infinite on random data.
PARAMETERS = """
[DEFAULT]
epsW=1e-5
epsB=1e-5
momW=0.9
momB=0.9
wc=0.004
coeff=1
[conv1]
[conv2]
[fc10]
[cost]
"""


class Sizes(NamedTuple):
    """Of a net and its run."""

    batch: int = 128
    side: int = 32
    channels: int = 32
    threads: int = numba.get_num_threads()


TINY = Sizes(batch=4, channels=4)
FACTORS = (0.25, 0.5, 1, 2)  # of a size


def variants(base: Sizes) -> list[tuple[str, Sizes]]:
    """What is changed, and all sizes then."""
    found = [
        (name, base._replace(**{name: max(1, int(getattr(base, name) * factor))}))
        for name in ("batch", "side", "channels")
        for factor in FACTORS
    ]
    return found + [("threads", base._replace(threads=n)) for n in range(1, base.threads + 1)]


def build(sizes: Sizes) -> convnet.Net:
    convolution = {"padding": 2, "filterSize": 5, "initW": 0.05, "neuron": "relu"}
    pooling = {"sizeX": 3, "stride": 2}
    c = sizes.channels
    layers = (
        DATA
        + layer("conv1", "conv", "data", channels=3, filters=c, **convolution)
        + layer("pool1", "pool", "conv1", pool="max", channels=c, **pooling)
        + layer("conv2", "conv", "pool1", channels=c, filters=2 * c, **convolution)
        + layer("pool2", "pool", "conv2", pool="avg", channels=2 * c, **pooling)
        + layer("fc10", "fc", "pool2", outputs=10, initW=0.1)
        + layer("probs", "softmax", "fc10")
        + layer("cost", "cost.logreg", "labels,probs")
    )
    return convnet.build(
        Source("growth layers", layers),
        Source("growth parameters", PARAMETERS),
        data_shapes=[(3, sizes.side, sizes.side), (1, 1, 1)],
        batch_size=sizes.batch,
    )


def measure(sizes: Sizes, repeats: int) -> tuple[float, int]:
    """Seconds and floating-point operations of a training step."""
    net = build(sizes)
    matrices = random_batch(net)
    times = []
    for _ in range(WARM_UP + repeats):
        start = time.perf_counter()
        net.train_step(matrices)
        times.append(time.perf_counter() - start)
        time.sleep(PAUSE)
    calls = net.recording(Mode(train=True, backward=True)).program.calls
    return min(times[WARM_UP:]), sum(count_flops(call, sizes.batch) for call in calls)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="steps of each size")
    parser.add_argument("--tiny", action="store_true", help="small sizes: does it work?")
    options = parser.parse_args()
    base = TINY if options.tiny else Sizes()

    print(f"{processor()}, numba {numba.__version__}, {time.strftime('%Y-%m-%d')}")
    print(", ".join(f"{name} {value}" for name, value in base._asdict().items()), "but for:")
    print(f"{'':8} {'':>5} {'ms':>9} {'images/s':>9} {'GFLOP/s':>8}  of peak")
    peaks = {}
    for name, sizes in variants(base):
        set_threads(sizes.threads)
        if sizes.threads not in peaks:
            peaks[sizes.threads] = peak.flops_per_second()
        seconds, flops = measure(sizes, options.repeats)
        print(
            f"{name:8} {getattr(sizes, name):5} {1e3 * seconds:9.2f} "
            f"{sizes.batch / seconds:9.1f} {flops / seconds / 1e9:8.1f} "
            f"{flops / seconds / peaks[sizes.threads]:8.0%}"
        )


if __name__ == "__main__":
    main()
