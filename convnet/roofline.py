"""How long each call of a program takes on a GPU at least, by arithmetic.

A call needs its operations and its bytes; it can be no faster than the GPU's peak of either
(Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures", 2009). Counts are those of convnet.profile. Beside them stands what the kernels do
beyond what the formulas ask for: tiles that stick out, and numbers that tiles read again.

This is arithmetic on paper. No GPU has been asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from convnet.geometry import Window
from convnet.ops.cuda.tiles import DIRECTIONS, Cut, choose, products
from convnet.ops.cuda.winograd_ops import PointPlan, is_faster
from convnet.plan import Call
from convnet.precision import Precision
from convnet.profile import count_bytes, count_flops

FP32, TF32, BF16 = Precision


@dataclass(frozen=True)
class Gpu:
    """Published peaks of a GPU.

    Attributes:
        full_name: what its driver calls it.
        multiprocessors: how many it has.
        flops: multiplications and additions per second, by the precision of products; those of
            tf32 and bf16 are of the tensor cores, with dense matrices.
        bytes: per second, of its memory.
    """

    name: str
    full_name: str
    multiprocessors: int
    flops: dict[Precision, float]
    bytes: float


# NVIDIA A100 Tensor Core GPU Datasheet (SXM, 40 GB): 19.5, 156 and 312 TFLOPS, 1555 GB/s.
# NVIDIA H100 and H200 Tensor Core GPU Datasheets (SXM5): 67 TFLOPS, 989 and 1979 TFLOPS with sparse
# matrices, of which dense ones reach half; 3.35 and 4.8 TB/s. Multiprocessors: the whitepapers of
# both architectures.
_HOPPER = {FP32: 67e12, TF32: 494.5e12, BF16: 989.5e12}
GPUS = {
    "a100": Gpu(
        "A100", "NVIDIA A100-SXM4-40GB", 108, {FP32: 19.5e12, TF32: 156e12, BF16: 312e12}, 1.555e12
    ),
    "h100": Gpu("H100", "NVIDIA H100 80GB HBM3", 132, _HOPPER, 3.35e12),
    "h200": Gpu("H200", "NVIDIA H200", 132, _HOPPER, 4.8e12),
}


@dataclass(frozen=True)
class Floor:
    """The least time of a call.

    Attributes:
        flops, bytes: that it needs, see convnet.profile.Timing.
        flops_seconds, bytes_seconds: that these take at the GPU's peaks.
    """

    call: Call
    flops: int
    bytes: int
    flops_seconds: float
    bytes_seconds: float

    @property
    def seconds(self) -> float:
        return max(self.flops_seconds, self.bytes_seconds)

    @property
    def bound(self) -> str:
        """Which of the two takes that long: "flops" or "bytes"."""
        return "flops" if self.flops_seconds > self.bytes_seconds else "bytes"


def floor(call: Call, batch_size: int, gpu: Gpu, precision: Precision = FP32) -> Floor:
    """The least time of a call of a program for minibatches of `batch_size` images.

    Args:
        precision: of the products. All arrays are float32 in any case.
    """
    flops, size = count_flops(call, batch_size), count_bytes(call, batch_size)
    return Floor(call, flops, size, flops / gpu.flops[precision], size / gpu.bytes)


@dataclass(frozen=True)
class Tiling:
    """How the kernels compute the products of a call, and what they do beyond its formula.

    Attributes:
        winograd: whether by Winograd's method, else by the plain formula.
        useful: multiplications of the plain formula / those of all tiles. More than 1 where the
            kernels need fewer: by Winograd's method, or since they skip some outside of the image.
        copied: bytes that tiles copy into shared memory, at most; what several tiles copy counts
            for each, whether it comes from memory or a cache.
    """

    winograd: bool
    cut: Cut
    useful: float
    copied: int

    def __str__(self) -> str:
        (rows, columns), parts = self.cut
        letter = "W " if self.winograd else ""
        return f"{letter}{rows}x{columns}" + (f" /{parts}" if parts > 1 else "")


def tiling(
    call: Call, batch_size: int, multiprocessors: int, precision: Precision = FP32
) -> Tiling | None:
    """Of a convolution, an fc layer, or a gradient of theirs; else None."""
    kind, _, rest = call.op.partition("_")
    direction = next((d for d in DIRECTIONS if d == rest), None)
    if direction is None or kind not in ("conv", "local", "fc"):
        return None
    if kind == "fc":
        inputs, outputs = call.args["weights_grad" if rest == "wgrad" else "weights"].shape
        g = Window(inputs, 1, 1, outputs, 1)
    else:
        g = call.args["g"]
    N = call.part.cases(batch_size)
    points = PointPlan(g, direction, N, multiprocessors)
    winograd, times = kind == "conv" and precision == FP32 and is_faster(points), 1
    product = points.product if winograd else products(g, kind == "local", N)[direction]
    if winograd and direction != "wgrad":  # once for each time that the workspace is filled
        times = -(-points.columns // points.line)
    cut = choose(product, multiprocessors)
    multiplications = times * product.multiplications(cut.tile)
    useful = count_flops(call, batch_size) / 2 / multiplications
    return Tiling(winograd, cut, useful, times * product.bytes_copied(cut.tile))


def table(
    calls: Iterable[Call], batch_size: int, gpu: Gpu, precision: Precision = FP32
) -> list[tuple[str, ...]]:
    """A row per call and one for the whole step, below a header."""
    header = ("", "layer", "operation", "bound", "us", "GFLOP", "MB", "tile", "useful", "copied MB")
    rows: list[tuple[str, ...]] = [header]
    floors = [floor(call, batch_size, gpu, precision) for call in calls]
    for i, f in enumerate(floors):
        tiles = _tile_cells(tiling(f.call, batch_size, gpu.multiprocessors, precision))
        rows.append((str(i), f.call.layer, f.call.op, f.bound, *_figures([f]), *tiles))
    rows.append(("", "whole step", "", "", *_figures(floors), "", "", ""))
    return rows


def _figures(floors: Sequence[Floor]) -> tuple[str, ...]:
    flops = sum(f.flops for f in floors)
    return (
        f"{1e6 * sum(f.seconds for f in floors):.1f}",
        f"{flops / 1e9:.1f}" if flops else "-",
        f"{sum(f.bytes for f in floors) / 1e6:.1f}",
    )


def _tile_cells(tiles: Tiling | None) -> tuple[str, ...]:
    if tiles is None:
        return "-", "-", "-"
    return str(tiles), f"{tiles.useful:.0%}", f"{tiles.copied / 1e6:.0f}"
