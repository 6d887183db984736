"""Times steps of shipped nets on a GPU, ours and PyTorch's: `make bench-gpu`.

    python -m tests.gpu.bench [--net NAME,NAME] [--repeats 20] [--peak TFLOPS,GB/s]
        [--backend cuda] [--tiny] [--out runs/bench-gpu.txt]

As tests.benchmarks.bench, whose nets and workers these are: PyTorch (cuDNN) in channels-last layout
and in full float32, as ours. A step is timed until the device has done it. Then each call of a
training step by itself, with the share of its roofline (convnet.roofline) that it reaches, if the
GPU is one of those known there or --peak gives its peaks. As the host waits for each kernel there,
their sum is more than the step. Without a GPU it says why, and that is no error.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import convnet
from convnet.api import make_ops
from convnet.layer_types.base import TRAIN
from convnet.net import Net as ConvNet
from convnet.profile import profile
from convnet.report import columns
from convnet.roofline import FP32, GPUS, Gpu, floor
from tests.benchmarks.bench import HEADER, NETS, Net, Side, measure, report
from tests.benchmarks.our_worker import build
from tests.gpu import ROOT, gpu_name, machine, why_not


def find_gpu(full_name: str) -> Gpu | None:
    """The peaks of the GPU of this name; None if they are not known."""
    return next((gpu for gpu in GPUS.values() if gpu.full_name == full_name), None)


def call_rows(net: ConvNet, gpu: Gpu | None, repeats: int) -> list[tuple[str, ...]]:
    """A row for each call of a training step, the slowest first; the first row is the header."""
    rows: list[tuple[str, ...]] = [("layer", "operation", "us", *(["of roofline"] if gpu else []))]
    timings = profile(net, TRAIN, repeats)
    for t in sorted(timings, key=lambda t: -t.seconds):
        share = [f"{floor(t.call, net.batch_size, gpu).seconds / t.seconds:.0%}"] if gpu else []
        rows.append((t.call.layer, t.call.op, f"{1e6 * t.seconds:.0f}", *share))
    return rows


def bench(nets: dict[str, Net], backend: str, gpu: Gpu | None, repeats: int) -> None:
    """Prints all tables."""
    peers = [("torch channels-last", ["channels-last", backend])] if find_spec("torch") else []
    if not peers:
        print("PyTorch is not installed (pip install torch): only our own steps are timed")
    print(HEADER)
    for name, net in nets.items():
        arguments = [net.files, net.side, net.batch, 1]
        sides = [Side("convnet", "our_worker", [*arguments, backend])]
        sides += [Side(peer, "torch_worker", [*arguments, *more]) for peer, more in peers]
        report(name, net, measure(sides, repeats, clock=0))
    for name, net in nets.items():
        print(f"\n{name}: a training step call by call")
        built = build(net.files, net.side, net.batch, make_ops(backend))
        print(columns(call_rows(built, gpu, repeats), 2))


def parse_peak(text: str) -> Gpu:
    flops, size = map(float, text.split(","))
    return Gpu("GPU", "", 0, {FP32: flops * 1e12}, size * 1e9)


class Both:
    """Text goes to the terminal and to the report."""

    def __init__(self, *files: Any) -> None:
        self.files = files

    def write(self, text: str) -> None:
        for file in self.files:
            file.write(text)

    def flush(self) -> None:
        for file in self.files:
            file.flush()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--net", default=",".join(NETS), help=f"some of {', '.join(NETS)}")
    parser.add_argument("--repeats", type=int, default=20, help="steps of each kind")
    parser.add_argument("--peak", type=parse_peak, help="of the GPU [that of its datasheet]")
    parser.add_argument("--backend", default="cuda", help="as convnet.api.make_ops takes")
    parser.add_argument("--tiny", action="store_true", help="two small images: does it work?")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench-gpu.txt")
    options = parser.parse_args()
    if reason := why_not(options.backend):
        print(f"skipped: {reason}")
        return 0
    nets = {name: NETS[name] for name in options.net.split(",")}
    if options.tiny:
        nets = {k: net._replace(batch=2, side=net.tiny_side) for k, net in nets.items()}
    lines = machine(options.backend)
    gpu = options.peak or find_gpu(gpu_name())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w") as file, redirect_stdout(Both(sys.stdout, file)):  # type: ignore
        print(*lines, f"convnet {convnet.__version__}", sep="\n")
        if not gpu:
            print(f"peaks of {gpu_name()} are not known, so rooflines are left out; --peak tells")
        bench(nets, options.backend, gpu, options.repeats)
    return 0


if __name__ == "__main__":
    sys.exit(main())
