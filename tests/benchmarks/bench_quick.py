"""Times a whole training step of the CIFAR "quick" net: this engine's CPU backend and PyTorch's.

    python tests/benchmarks/bench_quick.py [--batch 128] [--repeats 15]

The net is layers/layers-cifar10-80sec.cfg: three 5x5 convolutions (32, 32, 64 filters), each with
pooling and relu, fc 64, fc 10, softmax and cross entropy, on images of 32 x 32; SGD with momentum.
PyTorch runs the same net with NCHW and with channels-last tensors, in processes of its own
(torch_quick.py). Steps are timed alternately, so that all meet the same machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numba
import numpy as np

import convnet

LAYERS = Path(__file__).parents[2] / "layers"


class OurStep:
    """One training step of the shipped net by the engine, upload of the images included."""

    def __init__(self, batch: int) -> None:
        self.net = convnet.build(
            LAYERS / "layers-cifar10-80sec.cfg",
            LAYERS / "layer-params-cifar10-80sec.cfg",
            data_shapes=[(3, 32, 32), (1, 1, 1)],
            batch_size=batch,
        )
        rng = np.random.default_rng(0)
        self.images = rng.standard_normal((3 * 32 * 32, batch), np.float32)
        self.labels = rng.integers(0, 10, (1, batch)).astype(np.float32)

    def seconds(self) -> float:
        start = time.perf_counter()
        self.net.train_step([self.images, self.labels])
        return time.perf_counter() - start


class TorchStep:
    """PyTorch's step, which torch_quick.py takes in a process of its own."""

    def __init__(self, batch: int, layout: str) -> None:
        script = Path(__file__).with_name("torch_quick.py")
        threads = numba.get_num_threads()
        environment = dict(os.environ)
        environment.pop("OMP_WAIT_POLICY", None)  # our choice; PyTorch has its own default
        self.process = subprocess.Popen(
            [sys.executable, script, str(batch), str(threads), layout],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        self.ask, self.answer = self.process.stdin, self.process.stdout
        self.version = self.answer.readline().strip()

    def seconds(self) -> float:
        print(file=self.ask, flush=True)
        return float(self.answer.readline())

    def close(self) -> None:
        self.ask.close()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()

    ours = OurStep(options.batch)
    print(f"first step, loading or compiling kernels: {ours.seconds():.1f} s")

    steps: dict[str, Callable[[], float]] = {"convnet": ours.seconds}
    torch_steps = []
    if find_spec("torch"):
        torch_steps = [TorchStep(options.batch, layout) for layout in ("NCHW", "channels-last")]
        steps["torch NCHW"], steps["torch channels-last"] = (t.seconds for t in torch_steps)
    else:
        print("PyTorch is not installed (pip install torch): only our own step is timed")

    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(options.repeats + 2):
        for name, step in steps.items():
            seconds = step()
            if repeat >= 2:  # the first steps warm up
                times[name].append(seconds)
            time.sleep(0.02)  # until the threads of that step have gone to sleep
    for torch_step in torch_steps:
        torch_step.close()

    print(f"{processor()}, {numba.get_num_threads()} threads, Python {platform.python_version()}")
    torch_version = f", torch {torch_steps[0].version}" if torch_steps else ""
    print(f"numba {numba.__version__}, numpy {np.__version__}{torch_version}")
    for name, measured in times.items():
        median = statistics.median(measured)
        print(
            f"{name:20} median {1e3 * median:6.1f} ms ({1e3 * min(measured):.1f} to "
            f"{1e3 * max(measured):.1f}), {options.batch / median:.0f} images/s"
        )
    if torch_steps:
        median, *others = (statistics.median(measured) for measured in times.values())
        print(f"our step takes {median / min(others):.2f} times PyTorch's faster one")


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else []:
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
