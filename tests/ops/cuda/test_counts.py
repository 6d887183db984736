"""Count mode counts what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.ops.cuda.emulated.counts import Count, add_up
from tests.ops.cuda.helpers import SOURCES, make_driver, on

SIDE = 128
WARPS = SIDE * SIDE // 32  # of a kernel with a thread for each number of a matrix
SECTORS = SIDE * SIDE // 8


def counted(kernel, grid, block, *args):
    """The counts of a launch, by memory and kind; those of several lines added up."""
    driver = make_driver("count")
    driver.counts.clear()
    arguments = [on(driver, a) if isinstance(a, np.ndarray) else np.int32(a) for a in args]
    driver.kernel("accesses", kernel)(grid, block, arguments)
    sums: dict[str, tuple[int, ...]] = {}
    for c in driver.counts:
        new = (c.requests, c.sectors, c.ideal, c.conflicts)
        old = sums.get(f"{c.memory} {c.kind}", (0, 0, 0, 0))
        sums[f"{c.memory} {c.kind}"] = tuple(a + b for a, b in zip(old, new, strict=True))
    return sums


def matrices(count):
    return [np.ones((SIDE, SIDE), np.float32)] * count


def test_stores_down_a_column_take_a_sector_each():
    assert counted("transpose_naive", (4, 4), (32, 32), *matrices(2), SIDE) == {
        "global load": (WARPS, SECTORS, SECTORS, 0),
        "global store": (WARPS, 32 * WARPS, SECTORS, 0),
    }


@pytest.mark.parametrize(("kernel", "conflicts"), [("conflicts", 31), ("padded", 0)])
def test_a_column_of_a_tile_is_in_one_bank_unless_lines_are_padded(kernel, conflicts):
    assert counted(f"transpose_{kernel}", (4, 4), (32, 32), *matrices(2), SIDE) == {
        "global load": (WARPS, SECTORS, SECTORS, 0),
        "shared store": (WARPS, 0, 0, 0),
        "shared load": (WARPS, 0, 0, conflicts * WARPS),
        "global store": (WARPS, SECTORS, SECTORS, 0),
    }


def test_a_matrix_product_reads_each_factor_once_per_tile():
    loads = 2 * WARPS * SIDE // 16
    assert counted("matmul16", (8, 8), (16, 16), *matrices(3), SIDE) == {
        "global load": (loads, 4 * loads, 4 * loads, 0),
        "shared store": (loads, 0, 0, 0),
        "shared load": (2 * WARPS * SIDE, 0, 0, 0),  # a number that lanes share is no conflict
        "global store": (WARPS, SECTORS, SECTORS, 0),
    }


def test_four_numbers_at_once_are_one_request():
    numbers = np.ones(2048, np.float32)
    assert counted("copy4", (4,), (128,), numbers, numbers) == {
        "global load": (16, 256, 256, 0),
        "global store": (16, 256, 256, 0),
    }


@pytest.mark.parametrize(
    ("first", "step", "sectors"), [(0, 1, 8), (1, 1, 10), (0, 2, 16), (0, 8, 64), (0, 0, 2)]
)
def test_sectors_of_numbers_apart(first, step, sectors):
    """64 threads; alignment counts, and a number that all lanes read is one sector."""
    got = counted("copy_every", (1,), (64,), np.ones(512, np.float32), np.ones(64), first, step)
    assert got["global load"] == (2, sectors, 8 if step else 2, 0)
    assert got["global store"] == (2, 8, 8, 0)


def test_lanes_that_loop_unequally_often_meet_again():
    got = counted("diverging", (1,), (32,), np.ones(32), np.ones(32))
    assert got == {"global load": (32, 32, 32, 0), "global store": (1, 4, 4, 0)}


def test_lanes_in_two_branches_meet_again_behind_them():
    """In four of eight rounds every second lane stores without a load, by another line."""
    got = counted("branching", (1,), (32,), np.ones(256), np.ones(32))
    half, whole = np.array([1, 4, 2, 0]), np.array([1, 4, 4, 0])
    assert got == {
        "global load": tuple(4 * half + 4 * whole),
        "global store": tuple(4 * half + 4 * whole + 4 * half),
    }


def test_a_copy_is_neither_load_nor_store():
    assert counted("copy_ahead", (1,), (64,), np.ones(64), np.ones(64)) == {
        "global copy": (2, 8, 8, 0),
        "shared copy": (2, 0, 0, 0),
        "shared load": (2, 0, 0, 0),
        "global store": (2, 8, 8, 0),
    }


def test_atomics():
    assert counted("count_up", (1,), (64,), np.ones(8)) == {"global atomic": (2, 2, 2, 0)}


def test_counts_have_a_line():
    counted("copy_ahead", (1,), (64,), np.ones(64), np.ones(64))
    lines = (SOURCES / "accesses.cu").read_text().splitlines()
    (load,) = (c for c in make_driver("count").counts if (c.memory, c.kind) == ("shared", "load"))
    file, number = load.line.split(":")
    assert (load.kernel, file, load.bytes) == ("copy_ahead", "accesses.cu", 4)
    assert "line[63 - threadIdx.x]" in lines[int(number) - 1]


def test_counts_add_up():
    one = Count("k", "a.cu:1", "global", "load", 4, 1, 2, 3, 4)
    other = Count("k", "a.cu:2", "global", "load", 4, 1, 2, 3, 4)
    assert add_up([one, other, one]) == [
        Count("k", "a.cu:1", "global", "load", 4, 2, 4, 6, 8),
        other,
    ]
