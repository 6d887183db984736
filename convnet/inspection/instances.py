"""Which kernels there are to compile: each file, with the constants that nets ask for.

Nothing here is a list kept by hand: a step of a net is run on a device that only takes notes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from convnet.api import infer_shapes, read_graph
from convnet.graph import Graph
from convnet.layer_types.base import TRAIN, Mode
from convnet.net import Net
from convnet.ops.cuda.convolution_ops import TENSOR_ARCH
from convnet.ops.cuda.device_ops import DryDriver
from convnet.ops.cuda.driver import Kernel, source_file
from convnet.ops.cuda.launch import BLOCK
from convnet.ops.cuda.ops import CudaOps
from convnet.plan import Clock
from convnet.precision import Precision
from convnet.resources import find_folder
from convnet.runner import Runner

MINI = 128  # images per minibatch, as where --mini is not given
# A minibatch that is no multiple of four, the last one of a batch for instance.
ODD_NET, ODD_MINI = "mnist-quick", 127

# A kernel's name is the first after `void` that is not that of its launch bounds.
_KERNEL = re.compile(
    r"__global__\b[^;{]*?\bvoid\s+(?:__launch_bounds__\s*\([^;{]*?\)\s+)?(\w+)\s*\("
)


@dataclass(eq=False)
class Instance:
    """A file of kernels with values for its constants.

    Attributes:
        name: the net, layer and precision (but fp32) that asks for them first; empty without
            constants.
        threads: of a block, for each kernel that a net launches; the most if they differ.
    """

    file: str
    name: str = ""
    constants: Mapping[str, Any] = field(default_factory=dict)
    threads: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.file} {self.name}".rstrip()

    @property
    def precision(self) -> Precision:
        """Of the products in it."""
        return next(p for p in Precision if p.constant == self.constants.get("PRECISION", 0))

    @property
    def least_arch(self) -> int:
        """Of devices that can run it."""
        return 0 if self.precision == Precision.FP32 else TENSOR_ARCH

    def launches(self, kernel: str) -> bool:
        """Whether a net launches it with these constants; without any, one may always come."""
        return not self.constants or kernel in self.threads

    def block(self, kernel: str) -> int:
        """Threads of a block; of a kernel that no net launches, those of the usual launches."""
        return self.threads.get(kernel, BLOCK)


class NotingDriver(DryDriver):
    """Notes which kernels it is asked for."""

    name = "noting"

    def __init__(self, arch: int = TENSOR_ARCH) -> None:
        super().__init__(arch, multiprocessors=108)  # those of an A100
        self.user = ""  # named in what is noted
        self.noted: dict[tuple[object, ...], Instance] = {}

    def kernel(self, file: str, name: str, **constants: Any) -> Kernel:
        key = (file, *sorted(constants.items()))
        user = self.user if constants else ""
        instance = self.noted.setdefault(key, Instance(file, user, constants))

        def launch(
            grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int = 0
        ) -> None:
            instance.threads[name] = max(prod(block), instance.threads.get(name, 0))

        return launch


def note_step(
    driver: NotingDriver, graph: Graph, name: str = "", mini: int = MINI, mode: Mode = TRAIN
) -> None:
    """Notes the kernels of a step of a net, in each precision.

    Args:
        name: of the net, for the names of instances.
        mini: images per minibatch.
        mode: TRAIN needs the parameter file.
    """

    def no_values(_: object, parameter: Any) -> np.ndarray:
        return np.broadcast_to(np.float32(0), parameter.shape)

    net = Net(graph, CudaOps(driver), batch_size=mini, initial=no_values)
    program = net.recording(mode).program
    for precision in Precision:
        runner = Runner(CudaOps(driver, precision))
        suffix = "" if precision == Precision.FP32 else f" {precision}"
        for call in program.calls:
            driver.user = f"{name} {call.layer}{suffix}".lstrip()
            runner.run(replace(program, calls=[call]), mini, Clock())


def note_shipped_nets(driver: NotingDriver, wanted: Callable[[str], bool]) -> None:
    """Notes the kernels of the nets in layers/ with wanted names."""
    for layers in sorted(find_folder("layers").glob("layers-*.cfg")):
        parameters = layers.with_name(f"layer-params{layers.name.removeprefix('layers')}")
        name = layers.stem.removeprefix("layers-")
        if not wanted(name):
            continue
        for mini in (MINI, ODD_MINI) if name == ODD_NET else (MINI,):
            graph = read_graph(layers, parameters, infer_shapes(layers, parameters))
            note_step(driver, graph, name if mini == MINI else f"{name}-of-{mini}", mini)


def all_instances(noted: Iterable[Instance], folder: Path | None = None) -> list[Instance]:
    """What was noted, and the files of the folder [kernels] of which nothing was."""
    noted = list(noted)
    files = sorted(path.stem for path in (folder or find_folder("kernels")).glob("*.cu"))
    by_file = {file: [i for i in noted if i.file == file] or [Instance(file)] for file in files}
    return [instance for file in files for instance in by_file[file]]


def shipped_instances(wanted: Callable[[str], bool] = lambda _: True) -> list[Instance]:
    """All files of kernels, with the constants that nets in layers/ ask for.

    Args:
        wanted: says of the name of a net, such as mnist-quick, whether it counts.
    """
    driver = NotingDriver()
    note_shipped_nets(driver, wanted)
    return all_instances(driver.noted.values())


def kernel_names(file: str, folder: Path | None = None) -> Iterator[str]:
    """The kernels of a file, in its order."""
    text = source_file(folder or find_folder("kernels"), file).read_text()
    return (match[1] for match in _KERNEL.finditer(text))
