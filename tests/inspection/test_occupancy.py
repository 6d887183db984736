"""Occupancy, against figures worked out by hand from the published limits."""

from __future__ import annotations

import pytest

from convnet.inspection.occupancy import LIMITS, Occupancy, occupancy
from convnet.inspection.report import ARCHITECTURES
from convnet.ops.cuda.driver import OPT_IN_SHARED


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "blocks", "share", "limit"),
    [
        (80, 256, 32, 0, 8, 1.0, "warps"),  # 64 warps, 8 a block
        (80, 256, 33, 0, 6, 0.75, "registers"),  # 40 x 32 = 1280 of 16384: 12 x 4 warps
        (80, 256, 128, 33792, 2, 0.25, "registers"),  # 4 x 4 warps
        (90, 128, 64, 49152, 4, 0.25, "shared"),  # 228 KiB / (48 + 1)
        (75, 128, 64, 32768, 2, 0.25, "shared"),  # 64 KiB / 32, nothing for the system
        (86, 32, 16, 0, 16, 1 / 3, "blocks"),
        (120, 96, 40, 0, 16, 1.0, "warps"),
        (89, 1, 1, 0, 24, 0.5, "blocks"),
        (80, 1024, 72, 0, 0, 0.0, "registers"),  # 28 warps; the block has 32
        (80, 32, 256, 0, 0, 0.0, "registers"),
        (75, 32, 32, 70000, 0, 0.0, "shared"),
    ],
)
def test_occupancy(
    arch: int, threads: int, registers: int, shared: int, blocks: int, share: float, limit: str
) -> None:
    found = occupancy(arch, threads, registers, shared)
    assert found == Occupancy(blocks, pytest.approx(share), limit)


def test_every_architecture_has_limits() -> None:
    assert set(ARCHITECTURES) <= LIMITS.keys()
    # A block can have all of the shared memory but what the system takes.
    for arch, limits in LIMITS.items():
        assert OPT_IN_SHARED[arch] == limits.shared - (arch >= 80)
