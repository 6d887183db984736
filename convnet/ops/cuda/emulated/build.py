"""Kernels compiled by g++ for the emulated device, kept in the user's cache.

A file is preprocessed first. What comes out is all that the result depends on, so its hash
names the library in the cache; and the few things that g++ does not know are rewritten in it.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path

from convnet.errors import DeviceError

HERE = Path(__file__).parent
COMPILER = "g++"


class Mode(StrEnum):
    """What is looked for while kernels run; see docs/kernels.md."""

    FAST = "fast"
    CHECK = "check"
    SANITIZE = "sanitize"
    COUNT = "count"


# -fno-strict-aliasing: nvcc, too, lets one load floats as float4 or as bits.
# -fno-gnu-unique: libraries do not share the static variables of templates.
# -ffp-contract=off: a*b+c is two roundings unless the kernel says fmaf, on every processor.
_COMMON = [
    "-std=c++17",
    "-fPIC",
    "-g1",
    "-march=native",
    "-fno-strict-aliasing",
    "-fno-gnu-unique",
    "-ffp-contract=off",
    f"-I{HERE}",
]
_KERNEL_OPTIONS = {
    Mode.FAST: ["-O2"],
    # Every load and store calls races.cpp; the loops must not become calls of memset.
    Mode.CHECK: ["-O1", "-fsanitize=thread", "-fno-tree-loop-distribute-patterns"],
    # Sizes of objects are what AddressSanitizer looks at.
    Mode.SANITIZE: [
        "-O1",
        "-fsanitize=address,undefined",
        "-fno-sanitize=object-size",
        "-fsanitize-recover=all",
    ],
    # Also calls counts.cpp where ways through the code part and meet, which stay in the order of
    # the source. A float4 is loaded and stored as one.
    Mode.COUNT: [
        "-O1",
        "-fsanitize=thread",
        "-fno-tree-loop-distribute-patterns",
        "-fno-tree-sra",
        "-fsanitize-coverage=trace-pc",
        "-fno-reorder-blocks",
    ],
}
_RUNTIME_SOURCES = {
    Mode.FAST: ["runtime.cpp"],
    Mode.CHECK: ["runtime.cpp", "races.cpp"],
    Mode.SANITIZE: ["runtime.cpp", "sanitize.cpp"],
    Mode.COUNT: ["runtime.cpp", "counts.cpp"],
}
_LIBRARIES = {Mode.FAST: [], Mode.CHECK: [], Mode.SANITIZE: ["-lasan"], Mode.COUNT: []}

_BOUNDS = r"(?:__launch_bounds__\s*\((?P<{}>(?:[^()]|\([^()]*\))*)\)\s*)?"
_KERNEL = re.compile(
    rf"__global__\s+{_BOUNDS.format('a')}void\s+{_BOUNDS.format('b')}(?P<name>\w+)\s*\("
)
_DYNAMIC_SHARED = re.compile(
    r"extern\s+__shared__\s+(?:__attribute__\(\(.*?\)\)\s*)?([^;\[\]]*?)(\w+)\s*\[\s*\]\s*;"
)


def build(
    source: Path, definitions: Sequence[str], arch: int, mode: Mode
) -> tuple[Path, list[str]]:
    """The library of a file's kernels, and their names.

    Args:
        source: a .cu file.
        definitions: -DNAME=value for each constant.
        arch: compute capability times 10, of which kernels see __CUDA_ARCH__.

    Raises:
        DeviceError: no compiler, or the file does not compile.
    """
    what = " ".join([source.name, *definitions])
    sees = [f"-D__CUDA_ARCH__={10 * arch}", f"-I{source.parent}", "-include", f"{HERE}/device.h"]
    text = _run(what, ["-E", "-x", "c++", *_COMMON, *sees, *definitions, str(source)])
    text, names = _rewrite(text)
    runtime = _runtime(mode)

    options = [*_COMMON, *_KERNEL_OPTIONS[mode], "-Wno-unknown-pragmas", "-Wno-attributes"]
    target = _cached(f"{source.stem}-{mode}", text, *options, str(runtime))
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            # The same name as the source, since the compiler gives it to some of the lines.
            text_file, unit, made = (Path(folder, n) for n in (source.name, "unit.o", "made.so"))
            text_file.write_text(text)
            _run(what, [*options, "-x", "c++", "-c", str(text_file), "-o", str(unit)])
            # Without -fsanitize=thread: its functions are ours, not those of the compiler. Without
            # the compiler's start files: they would have variables among the shared arrays.
            _run(
                what,
                [
                    "-shared",
                    "-nostartfiles",
                    str(unit),
                    str(runtime),
                    *_LIBRARIES[mode],
                    "-o",
                    str(made),
                ],
            )
            os.replace(made, target)
    return target, names


def _rewrite(text: str) -> tuple[str, list[str]]:
    """What g++ shall compile, and the names of the kernels in it."""
    kernels = [(m["name"], m["a"] or m["b"] or "0") for m in _KERNEL.finditer(text)]
    text = _DYNAMIC_SHARED.sub(r"\1 *\2 = (\1 *)emulated::dynamic_shared;", text)
    text = re.sub(r"\b__shared__\b", "static", text)
    text = re.sub(_BOUNDS.format("c").removesuffix("?"), "", text)
    text = re.sub(r"\b__global__\b", "", text)
    entries = "".join(f"EMULATED_KERNEL({name}, ({bound}))\n" for name, bound in kernels)
    return f'{text}\n#include "library.h"\n{entries}', [name for name, _ in kernels]


@cache
def _runtime(mode: Mode) -> Path:
    """The library that runs threads, the same for all kernels."""
    sources = [str(HERE / name) for name in _RUNTIME_SOURCES[mode]]
    texts = [path.read_text() for path in sorted(HERE.glob("*.[hc]*"))]
    options = [*_COMMON, "-O2", "-shared", f"-DEMULATED_{mode.upper()}", *_LIBRARIES[mode]]
    target = _cached(f"runtime-{mode}", *texts, *options)
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder, "runtime.so")
            _run("the runtime", [*sources, *options, "-o", str(made)])
            os.replace(made, target)
    return target


def _cached(name: str, *inputs: str) -> Path:
    """Where the library made from these inputs is kept, in the user's cache."""
    key = hashlib.sha256("\0".join([_compiler(), *inputs]).encode()).hexdigest()[:24]
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base, "convnet", "emulated")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}-{key}.so"


@cache
def _compiler() -> str:
    """The compiler's version and what it makes of -march=native on this processor."""
    return _run("the compiler", ["--version"]) + _run(
        "the compiler", ["-march=native", "-Q", "--help=target"]
    )


def _run(what: str, arguments: Sequence[str]) -> str:
    """What the compiler prints."""
    try:
        done = subprocess.run([COMPILER, *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        raise DeviceError(
            f"the emulated device compiles kernels by {COMPILER}, which is not installed here"
        ) from None
    if done.returncode:
        raise DeviceError(f"{what} does not compile:\n{done.stderr.strip()}")
    return done.stdout
