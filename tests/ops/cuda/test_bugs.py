"""Every mistake of kernels/bugs.cu is found, at its line, in the modes that look for it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from convnet.errors import DeviceError
from tests.ops.cuda.helpers import SOURCES, make_driver, on

ALL = ("fast", "check", "sanitize")
CHECK, SANITIZE, BOTH = ("check",), ("sanitize",), ("check", "sanitize")

# kernel: modes that find it, what they say, and the text of the line that they name
BUGS = {
    "missing_barrier": (CHECK, "reads what another thread writes", "out[i] = line[63 - i];"),
    "missing_second_barrier": (
        CHECK,
        "(writes what another thread reads|reads what another thread writes)",
        "(line[i] = x[i] + round|sum += line)",
    ),
    "warp_without_syncwarp": (CHECK, "reads what another thread writes", "out[i] = line[i ^ 1];"),
    "syncwarp_across_warps": (CHECK, "reads what another thread writes", "out[i] = line[63 - i];"),
    "syncwarp_of_half_a_warp": (CHECK, "reads what another thread", "out[i] = line[i ^ 16];"),
    "byte_race": (CHECK, "reads what another thread writes", "out[i] = bytes[63 - i];"),
    "two_writers": (CHECK, "writes what another thread writes", "out[threadIdx.x / 2]"),
    "blocks_write_the_same": (CHECK, "writes what another block writes", "out[threadIdx.x] = x"),
    "blocks_read_neighbours": (
        CHECK,
        "(reads what another|writes what another)",
        "(float left|out[i] = out[i] + left)",
    ),
    "count_without_atomic": (CHECK, "what another thread", "+= 1.0f"),
    "atomic_and_plain": (CHECK, "what another thread", "out[1] = out[0]"),
    "write_after_the_end": (BOTH, "writes outside of", "out[threadIdx.x + 1]"),
    "read_before_the_beginning": (BOTH, "reads outside of", "out[i] = x[i - 1];"),
    "dynamic_shared_too_small": (BOTH, "writes outside of", "line[i] = x[i];"),
    "overrun_into_next_shared_array": (SANITIZE, "reads outside of", "pointer[i % 33]"),
    "overrun_of_local_array": (SANITIZE, "outside of an array", "out[i] = mine[i % 5];"),
    "unwritten_shared": (CHECK, "reads what was not written before", "out[i] = line[63 - i];"),
    "barrier_in_branches": (ALL, "waits at another __syncthreads", "__syncthreads();"),
    "return_before_barrier": (ALL, "which another thread never reaches", "__syncthreads();"),
    "lane_that_does_not_come": (ALL, "a lane of its mask that does not come", "__shfl_xor_sync"),
    "mask_without_itself": (ALL, "leaves out its own lane", "__shfl_xor_sync"),
    "value_of_absent_lane": (ALL, "value of a lane that its mask leaves out", "__shfl_xor_sync"),
    "two_warp_functions": (ALL, "meets a lane of its mask in another", "__shfl_xor_sync"),
    "unaligned_vector": (BOTH, "not a multiple of", "*(float4 *)(out + 4 * i + 1)"),
    "copy_without_wait": (CHECK, "reads what was not written before", "out[i] = line[i];"),
    "copy_without_barrier": (CHECK, "what another thread", "out[i] = line[63 - i];"),
    "copy_with_early_barrier": (CHECK, "what another thread", "out[i] = line[63 - i];"),
    "copy_over_what_is_read": (CHECK, "what another thread", "(out[i] = |start_copy)"),
    "copy_with_wrong_wait_count": (CHECK, "reads what was not written", "out[i] = lines[0][i];"),
    "copy_without_commit": (CHECK, "reads what was not written before", "out[i] = line[i];"),
    "copy_from_outside": (BOTH, "reads outside of", "start_copy(&line[i], &x[i + 1]);"),
    "overflow": (SANITIZE, "signed integer overflow", "int large"),
}


def lines_with(kernel: str, text: str) -> set[int]:
    """Numbers of the kernel's lines with `text`, in which ( | ) stand for alternatives."""
    pattern = re.escape(text).replace(r"\|", "|")
    pattern = pattern[2:-2] if text[0] == "(" else pattern
    lines = (SOURCES / "bugs.cu").read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if f"KERNEL {kernel}(" in line)
    stop = next(
        (i for i, line in enumerate(lines) if i > first and line.startswith("KERNEL")), len(lines)
    )
    return {i + 1 for i in range(first, stop) if re.search(pattern, lines[i])}


def run(kernel: str, mode: str, schedule: str = "forward", file: str = "bugs") -> np.ndarray:
    driver = make_driver(mode, schedule)
    x, out = on(driver, np.arange(64) % 20), on(driver, np.zeros(64))
    grid, args, shared = (1,), [x, out], 0
    if kernel == "blocks_write_the_same":
        grid = (2,)
    if kernel == "blocks_read_neighbours":
        args = [out]
    if kernel == "dynamic_shared_too_small":
        shared = 63 * 4
    driver.kernel(file, kernel)(grid, (64,), args, shared)
    return driver.download(out)


@pytest.mark.parametrize(
    ("kernel", "mode", "schedule"),
    [
        (kernel, mode, schedule)
        for kernel, (modes, *_) in BUGS.items()
        for mode in modes
        for schedule in (("forward", "reverse", "5") if mode == "check" else ("forward",))
    ],
)
def test_found(kernel, mode, schedule):
    _, says, text = BUGS[kernel]
    with pytest.raises(DeviceError, match=says) as caught:
        run(kernel, mode, schedule)
    found = {int(number) for number in re.findall(r"bugs\.cu:(\d+)", str(caught.value))}
    assert found & lines_with(kernel, text), str(caught.value)


def test_a_finding_says_who_where_and_what():
    with pytest.raises(DeviceError) as caught:
        run("syncwarp_across_warps", "check")
    (line,) = lines_with("syncwarp_across_warps", "out[i] = line[63 - i];")
    assert str(caught.value).splitlines()[-1] == (
        f"kernel 'syncwarp_across_warps', block (0,0,0) thread (63,0,0) at bugs.cu:{line}: reads "
        "what another thread writes, no barrier between, in shared array line, byte 0; the other "
        f"is block (0,0,0) thread (0,0,0) at bugs.cu:{line - 2}"
    )


def test_findings_in_arrays_say_which():
    with pytest.raises(DeviceError) as caught:
        run("write_after_the_end", "check")
    assert "writes outside of argument 1 (an array of 64), number 64" in str(caught.value)


def test_findings_in_dynamic_shared_memory():
    with pytest.raises(DeviceError, match="writes outside of dynamic shared memory, byte 252"):
        run("dynamic_shared_too_small", "check")


def test_dynamic_shared_memory_that_was_forgotten():
    driver = make_driver("check")
    args = [on(driver, np.ones(128)), driver.empty(2), np.int32(64)]
    with pytest.raises(DeviceError, match="writes outside of dynamic shared memory, byte 0"):
        driver.kernel("good", "row_sums", TILE=16)((2,), (128,), args)


def test_static_shared_memory_has_a_limit():
    with pytest.raises(DeviceError, match=r"51200 bytes of static shared memory; more than 49152"):
        run("too_much_static_shared", "fast", file="too_large")


def test_what_was_not_written_is_nan():
    assert np.isnan(run("unwritten_shared", "fast")).any()
    assert np.isnan(make_driver().download(make_driver().empty(5))).all()


def test_copies_that_are_not_waited_for_leave_nan():
    assert np.isnan(run("copy_without_wait", "fast")).all()


def test_a_driver_goes_on_after_findings():
    """The next launch starts afresh."""
    for mode in ALL:
        with pytest.raises(DeviceError):
            run("lane_that_does_not_come", mode)
        driver = make_driver(mode)
        x, out = on(driver, np.arange(64)), driver.empty(64)
        driver.kernel("good", "reverse_warps", TILE=16)((1,), (64,), [x, out])
        expected = np.arange(64).reshape(2, 32)[:, ::-1].reshape(-1)
        np.testing.assert_array_equal(driver.download(out), expected)
