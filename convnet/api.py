"""Building and loading nets from Python.

    import convnet
    net = convnet.build("layers.cfg", "params.cfg", data_shapes=[(3, 32, 32), (1, 1, 1)])
    costs = net.train_step([images, labels])

The command line uses the same calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from convnet import resources
from convnet.checkpoint import Checkpoint, load_checkpoint
from convnet.config.layers import LayerSpec, read_layer_files
from convnet.config.reader import Source
from convnet.errors import CheckpointError, DeviceError, OptionError, Problems, ShapeError
from convnet.geometry import Shape
from convnet.graph import Graph, build_graph
from convnet.initial import initial_values
from convnet.layer_types.base import Layer, Parameter
from convnet.layer_types.registry import LAYER_TYPES
from convnet.net import Net
from convnet.ops.base import Ops
from convnet.precision import Precision
from convnet.shapes import infer_data_shapes
from convnet.updates import NO_MORE, Updates

LayerFile = Source | str | PathLike[str]
DataShapes = Sequence[tuple[int, int, int]]


def make_ops(backend: str = "cpu", precision: str = "fp32") -> Ops:
    """The backend of a name.

    Args:
        backend: "cpu" (float32, fast), "reference" (numpy, float64, slow), "cuda" or "cuda:N" (the
            first GPU or GPU N, through CuPy, float32), "pycuda" or "pycuda:N" (through PyCUDA), or
            "emulated" (the kernels of the GPU on the host, slow).
        precision: "fp32", or on a GPU "tf32" or "bf16": what tensor cores round the factors of
            conv, local and fc to. Numbers in memory, and sums, are float32 all the same.

    Raises:
        OptionError: another name, or a precision that the backend does not have.
        DeviceError: a GPU that cannot be used, or not in this precision.
    """
    if precision not in tuple(Precision):
        raise OptionError(f"--precision must be one of {', '.join(Precision)}; found '{precision}'")
    chosen = Precision(precision)
    if backend in ("cpu", "reference") and chosen != Precision.FP32:
        raise OptionError(
            f"--precision {precision} is arithmetic of a GPU, and the CPU computes in float32; "
            "choose a GPU with --gpu, or --precision fp32"
        )
    if backend == "cpu":
        from convnet.ops.cpu import CpuOps  # imports numba

        return CpuOps()
    if backend == "reference":
        from convnet.ops.reference import ReferenceOps

        return ReferenceOps(np.float64)
    if backend == "emulated":
        from convnet.ops.cuda.emulated.driver import EmulatedDriver
        from convnet.ops.cuda.ops import CudaOps

        return CudaOps(EmulatedDriver(), chosen)
    kind, colon, number = backend.partition(":")
    if kind in ("cuda", "pycuda") and (number.isdecimal() or not colon):
        from convnet.ops.cuda import cupy_driver, pycuda_driver
        from convnet.ops.cuda.ops import CudaOps

        device = int(number or 0)
        if kind == "cuda":
            return CudaOps(cupy_driver.CupyDriver(device), chosen)
        return CudaOps(pycuda_driver.PycudaDriver(device), chosen)
    raise OptionError(
        "backend must be 'cpu', 'reference', 'emulated', 'cuda', 'pycuda', or 'cuda:N' for GPU N; "
        f"found '{backend}'"
    )


def choose_backend(gpu: Sequence[int]) -> tuple[str, str]:
    """The backend for the devices that --gpu names: the first of them if it is there, else "cpu".

    Returns:
        Its name for make_ops, and why it is not the GPU, or "".
    """
    if not gpu:
        return "cpu", ""
    backend = f"cuda:{max(gpu[0], 0)}"  # -1, any device, is the first
    try:
        make_ops(backend)
    except DeviceError as error:
        return "cpu", str(error)
    return backend, ""


def set_threads(count: int) -> None:
    """The number of threads that the CPU backend computes with from now on; results are the same.

    Raises:
        OptionError: less than one, or more than there are cores.
    """
    from convnet.ops.cpu.jit import set_threads  # imports numba

    set_threads(count)


def read_graph(
    layer_def: LayerFile,
    layer_params: LayerFile | None,
    data_shapes: DataShapes,
    *,
    lenient: bool = False,
    problems: Problems | None = None,
) -> Graph:
    """The connected layers of a definition file and a parameter file.

    Args:
        layer_def, layer_params: paths (.cfg or .toml), or Sources. Without parameters the net
            can be looked at but not trained.
        data_shapes: (channels, height, width) of each matrix of the data, by dataIdx.
        lenient: what cuda-convnet ignored is a warning.
        problems: receives the warnings, if given.

    Raises:
        ConfigError: one line for each mistake of the files.
    """
    specs = _read_specs(layer_def, layer_params, lenient, problems)
    return build_graph(specs, [Shape(*shape) for shape in data_shapes], problems)


def infer_shapes(
    layer_def: LayerFile, layer_params: LayerFile | None = None, *, lenient: bool = False
) -> list[tuple[int, int, int]]:
    """Shapes of the data that the layers fit, see convnet.shapes.

    Raises:
        ConfigError: one line for each mistake of the files; or no shapes fit.
    """
    specs = _read_specs(layer_def, layer_params, lenient, None)
    return [shape.as_tuple() for shape in infer_data_shapes(specs)]


def _read_specs(
    layer_def: LayerFile,
    layer_params: LayerFile | None,
    lenient: bool,
    problems: Problems | None,
) -> list[LayerSpec]:
    return read_layer_files(
        _file(layer_def),
        _file(layer_params) if layer_params is not None else None,
        LAYER_TYPES,
        lenient=lenient,
        problems=problems,
    )


def _file(file: LayerFile) -> Source | Path:
    return file if isinstance(file, Source) else resources.layer_file(Path(file))


def build(
    layer_def: LayerFile,
    layer_params: LayerFile,
    *,
    data_shapes: DataShapes,
    batch_size: int = 128,
    backend: str = "cpu",
    precision: str = "fp32",
    seed: int = 0,
    keep: Iterable[str] = (),
    lenient: bool = False,
    conserve_mem: bool = False,
    init_modules: Sequence[str] = (),
    updates: Updates = NO_MORE,
) -> Net:
    """A net with initial weights; see read_graph, make_ops and Net for the arguments.

    Args:
        init_modules: names of the Python modules whose functions the layer file may call for
            initial weights, see convnet.initial.

    Raises:
        ConfigError: one line for each mistake of the layer files.
    """
    graph = read_graph(layer_def, layer_params, data_shapes, lenient=lenient)
    return new_net(
        graph,
        make_ops(backend, precision),
        batch_size=batch_size,
        seed=seed,
        keep=keep,
        conserve_mem=conserve_mem,
        init_modules=init_modules,
        updates=updates,
    )


def new_net(
    graph: Graph, ops: Ops, *, seed: int = 0, init_modules: Sequence[str] = (), **arguments: Any
) -> Net:
    """A net whose initial weights are as the layer files say; see build."""

    def initial(layer: Layer, parameter: Parameter) -> np.ndarray:
        return initial_values(layer, parameter, seed, init_modules)

    return Net(graph, ops, seed=seed, initial=initial, **arguments)


def load(
    path: str | PathLike[str],
    *,
    batch_size: int = 128,
    backend: str = "cpu",
    precision: str = "fp32",
    keep: Iterable[str] = (),
) -> Net:
    """The net of a checkpoint file or run directory, with its weights.

    Raises:
        CheckpointError: it cannot be read, or its weights do not fit its layers.
    """
    return restore(
        load_checkpoint(Path(path)),
        batch_size=batch_size,
        backend=backend,
        precision=precision,
        keep=keep,
        name=str(path),
    )


def restore(
    checkpoint: Checkpoint,
    *,
    batch_size: int,
    backend: str = "cpu",
    precision: str = "fp32",
    keep: Iterable[str] = (),
    conserve_mem: bool = False,
    updates: Updates = NO_MORE,
    name: str = "checkpoint",
    data_shapes: DataShapes | None = None,
    problems: Problems | None = None,
) -> Net:
    """The net of a checkpoint; `data_shapes` if the data are not those it was trained on."""
    graph = read_graph(
        checkpoint.definition,
        checkpoint.parameters,
        data_shapes or checkpoint.data_shapes,
        lenient=bool(checkpoint.options.get("lenient")),
        problems=problems,
    )
    seed = int(checkpoint.options.get("seed", 0))
    net = Net(
        graph,
        make_ops(backend, precision),
        batch_size=batch_size,
        seed=seed,
        keep=keep,
        conserve_mem=conserve_mem,
        updates=updates,
    )
    try:
        net.load_state(checkpoint.weights)
    except ShapeError as error:
        raise CheckpointError(f"{name}: {error}") from None
    return net
