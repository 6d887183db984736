"""The kernels that come with the program: which there are, and what the compiler makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convnet.errors import DeviceError
from convnet.ops.cuda.convolution_ops import TENSOR_ARCH
from convnet.ops.cuda.driver import LOWEST_ARCH, compiler_options, source_file
from convnet.ops.cuda.instances import INSTANCES, Constants
from convnet.ops.cuda.nvrtc import Resources, compile_cubin, version
from convnet.resources import find_folder

# Those of which the compilers of CUDA 12.8 and later make code.
ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)

# A kernel's name is the first after `void` that is not that of its launch bounds.
_KERNEL = re.compile(
    r"__global__\b[^;{]*?\bvoid\s+(?:__launch_bounds__\s*\([^;{]*?\)\s+)?(\w+)\s*\("
)


@dataclass(frozen=True)
class Instance:
    """A file of kernels with values for its constants."""

    file: str
    name: str
    constants: Constants

    @property
    def lowest_arch(self) -> int:
        """Compute capability times 10 that it needs."""
        return TENSOR_ARCH if self.constants.get("PRECISION") else LOWEST_ARCH

    def __str__(self) -> str:
        return f"{self.file} {self.name}".rstrip()


@dataclass(frozen=True)
class Compiled:
    """An instance compiled for an architecture."""

    instance: Instance
    arch: int
    cubin: bytes
    kernels: list[Resources]

    @property
    def file_name(self) -> str:
        """Such as pooling-3x3-sm_90.cubin."""
        return f"{str(self.instance).replace(' ', '-')}-sm_{self.arch}.cubin"


def instances(
    folder: Path | None = None, table: Mapping[str, Mapping[str, Constants]] = INSTANCES
) -> list[Instance]:
    """What there is to compile: the files of the folder [kernels], with constants from the table.

    Raises:
        DeviceError: the table names a file that is not there.
    """
    folder = folder or find_folder("kernels")
    for file in table:
        source_file(folder, file)
    files = sorted(path.stem for path in folder.glob("*.cu"))
    return [
        Instance(file, name, constants)
        for file in files
        for name, constants in table.get(file, {"": {}}).items()
    ]


def kernel_names(file: str, folder: Path | None = None) -> list[str]:
    """The kernels of a file, in its order."""
    return _KERNEL.findall(source_file(folder or find_folder("kernels"), file).read_text())


def compile_all(
    chosen: Sequence[Instance],
    architectures: Sequence[int] = ARCHITECTURES,
    folder: Path | None = None,
) -> Iterator[Compiled]:
    """Each instance for each architecture that it can be compiled for.

    Raises:
        DeviceError: no NVRTC; or one line, and the compiler's log, for each that does not
            compile, after all others.
    """
    version()  # once, not for every instance, that it is missing
    folder = folder or find_folder("kernels")
    mistakes = []
    for instance in chosen:
        options = compiler_options(folder, instance.constants)
        for arch in architectures:
            if arch < instance.lowest_arch:
                continue
            try:
                cubin, kernels = compile_cubin(source_file(folder, instance.file), options, arch)
            except DeviceError as error:
                mistakes.append(str(error))
                continue
            yield Compiled(instance, arch, cubin, kernels)
    if mistakes:
        raise DeviceError("\n".join(mistakes))


def resource_rows(compiled: Sequence[Compiled]) -> list[tuple[str, ...]]:
    """A table of what the kernels take; its first row is the header."""
    header: tuple[str, ...] = ("file", "kernel", "arch", "registers", "spills", "stack", "shared")
    rows = [header]
    for result in compiled:
        for k in result.kernels:
            numbers = (k.registers, k.spills, k.stack, k.shared)
            rows.append((str(result.instance), k.kernel, f"sm_{result.arch}", *map(str, numbers)))
    return rows
