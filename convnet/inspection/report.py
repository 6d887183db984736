"""Kernels compiled for many architectures: what they take, what they consist of, what is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from convnet.errors import DeviceError
from convnet.inspection.instances import Instance
from convnet.inspection.machine_code import Code, disassemble, find_disassembler
from convnet.inspection.occupancy import Occupancy, occupancy
from convnet.ops.cuda.driver import compiler_options, source_file
from convnet.ops.cuda.nvrtc import Resources, compile_cubin, version
from convnet.precision import Precision
from convnet.resources import find_folder

# Those of which the compilers of CUDA 12.8 and later make code.
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
# The kernels that multiply matrices, by file.
PRODUCTS = {
    "convolution": ("fprop", "dgrad", "wgrad"),
    "winograd": ("fprop_points", "dgrad_points", "wgrad_points"),
}
# What the columns of instructions count.
INSTRUCTIONS = ("LDG.128", "LDGSTS.128", "LDS.128", "FFMA", "HMMA", "LDL", "STL")


@dataclass(frozen=True)
class Compiled:
    """An instance compiled for an architecture.

    Attributes:
        kernels: those that are launched with these constants.
        code: of each kernel, if it was disassembled.
    """

    instance: Instance
    arch: int
    cubin: bytes
    kernels: list[Resources]
    code: dict[str, Code] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """Such as pooling-mnist-quick-pool1-sm_90.cubin."""
        return f"{str(self.instance).replace(' ', '-')}-sm_{self.arch}.cubin"

    def occupancy(self, kernel: Resources) -> Occupancy:
        threads = self.instance.block(kernel.kernel)
        return occupancy(self.arch, threads, kernel.registers, kernel.shared)


def compile_all(
    chosen: Sequence[Instance],
    architectures: Sequence[int] = ARCHITECTURES,
    folder: Path | None = None,
    *,
    with_code: bool = False,
) -> Iterator[Compiled]:
    """Each instance for each architecture that can run it, one for each core at a time.

    Args:
        with_code: disassemble it too.

    Raises:
        DeviceError: no NVRTC, or no disassembler; or one line, and the compiler's log, for each
            that does not compile, after all others.
    """
    version()  # once, not for every instance, that it is missing
    if with_code:
        find_disassembler()
    sources = folder or find_folder("kernels")

    def compiled(instance: Instance, arch: int) -> Compiled | DeviceError:
        options = compiler_options(sources, instance.constants)
        try:
            cubin, kernels = compile_cubin(source_file(sources, instance.file), options, arch)
            code = disassemble(cubin) if with_code else {}
        except DeviceError as error:
            return error
        launched = [k for k in kernels if instance.launches(k.kernel)]
        return Compiled(instance, arch, cubin, launched, code)

    mistakes = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(i, arch) for i in chosen for arch in architectures if arch >= i.least_arch]
        for result in pool.map(lambda job: compiled(*job), jobs):
            if isinstance(result, DeviceError):
                mistakes.append(str(result))
            else:
                yield result
    if mistakes:
        raise DeviceError("\n".join(mistakes))


# --- what is wrong --------------------------------------------------------------------------


def faults(compiled: Compiled) -> list[str]:
    """A line for each thing in the code of an instance that costs speed, or that cannot run.

    Local memory, which is as slow as global memory; a block that a multiprocessor cannot hold; and
    in convolutions narrow copies where the sizes allow wide ones.
    """
    found = []
    for k in compiled.kernels:
        code, wide = compiled.code[k.kernel].counts, _wide_copies(compiled, k.kernel)
        wrong = {
            f"{k.spills} bytes of registers spill": k.spills,
            f"{k.stack} bytes of stack": k.stack,
            "it reads or writes local memory": code["LDL"] + code["STL"],
            f"no multiprocessor holds a block of {compiled.instance.block(k.kernel)} threads with "
            f"{k.registers} registers and {k.shared} bytes": not compiled.occupancy(k).blocks,
            f"no {wide}": wide and not code[wide],
            "no HMMA": _should_use_tensor_cores(compiled, k.kernel) and not code["HMMA"],
        }
        where = f"{compiled.instance}: {k.kernel} for sm_{compiled.arch}"
        found += [f"{where}: {what}" for what, is_so in wrong.items() if is_so]
    return found


def _wide_copies(compiled: Compiled, kernel: str) -> str:
    """The instruction that copies 16 bytes from global memory, if the sizes allow it."""
    instance = compiled.instance
    if kernel not in PRODUCTS.get(instance.file, ()) or not instance.constants.get(
        "IMAGE_QUADS", 1
    ):
        return ""
    return "LDG.128" if compiled.arch < 80 else "LDGSTS.128"


def _should_use_tensor_cores(compiled: Compiled, kernel: str) -> bool:
    instance = compiled.instance
    return kernel in PRODUCTS.get(instance.file, ()) and instance.precision != Precision.FP32


# --- tables ---------------------------------------------------------------------------------


def kernel_rows(compiled: Sequence[Compiled]) -> list[tuple[str, ...]]:
    """A row for each kernel of each instance and architecture; the first row is the header.

    Registers of a thread, bytes that spill and of the stack; threads and bytes of shared memory of
    a block; blocks on a multiprocessor, its warps in use, and what limits them; instructions; and
    the products among those of the main loop.
    """
    rows: list[tuple[str, ...]] = [
        ("file", "kernel", "arch", "registers", "spills", "stack", "threads", "shared", "blocks",
         "warps", "limit", *INSTRUCTIONS, "products")
    ]  # fmt: skip
    for result in compiled:
        for k in result.kernels:
            code, held = result.code[k.kernel], result.occupancy(k)
            takes = (k.registers, k.spills, k.stack, result.instance.block(k.kernel), k.shared)
            rows.append(
                (
                    *(str(result.instance), k.kernel, f"sm_{result.arch}"),
                    *map(str, (*takes, held.blocks)),
                    *(f"{held.share:.0%}", held.limit),
                    *(str(code.counts[name] or "-") for name in INSTRUCTIONS),
                    f"{code.product_share:.0%}" if code.product_share else "-",
                )
            )
    return rows


def summary_rows(compiled: Sequence[Compiled]) -> list[tuple[str, ...]]:
    """A row for each kernel, and precision, with the worst of its instances; the first row is the
    header.

    For each architecture the most registers of a thread and the least occupancy; then, over all
    architectures, the bytes that spill or lie on the stack, the widest block's shared memory, and
    from where to where copies of 128 bits from global memory go, and the products' share of the
    main loop.
    """
    by_kernel: dict[tuple[str, str], dict[int, list[tuple[Compiled, Resources]]]] = {}
    for result in compiled:
        for k in result.kernels:
            name = f"{k.kernel} {result.instance.precision}".removesuffix(f" {Precision.FP32}")
            archs = by_kernel.setdefault((result.instance.file, name), {})
            archs.setdefault(result.arch, []).append((result, k))
    architectures = sorted({result.arch for result in compiled})
    rows: list[tuple[str, ...]] = [
        ("file", "kernel", "instances", *(f"sm_{a}" for a in architectures), "local", "shared",
         "copies", "products")
    ]  # fmt: skip
    for (file, name), archs in by_kernel.items():
        every = [pair for pairs in archs.values() for pair in pairs]
        codes = [result.code[k.kernel] for result, k in every]
        copies = [c.counts["LDG.128"] + c.counts["LDGSTS.128"] for c in codes]
        shares = [c.product_share for c in codes if c.product_share]  # one step has no loop
        cells = ["-"] * len(architectures)
        for arch, pairs in archs.items():
            registers = max(k.registers for _, k in pairs)
            least = min(result.occupancy(k).share for result, k in pairs)
            cells[architectures.index(arch)] = f"{registers}, {least:.0%}"
        local = max(k.spills + k.stack for _, k in every)
        rows.append(
            (
                *(file, name, str(len(every) // len(archs)), *cells),
                *map(str, (local, max(k.shared for _, k in every))),
                f"{min(copies)} to {max(copies)}" if any(copies) else "-",
                f"{min(shares):.0%} to {max(shares):.0%}" if shares else "-",
            )
        )
    return rows
