"""Times a whole training step of the CIFAR "quick" net: this engine's CPU backend and PyTorch's.

    python tests/benchmarks/bench_quick.py [--batch 128] [--repeats 15] [--profile]

The net: conv 5x5 3-32, max pool 3/2, relu; conv 5x5 32-32, relu, avg pool 3/2; conv 5x5 32-64,
relu, avg pool 3/2; fc 10; softmax and cross entropy; SGD with momentum. Images are 32 x 32.
Without response normalisation, so that both do the same work. PyTorch runs with NCHW and with
channels-last tensors, in processes of its own (torch_quick.py). Steps are timed alternately, so
that all meet the same machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numba
import numpy as np

from convnet.geometry import Pool, Window
from convnet.neurons import IDENT, parse_neuron
from convnet.ops.cpu import CpuOps

RATE, MOMENTUM, CLASSES = 0.001, 0.9, 10
CONVS = [Window(3, 32, 32, 32, 5, 2), Window(32, 16, 16, 32, 5, 2), Window(32, 8, 8, 64, 5, 2)]
POOLS = [Pool(32, 32, 32, 3, 2), Pool(32, 16, 16, 3, 2), Pool(64, 8, 8, 3, 2)]
FEATURES = 64 * 4 * 4


class Profile:
    """A backend whose operations are timed by name and running number."""

    def __init__(self, ops: CpuOps) -> None:
        self.ops = ops
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.calls: dict[str, int] = defaultdict(int)

    def __getattr__(self, name: str) -> Callable[..., None]:
        def timed(*args: Any) -> None:
            start = time.perf_counter()
            getattr(self.ops, name)(*args)
            self.seconds[f"{name} {self.calls[name]}"].append(time.perf_counter() - start)
            self.calls[name] += 1

        return timed

    def end_step(self) -> None:
        self.calls.clear()

    def report(self) -> str:
        rows = {name: 1e3 * statistics.median(times) for name, times in self.seconds.items()}
        lines = [f"{ms:8.3f} ms  {name}" for name, ms in rows.items()]
        return "\n".join([*lines, f"{sum(rows.values()):8.3f} ms  total"])


class OurStep:
    """One training step as a sequence of operations."""

    def __init__(self, ops: CpuOps, batch: int) -> None:
        rng = np.random.default_rng(0)
        N = self.batch = batch

        def array(*shape: int) -> Any:
            return ops.empty(int(np.prod(shape))).reshape(shape)

        def matrix(rows: int, columns: int, std: float) -> list[Any]:
            """Weights, increments and gradients."""
            triple = [array(rows, columns) for _ in range(3)]
            triple[0][:] = std * rng.standard_normal((rows, columns))
            triple[1][:] = 0
            return triple

        self.images, self.labels = array(3, 32, 32, N), array(1, N)
        self.images[:] = rng.standard_normal(self.images.shape)
        self.labels[:] = rng.integers(0, CLASSES, N)
        self.filters = [matrix(*g.conv_filters_shape, 0.05) for g in CONVS]
        self.biases = [matrix(g.filters, 1, 0) for g in CONVS]
        self.fc = [matrix(FEATURES, CLASSES, 0.05), matrix(CLASSES, 1, 0)]
        self.conv = [array(*g.acts_shape, N) for g in CONVS]
        self.conv_grad = [array(*g.acts_shape, N) for g in CONVS]
        self.pool = [array(*g.acts_shape, N) for g in POOLS]
        self.pool_grad = [array(*g.acts_shape, N) for g in POOLS]
        self.scores, self.scores_grad, self.cost = array(CLASSES, N), array(CLASSES, N), array(3)

    def seconds(self, ops: Any) -> float:
        start = time.perf_counter()
        relu = parse_neuron("relu")
        below = [self.images, *self.pool]
        for i, (g, pool) in enumerate(zip(CONVS, POOLS, strict=True)):
            neuron = IDENT if i == 0 else relu
            ops.conv_fprop(g, below[i], self.filters[i][0], self.biases[i][0], neuron, self.conv[i])
            if i == 0:
                ops.pool_max_fprop(pool, self.conv[i], self.pool[i])
                ops.neuron_fprop(relu, self.pool[i], self.pool[i])
            else:
                ops.pool_avg_fprop(pool, True, self.conv[i], self.pool[i])
        features = self.pool[2].reshape(FEATURES, -1)
        ops.fc_fprop(features, self.fc[0][0], self.fc[1][0], IDENT, self.scores)
        ops.softmax_fprop(self.scores, self.scores)
        ops.logreg_cost(self.labels, self.scores, 1, self.cost)

        ops.softmax_logreg_bprop(self.labels, self.scores, 1.0, self.scores_grad)
        ops.fc_wgrad(features, self.scores_grad, self.fc[0][2])
        ops.bias_grad(self.scores_grad, self.fc[1][2])
        ops.fc_dgrad(self.fc[0][0], self.scores_grad, self.pool_grad[2].reshape(FEATURES, -1))
        for i in (2, 1, 0):
            grad, pool_grad = self.conv_grad[i], self.pool_grad[i]
            if i == 0:
                ops.neuron_bprop(relu, self.pool[i], pool_grad, pool_grad)
                ops.pool_max_bprop(POOLS[i], self.conv[i], self.pool[i], pool_grad, grad)
            else:
                ops.pool_avg_bprop(POOLS[i], True, pool_grad, grad)
                ops.neuron_bprop(relu, self.conv[i], grad, grad)
            ops.conv_wgrad(CONVS[i], below[i], grad, self.filters[i][2])
            ops.bias_grad(grad, self.biases[i][2])
            if i > 0:
                ops.conv_dgrad(CONVS[i], self.filters[i][0], grad, self.pool_grad[i - 1])
        for weights, increments, gradients in [*self.filters, *self.biases, *self.fc]:
            ops.sgd(weights, increments, gradients, MOMENTUM, RATE, 0.0, self.batch)
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
    parser.add_argument("--profile", action="store_true", help="time each operation of our step")
    options = parser.parse_args()

    ops = CpuOps()
    ours = OurStep(ops, options.batch)
    print(f"first step, loading or compiling kernels: {ours.seconds(ops):.1f} s")

    if options.profile:
        profile = Profile(ops)
        for _ in range(options.repeats):
            ours.seconds(profile)
            profile.end_step()
        print(profile.report())
        return

    steps: dict[str, Callable[[], float]] = {"convnet": lambda: ours.seconds(ops)}
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
