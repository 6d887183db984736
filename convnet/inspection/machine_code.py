"""What the machine code of kernels consists of: NVIDIA's disassembler, and counts of instructions.

Instructions by their names in the machine code (CUDA Binary Utilities, "Instruction Set
Reference"): LDG reads global memory and LDGSTS copies it into shared memory (cp.async), LDS reads
shared memory, LDL and STL read and write local memory, FFMA multiplies and adds, HMMA is a product
of matrices on the tensor cores. `.128` is the width in bits.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from convnet.errors import DeviceError

WHEELS = "nvidia/cu*/bin/nvdisasm"
INSTALL = "pip install 'cudaconvnet[inspect]'"

# A product is one of these; sm_100 and later also have two FFMA in one instruction, FFMA2.
PRODUCTS = ("FFMA", "FFMA2", "HMMA")

_SECTION = re.compile(r"^\.text\.(\w+):$")
_LABEL = re.compile(r"^(\.L_x_\d+):$")
# Address, perhaps a predicate, the name with what it is qualified by, and the rest.
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)(.*)")
_TARGET = re.compile(r"`\((\.L_x_\d+)\)")


@dataclass(frozen=True)
class Code:
    """The instructions of a kernel.

    Attributes:
        counts: by name; of those that have a width of 128 bits also by name and width.
        loop: the same of its main loop, the one with most products; empty if there is none.
    """

    counts: Counter[str]
    loop: Counter[str]

    @property
    def product_share(self) -> float:
        """Products among the instructions of the main loop."""
        names = sum(n for name, n in self.loop.items() if "." not in name)
        return sum(self.loop[name] for name in PRODUCTS) / names if names else 0.0


def disassemble(cubin: bytes) -> dict[str, Code]:
    """The kernels of a module.

    Raises:
        DeviceError: no disassembler, or one that does not know the architecture.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernels.cubin"
        path.write_bytes(cubin)
        done = subprocess.run(
            [find_disassembler(), "--print-code", "--no-dataflow", str(path)],
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise DeviceError(f"nvdisasm failed: {done.stderr.strip()}")
    return read_listing(done.stdout)


def find_disassembler() -> str:
    """The program: that of NVIDIA's wheel, else one that the system knows.

    Raises:
        DeviceError: none is installed.
    """
    wheels = [path for folder in sys.path for path in Path(folder).glob(WHEELS)]
    found = str(wheels[0]) if wheels else shutil.which("nvdisasm")
    if found is None:
        raise DeviceError(f"nvdisasm, NVIDIA's disassembler, is not installed; {INSTALL}")
    return found


def read_listing(text: str) -> dict[str, Code]:
    """The kernels of a listing by nvdisasm."""
    kernels: dict[str, list[str]] = {}
    for line in text.splitlines():
        if match := _SECTION.match(line):
            kernels[match[1]] = []
        elif kernels:
            next(reversed(kernels.values())).append(line)
    return {name: _code(lines) for name, lines in kernels.items()}


def _code(lines: Sequence[str]) -> Code:
    loops = [_counts(lines[first:end]) for first, end in _loops(lines)]
    # Of a loop and those around it, which have as many products, the inmost.
    main = max(loops, key=lambda c: (sum(c[p] for p in PRODUCTS), -c.total()), default=Counter())
    return Code(_counts(lines), main if any(main[p] for p in PRODUCTS) else Counter())


def _loops(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First line and last + 1 of what a jump back repeats."""
    labels: dict[str, int] = {}
    for i, line in enumerate(lines):
        if match := _LABEL.match(line):
            labels[match[1]] = i
        elif (match := _INSTRUCTION.match(line)) and match[1].split(".")[0] == "BRA":
            target = _TARGET.search(match[2])
            if target and target[1] in labels:
                yield labels[target[1]], i + 1


def _counts(lines: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for line in lines:
        if match := _INSTRUCTION.match(line):
            name, *qualities = match[1].split(".")
            counts[name] += 1
            if "128" in qualities:
                counts[f"{name}.128"] += 1
    return counts
