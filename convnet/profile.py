"""Where the time of a step goes: each call of its program, against what the machine can do."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np

from convnet.layer_types.base import Mode
from convnet.layer_types.cost import ClassLabelCost
from convnet.layer_types.data import Matrices
from convnet.net import Net
from convnet.plan import Call

REPEATS = 5


@dataclass(frozen=True)
class Timing:
    """One call of a program.

    Attributes:
        seconds: the median of several steps.
        flops: multiplications and additions of its formula, written out plainly; a kernel that
            needs fewer can be faster than the machine's peak. 0 where memory sets the pace.
        bytes: of the arrays that it reads and writes, each counted once.
    """

    call: Call
    seconds: float
    flops: int
    bytes: int


@dataclass(frozen=True)
class Peak:
    """What the machine reaches with the threads in use: per second."""

    flops: float
    bytes: float


def measure_peak() -> Peak:
    """The peak of the CPU backend, in a second or two."""
    from convnet.ops.cpu import peak  # imports numba

    return Peak(peak.flops_per_second(), peak.bytes_per_second())


def profile(net: Net, mode: Mode, repeats: int = REPEATS) -> list[Timing]:
    """Times the calls of a step on random data; the first step warms up and does not count."""
    matrices = random_batch(net)
    net.time_calls(matrices, mode)
    steps = [net.time_calls(matrices, mode) for _ in range(repeats)]
    return [
        Timing(
            call,
            statistics.median(step[i] for step in steps),
            count_flops(call, net.batch_size),
            count_bytes(call, net.batch_size),
        )
        for i, call in enumerate(net.recording(mode).program.calls)
    ]


def random_batch(net: Net) -> Matrices:
    """A minibatch that fits the net: normal numbers, label 0."""
    rng = np.random.default_rng(0)
    sizes = {layer.index: layer.matrix_rows for layer in net.data_layers}
    shapes = [(sizes.get(i, 1), net.batch_size) for i in range(max(sizes) + 1)]
    matrices = [rng.standard_normal(shape, np.float32) for shape in shapes]
    for cost in net.costs:
        if isinstance(cost, ClassLabelCost):
            matrices[cost.labels.index][cost.labels.rows] = 0
    return matrices


def count_flops(call: Call, batch_size: int) -> int:
    """Of the products in convolutions and fc layers; see Timing."""
    cases = call.part.cases(batch_size)
    kind, _, rest = call.op.partition("_")
    if rest not in ("fprop", "dgrad", "wgrad"):
        return 0
    if kind in ("conv", "local"):
        g = call.args["g"]
        return int(2 * g.filters * g.out_pixels * g.taps * cases)
    if kind == "fc":
        weights = call.args["weights_grad" if rest == "wgrad" else "weights"]
        return int(2 * prod(weights.shape) * cases)
    return 0


def count_bytes(call: Call, batch_size: int) -> int:
    """Of the arrays of a call, in float32; see Timing."""
    total = 0
    for name, buffer in call.buffers():
        cases = buffer.storage.part.cases(batch_size) if buffer.storage.per_case else 1
        total += 4 * prod(buffer.shape) * cases * (call.reads(name) + call.writes(name))
    return total


def table(timings: Iterable[Timing], peak: Peak) -> str:
    """A row per call, then the whole step, then the peak."""
    timings = list(timings)
    whole = sum(t.seconds for t in timings)
    rows: list[tuple[str, ...]] = [
        ("", "layer", "operation", "ms", "share", "GFLOP/s", "of peak", "GB/s", "of peak")
    ]
    for i, t in enumerate(timings):
        rows.append((str(i), t.call.layer, t.call.op, *_figures(t, whole, peak)))
    total = Timing(
        Call("", {}), whole, sum(t.flops for t in timings), sum(t.bytes for t in timings)
    )
    rows.append(("", "whole step", "", *_figures(total, whole, peak)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i in (1, 2) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    peaks = f"peak, measured: {peak.flops / 1e9:.0f} GFLOP/s, {peak.bytes / 1e9:.1f} GB/s"
    return "\n".join([*lines, peaks])


def _figures(t: Timing, whole: float, peak: Peak) -> tuple[str, ...]:
    def rate(amount: float, most: float, digits: int) -> tuple[str, str]:
        if not amount or not t.seconds:
            return "-", "-"
        return f"{amount / t.seconds / 1e9:.{digits}f}", f"{amount / t.seconds / most:.0%}"

    return (
        f"{1e3 * t.seconds:.3f}",
        f"{t.seconds / whole:.1%}",
        *rate(t.flops, peak.flops, 0),
        *rate(t.bytes, peak.bytes, 1),
    )
