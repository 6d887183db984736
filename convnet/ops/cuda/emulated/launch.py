"""Kernels of the emulated device: their parameters, their launches and what these find."""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from convnet.errors import DeviceError
from convnet.ops.cuda.driver import OPT_IN_SHARED, SHARED, check_launch
from convnet.ops.cuda.emulated.arrays import DeviceArray, address_of
from convnet.ops.cuda.emulated.counts import Count, read
from convnet.ops.cuda.emulated.streams import Start, Streams

HERE = Path(__file__).parent
MAX_FINDINGS = 16
_STATIC, _DYNAMIC = -2, -3  # shared memory, in place of the number of an array
_SYMBOL = re.compile(r"(?P<address>\w+) (?P<size>\w+) \w (?P<name>.+)")


class _Index(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint) for name in "xyz")


class _Range(ctypes.Structure):
    _fields_ = (("begin", ctypes.c_void_p), ("end", ctypes.c_void_p))


class _Parameter(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_char), ("element", ctypes.c_char), ("alignment", ctypes.c_int))


class _Finding(ctypes.Structure):
    _fields_ = (
        ("what", ctypes.c_char_p),
        ("block", ctypes.c_uint),
        ("thread", ctypes.c_uint),
        ("other_block", ctypes.c_uint),
        ("other_thread", ctypes.c_uint),
        ("code", ctypes.c_ulong),
        ("other_code", ctypes.c_ulong),
        ("array", ctypes.c_int),
        ("offset", ctypes.c_long),
    )


class _Launch(ctypes.Structure):  # the same as in runtime.h
    _fields_ = (
        ("call", ctypes.c_void_p),
        ("arguments", ctypes.c_void_p),
        ("parameters", ctypes.c_int),
        ("grid", _Index),
        ("block", _Index),
        ("shared", ctypes.c_long),
        ("schedule", ctypes.c_int),
        ("seed", ctypes.c_uint),
        ("arrays", ctypes.c_int),
        ("views", ctypes.POINTER(_Range)),
        ("memory", ctypes.POINTER(_Range)),
        ("statics", _Range),
        ("image", _Range),
        ("findings", ctypes.c_int),
        ("finding", _Finding * MAX_FINDINGS),
    )


@dataclass(frozen=True)
class Schedule:
    """The order in which blocks, and the threads of a block between waits, take their turns."""

    kind: int
    seed: int = 0

    @staticmethod
    def parse(text: str) -> Schedule:
        """Of "forward", "reverse", or a number: the seed of a random order.

        Raises:
            DeviceError: another text.
        """
        if text in ("forward", "reverse"):
            return Schedule(("forward", "reverse").index(text))
        if not text.isdecimal():
            raise DeviceError(f"the schedule must be forward, reverse or a number; found '{text}'")
        return Schedule(2, int(text) % 2**32)


class EmulatedKernel:
    """One kernel of a library made by `build`."""

    def __init__(
        self,
        library: Path,
        name: str,
        schedule: Schedule,
        arch: int,
        streams: Streams,
        counts: list[Count] | None = None,
    ) -> None:
        """
        Args:
            counts: takes what launches count, if the library is one of count mode.
        """
        self._library = library
        self._streams = streams
        self._name = name
        self._schedule = schedule
        self._arch = arch
        self._counts = counts
        # PyDLL: no other thread of Python may start a kernel meanwhile, the runtime has one state.
        self._loaded = loaded = ctypes.PyDLL(str(library))
        self._run = loaded.emulated_run
        self._statics, self._image = _Range(), _Range()
        loaded.emulated_ranges(ctypes.byref(self._statics), ctypes.byref(self._image))
        self._call = ctypes.cast(getattr(loaded, f"emulated_call_{name}"), ctypes.c_void_p)
        list_parameters = getattr(loaded, f"emulated_parameters_{name}")
        list_parameters.restype = ctypes.POINTER(_Parameter)
        self._parameters: list[tuple[str, str, int]] = []
        for parameter in list_parameters():
            if not parameter.alignment:
                break
            kind, element = parameter.kind.decode(), parameter.element.decode()
            self._parameters.append((kind, element, parameter.alignment))
        self._bound: int = getattr(loaded, f"emulated_bound_{name}")()

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int = 0
    ) -> None:
        """See convnet.ops.cuda.driver.Kernel; and whatever the checks find is a DeviceError."""
        self._check_sizes(grid, block, shared)
        cells, arrays = self._convert(args)
        launch = _Launch(
            call=self._call,
            parameters=len(cells),
            grid=_Index(*grid, *(1,) * (3 - len(grid))),
            block=_Index(*block, *(1,) * (3 - len(block))),
            shared=shared,
            schedule=self._schedule.kind,
            seed=self._schedule.seed,
            arrays=len(arrays),
            views=_ranges([array.data for array in arrays]),
            memory=_ranges([array.memory for array in arrays]),
            statics=self._statics,
            image=self._image,
        )
        places = [
            (i, arg.size, arg.dtype.itemsize)
            for i, arg in enumerate(args)
            if isinstance(arg, DeviceArray)
        ]

        def run() -> None:
            launch.arguments = address_of(cells)  # which lives as long as this function
            launch.findings = 0
            self._run(ctypes.byref(launch))
            if launch.findings:
                found = launch.finding[: launch.findings]
                raise DeviceError("\n".join(self._describe(f, launch, places) for f in found))
            if self._counts is not None:
                self._counts += read(self._loaded, self._name, partial(_line, self._library))

        self._streams.start(Start(self._name, run, arrays))

    def _check_sizes(self, grid: tuple[int, ...], block: tuple[int, ...], shared: int) -> None:
        if self._static_shared > SHARED:
            raise DeviceError(
                f"kernel '{self._name}' declares {self._static_shared} bytes of static shared "
                f"memory; more than {SHARED} must be dynamic"
            )
        most = OPT_IN_SHARED[self._arch] * 1024
        check_launch(self._name, grid, block, self._static_shared + shared, most)
        if self._bound and prod(block) > self._bound:
            raise DeviceError(
                f"kernel '{self._name}' promises blocks of at most {self._bound} threads "
                f"(__launch_bounds__); found {prod(block)}"
            )

    def _convert(self, args: Sequence[Any]) -> tuple[np.ndarray, list[DeviceArray]]:
        """The arguments as C values, 8 bytes for each, and those of them that are arrays."""
        if len(args) != len(self._parameters):
            raise DeviceError(
                f"kernel '{self._name}' takes {len(self._parameters)} arguments; found {len(args)}"
            )
        cells = np.zeros(len(args), np.uint64)
        arrays = []
        for i, (arg, parameter) in enumerate(zip(args, self._parameters, strict=True)):
            kind, element, alignment = parameter
            expected = f"numpy.{np.dtype(element).name}"
            if kind == "*":
                expected = f"a device array of {expected}"
            if kind == "*" and isinstance(arg, DeviceArray) and arg.dtype == np.dtype(element):
                address = address_of(arg.data)
                if address % alignment:
                    raise DeviceError(
                        f"kernel '{self._name}', argument {i}: its address must be a multiple of "
                        f"{alignment} for loads of that width; found {address % alignment} over"
                    )
                arrays.append(arg)
                cells[i] = address
            elif kind != "*" and isinstance(arg, np.generic) and arg.dtype == np.dtype(kind):
                cells[i : i + 1].view(kind)[0] = arg
            else:
                raise DeviceError(
                    f"kernel '{self._name}', argument {i}: expected {expected}; "
                    f"found {_kind_of(arg)}"
                )
        return cells, arrays

    @cached_property
    def _shared_arrays(self) -> list[tuple[str, int, int]]:
        """Static shared arrays of the library: function::name, offset and size in bytes."""
        first, stop = (end - self._image.begin for end in (self._statics.begin, self._statics.end))
        matches = [_SYMBOL.fullmatch(line) for line in _tool("nm", "-CS", str(self._library))]
        return [
            (m["name"], address - first, int(m["size"], 16))
            for m in matches
            if m and first <= (address := int(m["address"], 16)) < stop
        ]

    @cached_property
    def _static_shared(self) -> int:
        """Bytes of the shared arrays that the kernel declares; not those of functions it calls."""
        own = f"{self._name}::"
        return sum(size for name, _, size in self._shared_arrays if name.startswith(own))

    def _shared_byte(self, offset: int) -> str:
        for name, start, size in self._shared_arrays:
            if start <= offset < start + size:
                return f"shared array {name.rpartition('::')[2]}, byte {offset - start}"
        return "shared memory beyond all arrays"

    def _describe(
        self, finding: _Finding, launch: _Launch, arrays: Sequence[tuple[int, int, int]]
    ) -> str:
        """A finding as one line.

        Args:
            arrays: which of the arguments they are, their sizes, and bytes of a number.
        """
        place = self._place(finding.block, finding.thread, finding.code, launch)
        text = f"kernel '{self._name}', {place}: {finding.what.decode()}"
        if finding.array == _DYNAMIC:
            text += f" dynamic shared memory, byte {finding.offset}"
        elif finding.array == _STATIC:
            text += f" {self._shared_byte(finding.offset)}"
        elif finding.array >= 0:
            position, size, width = arrays[finding.array]
            number = finding.offset / width
            text += f" argument {position} (an array of {size}), number {number:g}"
        if (finding.other_block, finding.other_thread) != (finding.block, finding.thread):
            other = self._place(
                finding.other_block, finding.other_thread, finding.other_code, launch
            )
            text += f"; the other is {other}"
        return text

    def _place(self, block: int, thread: int, code: int, launch: _Launch) -> str:
        block_at, thread_at = _position(block, launch.grid), _position(thread, launch.block)
        line = f" at {_line(self._library, code - self._image.begin)}" if code else ""
        return f"block {block_at} thread {thread_at}{line}"


def _kind_of(argument: Any) -> str:
    if isinstance(argument, DeviceArray):
        return f"a device array of numpy.{argument.dtype.name}"
    return f"{type(argument).__module__}.{type(argument).__name__}"


@cache
def _line(library: Path, offset: int) -> str:
    """The line of a kernel that an instruction comes from; for inlined functions the calls too."""
    # The address is that after a call.
    found = _tool("addr2line", "-i", "-e", str(library), hex(offset - 1))
    places = [line.split(" ")[0].rpartition(":") for line in found]
    names = [f"{Path(path).name}:{line}" for path, _, line in places if Path(path).parent != HERE]
    return " from ".join(names) or "an unknown line"


def _position(number: int, sizes: _Index) -> str:
    x, y, z = number % sizes.x, number // sizes.x % sizes.y, number // (sizes.x * sizes.y)
    return f"({x},{y},{z})"


def _ranges(arrays: Sequence[np.ndarray]) -> Any:
    starts = [address_of(array) for array in arrays]
    ends = [start + array.nbytes for start, array in zip(starts, arrays, strict=True)]
    return (_Range * len(arrays))(*map(_Range, starts, ends))


def _tool(*command: str) -> list[str]:
    """Lines that one of the compiler's tools prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
