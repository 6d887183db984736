"""Times steps of shipped nets: this engine's CPU backend and PyTorch.

    python -m tests.benchmarks.bench [--net NAME,NAME] [--repeats 7] [--threads N] [--processor]
        [--tiny]

Forward, backward and update (training) and forward alone (testing), in float32, on random data.
PyTorch runs the same nets in NCHW and channels-last layout, and through torch.compile where that
works, each in a process of its own. Steps are taken in turn, so that all meet the same machine;
the ratio is PyTorch's best median to ours, and beside it that of the fastest steps, which other
work on the machine disturbs less. On a machine with much other work `--processor --threads 1` is
the fairest: the processor time of one thread, with no thread that waits for another.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

ROOT = Path(__file__).parents[2]
LAYOUTS = ("NCHW", "channels-last", "compile")
WARM_UP = 2  # steps of each kind that are not counted
PAUSE = 0.02  # seconds until the threads of a step have gone to sleep


class Net(NamedTuple):
    """A shipped net: the name in its files, side of its images, and images per minibatch."""

    files: str
    side: int
    batch: int
    tiny_side: int


NETS = {
    "quick": Net("cifar10-80sec", 32, 128, 32),
    "11pct": Net("cifar10-11pct", 24, 128, 24),
    "alexnet": Net("imagenet-1gpu", 224, 64, 67),
    "vgg11": Net("imagenet-vgg11", 224, 16, 32),
    "resnet50": Net("imagenet-resnet50", 224, 16, 224),
}

HEADER = (
    f"{'net':8} {'batch':>5}  {'step':8}  {'side':20} {'median ms':>9} {'from':>9} {'to':>9} "
    f"{'images/s':>9} {'MiB':>6}  ratio  of fastest"
)


class Side:
    """One of those that are compared: a process that takes steps, see worker.py."""

    def __init__(self, name: str, module: str, arguments: list[object]) -> None:
        self.name = name
        environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if "compile" in arguments else None,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._ask, self._answer = self._process.stdin, self._process.stdout
        self.version = self._answer.readline().strip()
        self.times: dict[str, list[float]] = {"training": [], "testing": []}

    def step(self, kind: str, *, clock: int, counts: bool) -> bool:
        """Takes a step; returns whether it could."""
        try:
            print(kind, file=self._ask, flush=True)
        except BrokenPipeError:
            return False
        answer = self._answer.readline()
        if answer and counts:
            self.times[kind].append(float(answer.split()[clock]))
        return bool(answer)

    def close(self) -> str:
        """Ends the process; returns the most memory it held, in MiB."""
        self._process.stdin.close()
        memory = self._answer.read().strip()
        self._process.wait()
        return memory


def start(net: Net, threads: int) -> list[Side]:
    """All sides, ours first."""
    arguments = [net.files, net.side, net.batch, threads]
    sides = [Side("convnet", "our_worker", arguments)]
    if find_spec("torch"):
        sides += [Side(f"torch {x}", "torch_worker", [*arguments, x]) for x in LAYOUTS]
    return sides


def measure(sides: list[Side], repeats: int, clock: int) -> list[Side]:
    """The sides with their times; those that fail are left out."""
    for repeat in range(WARM_UP + repeats):
        for kind in ("training", "testing"):
            for side in list(sides):
                if not side.step(kind, clock=clock, counts=repeat >= WARM_UP):
                    print(f"{side.name} does not work here and is left out")
                    sides.remove(side)
                time.sleep(PAUSE)
    return sides


def report(name: str, net: Net, sides: list[Side]) -> None:
    memory = {side.name: side.close() for side in sides}
    for kind in ("training", "testing"):
        medians = {side.name: statistics.median(side.times[kind]) for side in sides}
        fastest = [min(side.times[kind]) for side in sides]
        ratios = [
            min(others) / ours for ours, *others in (list(medians.values()), fastest) if others
        ]
        for side in sides:
            median, spread = medians[side.name], side.times[kind]
            ratio = "".join(f"{r:7.2f}" for r in ratios if side is sides[0])
            print(
                f"{name:8} {net.batch:5}  {kind:8}  {side.name:20} {1e3 * median:9.1f} "
                f"{1e3 * min(spread):9.1f} {1e3 * max(spread):9.1f} {net.batch / median:9.1f} "
                f"{memory[side.name]:>6}{ratio}".rstrip()
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--net", default=",".join(NETS), help=f"some of {', '.join(NETS)}")
    parser.add_argument("--repeats", type=int, default=7, help="steps of each kind")
    parser.add_argument("--threads", type=int, default=numba.get_num_threads())
    parser.add_argument("--processor", action="store_true", help="processor time; see above")
    parser.add_argument("--tiny", action="store_true", help="two small images: does it work?")
    options = parser.parse_args()
    names = options.net.split(",")
    if unknown := set(names) - NETS.keys():
        parser.error(f"no net '{unknown.pop()}'; there are {', '.join(NETS)}")

    print(f"{processor()}, {options.threads} threads, Python {platform.python_version()}")
    print(f"numba {numba.__version__}, numpy {np.__version__}, {time.strftime('%Y-%m-%d')}")
    if not find_spec("torch"):
        print("PyTorch is not installed (pip install torch): only our own steps are timed")
    print(HEADER)
    for name in names:
        net = NETS[name]
        if options.tiny:
            net = net._replace(batch=2, side=net.tiny_side)
        sides = measure(start(net, options.threads), options.repeats, int(options.processor))
        report(name, net, sides)


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else []:
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
