"""NVIDIA's run-time compiler, called directly: it needs neither a GPU nor a driver."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Sequence
from ctypes.util import find_library
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from convnet.errors import DeviceError

WHEELS = ("nvidia/cu*/lib/libnvrtc.so.*", "nvidia/cuda_nvrtc/lib/libnvrtc.so.*")
INSTALL = "pip install nvidia-cuda-nvrtc (CUDA 13) or nvidia-cuda-nvrtc-cu12"

# What ptxas says of each kernel.
_ENTRY = re.compile(
    r"Compiling entry function '(?P<name>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads\n"
    r"[^\n]*Used (?P<registers>\d+) registers(?:[^\n]*, (?P<shared>\d+) bytes smem)?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Resources:
    """What a thread or block of a compiled kernel takes.

    Attributes:
        registers: 32-bit registers of a thread.
        spills: bytes of registers that a thread stores to and loads from memory for want of room.
        stack: bytes of a thread's arrays and spilled registers in memory.
        shared: bytes of static shared memory of a block.
    """

    kernel: str
    registers: int
    spills: int
    stack: int
    shared: int


def compile_cubin(source: Path, options: Sequence[str], arch: int) -> tuple[bytes, list[Resources]]:
    """The machine code of a file's kernels and what they take.

    Args:
        options: see convnet.ops.cuda.driver.compiler_options.
        arch: compute capability times 10.

    Raises:
        DeviceError: no NVRTC, or the file does not compile; with the compiler's log.
    """
    nvrtc = _load()
    program = ctypes.c_void_p()
    text, name = source.read_bytes(), source.name.encode()
    _call("nvrtcCreateProgram", ctypes.byref(program), text, name, 0, None, None)
    try:
        given = [f"-arch=sm_{arch}", "--ptxas-options=-v", *options]
        encoded = (ctypes.c_char_p * len(given))(*(option.encode() for option in given))
        failed = nvrtc.nvrtcCompileProgram(program, len(given), encoded)
        log = _text_of(program, "ProgramLog").decode(errors="replace").rstrip("\0")
        if failed:
            raise DeviceError(
                f"{source.name} does not compile for sm_{arch} with {' '.join(options)}:\n"
                f"{_mistakes(log) or _message(failed)}"
            )
        return _text_of(program, "CUBIN"), _resources(log)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def version() -> str:
    """Of the compiler, such as 13.0.

    Raises:
        DeviceError: no NVRTC.
    """
    major, minor = ctypes.c_int(), ctypes.c_int()
    _call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def _mistakes(log: str) -> str:
    """The log without what ptxas says of the kernels that are right."""
    lines = log.splitlines()
    return "\n".join(line for line in lines if not line.startswith(("ptxas info", "ptxas   ")))


def _resources(log: str) -> list[Resources]:
    return [
        Resources(
            match["name"],
            int(match["registers"]),
            int(match["stores"]) + int(match["loads"]),
            int(match["stack"]),
            int(match["shared"] or 0),
        )
        for match in _ENTRY.finditer(log)
    ]


@cache
def _load() -> Any:
    """The library: that of NVIDIA's wheel, else one that the system knows."""
    wheels = [
        lib for folder in sys.path for pattern in WHEELS for lib in Path(folder).glob(pattern)
    ]
    name = str(wheels[0]) if wheels else find_library("nvrtc")
    if name is None:
        raise DeviceError(f"NVRTC, NVIDIA's compiler, is not installed; {INSTALL}")
    return ctypes.CDLL(name)


def _call(function: str, *arguments: Any) -> None:
    status = getattr(_load(), function)(*arguments)
    if status:
        raise DeviceError(f"{function}: {_message(status)}")


def _message(status: int) -> str:
    _load().nvrtcGetErrorString.restype = ctypes.c_char_p
    message: bytes = _load().nvrtcGetErrorString(status)
    return message.decode()


def _text_of(program: ctypes.c_void_p, what: str) -> bytes:
    """The program's log or machine code."""
    size = ctypes.c_size_t()
    _call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    _call(f"nvrtcGet{what}", program, buffer)
    return buffer.raw
