"""The tensor-core instructions, alone: where a lane's numbers lie, and how they are rounded."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from convnet.errors import DeviceError
from convnet.ops.cuda.emulated import EmulatedDriver
from convnet.ops.cuda.emulated.arrays import DeviceArray
from convnet.precision import Precision
from convnet.resources import find_folder
from tests.ops.cuda.helpers import SOURCES, make_driver, on
from tests.ops.rounding import rounded


@cache
def fragments(arch: int = 80) -> EmulatedDriver:
    make_driver()  # or skips
    return EmulatedDriver("check", "forward", arch, SOURCES / "mma")


Places = np.ndarray  # (32 lanes, elements, [row, column])

FORMATS = (Precision.TF32, Precision.BF16)
DEPTH = {Precision.TF32: 8, Precision.BF16: 16}


def table(elements: int, row: str, column: str) -> Places:
    """Places by formulas in g (groupID), t (threadID_in_group) and i (the element)."""
    return np.array(
        [
            [[eval(f, {"g": lane >> 2, "t": lane % 4, "i": i}) for f in (row, column)]
             for i in range(elements)]
            for lane in range(32)
        ]
    )  # fmt: skip


# PTX ISA 8.7, "Matrix Fragments for mma.m16n8k8" (.tf32) and "... mma.m16n8k16" (.bf16): the
# manual's formulas for a, b, and c or d.
MANUAL = {
    Precision.TF32: (
        table(4, "g if i in (0, 2) else g + 8", "t if i in (0, 1) else t + 4"),
        table(2, "t if i == 0 else t + 4", "g"),
        table(4, "g if i < 2 else g + 8", "t * 2 + (i & 1)"),
    ),
    Precision.BF16: (
        table(
            8,
            "g if 0 <= i < 2 or 4 <= i < 6 else g + 8",
            "t * 2 + (i & 1) if i < 4 else t * 2 + (i & 1) + 8",
        ),
        table(4, "t * 2 + (i & 1) if i < 2 else t * 2 + (i & 1) + 8", "g"),
        table(4, "g if i < 2 else g + 8", "t * 2 + (i & 1)"),
    ),
}


def launch(kernel: str, precision: Precision, *arrays: DeviceArray, threads: int = 32) -> None:
    fragments().kernel("fragments", kernel, PRECISION=precision.constant)(
        (1,), (threads,), list(arrays)
    )


@pytest.mark.parametrize("precision", FORMATS)
def test_the_manual_names_every_element_once(precision: Precision) -> None:
    """Of the table above, not of the kernels."""
    for places, size in zip(MANUAL[precision], (16, DEPTH[precision], 16), strict=True):
        flat = places.reshape(-1, 2)
        assert len(np.unique(flat, axis=0)) == len(flat) == size * flat[:, 1].max() + size


@pytest.mark.parametrize("precision", FORMATS)
def test_places_are_those_of_the_manual(precision: Precision) -> None:
    """For all lanes."""
    driver = fragments()
    got = [driver.empty(expected.size) for expected in MANUAL[precision]]
    launch("places", precision, *got)
    for array, expected in zip(got, MANUAL[precision], strict=True):
        np.testing.assert_array_equal(driver.download(array).reshape(expected.shape), expected)


@pytest.mark.parametrize("precision", FORMATS)
def test_one_product(precision: Precision) -> None:
    """Fragments that are put together by the manual make the product of the matrices."""
    driver = fragments()
    rng = np.random.default_rng(1)
    a = rounded(rng.standard_normal((16, DEPTH[precision])), precision)
    b = rounded(rng.standard_normal((DEPTH[precision], 8)), precision)
    held = rng.standard_normal((16, 8)).astype(np.float32)
    given = [
        matrix[places[..., 0], places[..., 1]]
        for matrix, places in zip((a, b, held), MANUAL[precision], strict=True)
    ]
    sums = on(driver, given[2])
    launch("one_product", precision, *(on(driver, f) for f in given[:2]), sums)
    places = MANUAL[precision][2]
    expected = (held + a @ b)[places[..., 0], places[..., 1]]
    np.testing.assert_allclose(driver.download(sums), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", FORMATS)
def test_rounding(precision: Precision) -> None:
    """Ordinary numbers, ties, the largest and smallest; infinity and NaN stay."""
    driver = fragments()
    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2**32, 200, dtype=np.uint32)
    ties = bits & np.uint32(0xFFFFE000) | np.uint32(0x1000)
    bf16_ties = bits & np.uint32(0xFFFF0000) | np.uint32(0x8000)
    x = np.concatenate([bits, ties, bf16_ties]).view(np.float32)
    x = x[np.isfinite(x) & (np.abs(x) > 1e-37) & (np.abs(x) < 1e38)][:500]
    x = np.concatenate([x, np.array([0, -0.0, np.inf, -np.inf, np.nan], np.float32)])
    halves = driver.empty(2 * x.size)
    launch("words", precision, on(driver, x), halves, threads=x.size)
    upper, lower = driver.download(halves).reshape(-1, 2).T.astype(np.uint32)
    if precision == Precision.BF16:
        np.testing.assert_array_equal(upper, lower)  # the number twice
        lower = np.zeros_like(lower)
    got = (upper << 16 | lower).view(np.float32)
    with np.errstate(invalid="ignore"):
        expected = np.where(np.isfinite(x), rounded(x, precision), x)
    np.testing.assert_array_equal(got, expected)
    assert (got != x).sum() > 100


@pytest.mark.parametrize(
    ("shape", "type_"), [("m16n8k8", "tf32"), ("m16n8k16", "bf16")], ids=FORMATS
)
def test_text_of_the_instruction(shape: str, type_: str) -> None:
    """Shape and types; four sums in and out, four words of a, two of b, in this order."""
    text = (Path(find_folder("kernels")) / "mma.cuh").read_text()
    (body,) = re.findall(rf'asm\("mma\.sync\.aligned\.{shape}\.([^;]*;)"\s*:([^;]*)\);', text)
    instruction = re.sub(r'"\s+"', "", body[0])  # adjacent literals are one
    assert instruction == (
        f"row.col.f32.{type_}.{type_}.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
    )
    names = re.findall(r'"?(\+?[rf])"?\((\w+\[\d\])\)', body[1])
    assert names == [
        *(("+f", f"sums[{i}]") for i in range(4)),
        *(("r", f"a[{i}]") for i in range(4)),
        *(("r", f"b[{i}]") for i in range(2)),
    ]


def test_text_of_the_roundings() -> None:
    """The first source of cvt.rn.bf16x2 is the upper half."""
    text = (Path(find_folder("kernels")) / "mma.cuh").read_text()
    assert '"cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(numbers[0])' in text
    assert '"cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(numbers[1]), "f"(numbers[0])' in text


def test_a_device_without_tensor_cores() -> None:
    """The kernels refuse it as well as CudaOps does."""
    driver = fragments(75)
    with pytest.raises(DeviceError, match="tf32 and bf16 need compute capability"):
        driver.kernel("fragments", "words", PRECISION=1)
