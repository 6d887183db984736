"""How many blocks of a kernel a multiprocessor holds at once, and what limits them.

Sources: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"; the units in
which registers and shared memory are given out are those of NVIDIA's occupancy calculator (Nsight
Compute), which counts one KiB of shared memory of each block for the system from 8.0.
"""

from __future__ import annotations

from typing import NamedTuple

WARP = 32
REGISTERS = 64 * 1024  # of a multiprocessor
REGISTER_UNIT = 256  # a warp is given a multiple of it
SCHEDULERS = 4  # each has a quarter of the registers
MAX_REGISTERS = 255  # of a thread


class Limits(NamedTuple):
    """Of a multiprocessor: resident warps and blocks, and KiB of shared memory."""

    warps: int
    blocks: int
    shared: int


LIMITS = {
    75: Limits(32, 16, 64),
    80: Limits(64, 32, 164),
    86: Limits(48, 16, 100),
    89: Limits(48, 24, 100),
    90: Limits(64, 32, 228),
    100: Limits(64, 32, 228),
    120: Limits(48, 24, 100),
}


class Occupancy(NamedTuple):
    """Attributes:
    blocks: that a multiprocessor holds.
    share: of the warps that it could hold.
    limit: what keeps it from holding more: "registers", "shared", "warps" or "blocks".
    """

    blocks: int
    share: float
    limit: str


def occupancy(arch: int, threads: int, registers: int, shared: int) -> Occupancy:
    """Of a kernel; no blocks at all means that it cannot be launched.

    Args:
        arch: compute capability times 10, a key of LIMITS.
        threads: of a block.
        registers: of a thread.
        shared: bytes of a block, static and dynamic.
    """
    limits = LIMITS[arch]
    warps = -(-threads // WARP)
    of_warp = _rounded(max(registers, 1) * WARP, REGISTER_UNIT)
    fitting_warps = REGISTERS // SCHEDULERS // of_warp * SCHEDULERS
    if registers > MAX_REGISTERS:
        fitting_warps = 0
    unit, system = (256, 0) if arch < 80 else (128, 1024)
    of_block = _rounded(shared + system, unit)
    most = {
        "warps": limits.warps // warps,
        "blocks": limits.blocks,
        "registers": fitting_warps // warps,
        "shared": limits.shared * 1024 // of_block if of_block else limits.blocks,
    }
    limit = min(most, key=lambda what: most[what])
    return Occupancy(most[limit], most[limit] * warps / limits.warps, limit)


def _rounded(size: int, unit: int) -> int:
    return -(-size // unit) * unit
