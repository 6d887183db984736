"""What count mode counts: the memory accesses of each line of a kernel, as a GPU would see them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

KINDS = ("load", "store", "copy", "atomic")
SHARED, GLOBAL = "shared", "global"


class RawCount(ctypes.Structure):  # the same as Count in counts.cpp
    """The counts of one instruction."""

    _fields_ = (
        ("code", ctypes.c_ulong),
        ("kind", ctypes.c_int),
        ("shared", ctypes.c_int),
        ("bytes", ctypes.c_int),
        ("requests", ctypes.c_long),
        ("sectors", ctypes.c_long),
        ("ideal", ctypes.c_long),
        ("conflicts", ctypes.c_long),
    )


@dataclass(frozen=True)
class Count:
    """The accesses by one line of a kernel, in one or several launches.

    Attributes:
        kernel: its name.
        line: where it stands, such as "convolution.cu:31"; of inlined functions the calls too.
        memory: "global" or "shared".
        kind: "load", "store", "atomic", or "copy": what cp.async reads (global) and writes
            (shared).
        bytes: that a thread accesses at once.
        requests: instructions, one for all lanes of a warp.
        sectors: pieces of 32 bytes that requests touch in global memory, added up.
        ideal: sectors that would do for as many bytes.
        conflicts: times that a request to shared memory must be served again, since its lanes
            want different words of one bank; 0 for accesses wider than 4 bytes, which are not
            counted.
    """

    kernel: str
    line: str
    memory: str
    kind: str
    bytes: int
    requests: int
    sectors: int = 0
    ideal: int = 0
    conflicts: int = 0


def read(library: ctypes.PyDLL, kernel: str, line: Callable[[int], str]) -> list[Count]:
    """The counts of the last launch.

    Args:
        line: names the place of an instruction in the library.
    """
    first = ctypes.POINTER(RawCount)()
    number = library.emulated_counts(ctypes.byref(first))
    return add_up(_count(first[i], kernel, line) for i in range(number))


def _count(raw: Any, kernel: str, line: Callable[[int], str]) -> Count:
    return Count(
        kernel,
        line(raw.code),
        SHARED if raw.shared else GLOBAL,
        KINDS[raw.kind],
        raw.bytes,
        raw.requests,
        raw.sectors,
        raw.ideal,
        raw.conflicts,
    )


def add_up(counts: Iterable[Count]) -> list[Count]:
    """One count for each kernel, line, memory, kind and width, in the order of the first."""
    sums: dict[tuple[object, ...], Count] = {}
    for count in counts:
        key = (count.kernel, count.line, count.memory, count.kind, count.bytes)
        held = sums.get(key)
        sums[key] = (
            replace(
                count,
                requests=held.requests + count.requests,
                sectors=held.sectors + count.sectors,
                ideal=held.ideal + count.ideal,
                conflicts=held.conflicts + count.conflicts,
            )
            if held
            else count
        )
    return list(sums.values())


def table(counts: Iterable[Count]) -> list[tuple[str, ...]]:
    """A row per kernel, memory, kind and width, below a header."""
    header = ("kernel", "memory", "kind", "bytes", "requests", "sectors", "of ideal", "conflicts")
    rows: list[tuple[str, ...]] = [header]
    for c in add_up(replace(count, line="") for count in counts):
        ratio = f"{c.sectors / c.ideal:.2f}" if c.ideal else "-"
        conflicts = str(c.conflicts) if c.memory == SHARED and c.bytes <= 4 else "-"
        sectors = str(c.sectors) if c.ideal else "-"
        rows.append(
            (c.kernel, c.memory, c.kind, str(c.bytes), str(c.requests), sectors, ratio, conflicts)
        )
    return rows
