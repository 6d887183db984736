"""The command line: which command, which options; everything else is elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convnet import report
from convnet.errors import ConvnetError, DeviceError, Problems
from convnet.graph import Graph
from convnet.options import (
    checked,
    make_parser,
    natural,
    parse_options,
    positive,
)
from data_providers.errors import DataError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status.

    0, or 1 after an error, which is one line for each mistake, or 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    command = COMMANDS.get(arguments[0]) if arguments else None
    try:
        if command:
            return command(arguments[1:])
        return run(arguments)
    except (ConvnetError, DataError) as error:
        return _fail(str(error))
    except BrokenPipeError:
        # Who read our output has gone; keep Python from complaining again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except MemoryError as error:
        return _fail(f"out of memory: {error}; try a smaller --mini, batches or layers")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _fail(text: str) -> int:
    for line in text.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return 1


def run(arguments: Sequence[str]) -> int:
    """The classic program: train, test or write features, as the options say."""
    from convnet.train.drivers import check_gradients, start

    given = parse_options(arguments)
    if given.get("check_grads"):
        return check_gradients(given)
    start(given)
    return 0


def check(arguments: Sequence[str]) -> int:
    """Prints the layer table of a pair of layer files, or what is wrong with them."""
    parser = make_parser("python -m convnet check", check.__doc__ or "")
    _add_net_options(parser)
    graph = _read_net(parser.parse_args(arguments))
    report.text(report.layer_table(graph))
    return 0


def profile(arguments: Sequence[str]) -> int:
    """Prints how long each operation of a training step takes, and how fast that is."""
    from convnet.api import make_ops, set_threads
    from convnet.layer_types.base import TEST, TRAIN
    from convnet.net import Net
    from convnet.profile import measure_peak, profile, table

    parser = make_parser("python -m convnet profile", "Prints how long each operation takes.")
    _add_step_options(parser)
    parser.add_argument(
        "--threads", type=checked(positive), metavar="N", help="to compute with [one a core]"
    )
    args = parser.parse_args(arguments)
    if args.threads:
        set_threads(args.threads)
    net = Net(_read_net(args), make_ops(), batch_size=args.mini)
    timings = profile(net, TEST if args.test == "1" else TRAIN)
    report.text(table(timings, measure_peak()))
    return 0


def _add_step_options(parser: Any) -> None:
    """Options that name a step of a net."""
    _add_net_options(parser)
    _add_mini(parser)
    parser.add_argument("--test", choices=("0", "1"), default="0", help="a testing step instead")


def _add_net_options(parser: Any, default: str = "") -> None:
    """Options that name the layer files and the shape of the data.

    Args:
        default: what stands for a net where none is named, if that may be.
    """
    help_text = f"layer definition file [{default}]" if default else None
    parser.add_argument("--layer-def", required=not default, metavar="FILE", help=help_text)
    parser.add_argument("--layer-params", metavar="FILE")
    parser.add_argument(
        "--input-shape",
        type=checked(parse_shapes),
        default=[],
        metavar="CxHxW",
        help="of matrix 0 of the data, e.g. 3x32x32; further matrices after commas [1x1x1]; "
        "without it they are worked out from the layers",
    )
    parser.add_argument(
        "--lenient", choices=("0", "1"), default="0", help="what cuda-convnet ignored is a warning"
    )


def _add_mini(parser: Any) -> None:
    parser.add_argument(
        "--mini", type=checked(positive), default=128, metavar="N", help="images per minibatch"
    )


def _read_net(args: Any) -> Graph:
    """The net of these options; prints what a reader should know of it."""
    from convnet.api import infer_shapes, read_graph

    problems = Problems()
    files = (args.layer_def, args.layer_params)
    lenient = args.lenient == "1"
    # Labels and the like: matrices that are not named have one number per image.
    shapes = [*args.input_shape, *[(1, 1, 1)] * 16]
    if not args.input_shape:
        shapes = infer_shapes(*files, lenient=lenient)
    graph = read_graph(*files, shapes, lenient=lenient, problems=problems)
    for warning in problems.warnings:
        report.text(f"warning: {warning}")
    if not args.input_shape:
        sizes = ",".join("x".join(map(str, shape)) for shape in shapes)
        report.text(f"note: the data are taken to be {sizes}; name others with --input-shape")
    return graph


def data(arguments: Sequence[str]) -> int:
    """Prepares a data set as batches that the provider `batches` reads."""
    from data_providers.prepare import RECIPES, prepare

    parser = make_parser("python -m convnet data", data.__doc__ or "")
    parser.add_argument("name", help=f"the data set: {', '.join(sorted(RECIPES))}")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--source", type=Path, help="file or folder with the original data")
    parser.add_argument(
        "--size", type=checked(natural), default=0, help="scale pictures to this side"
    )
    parser.add_argument("--batch-size", type=checked(natural), default=0, help="images per batch")
    parser.add_argument("--seed", type=checked(natural), default=0, help="of the shuffle")
    args = parser.parse_args(arguments)
    prepare(
        args.name,
        args.out,
        source=args.source,
        size=args.size,
        batch_size=args.batch_size,
        seed=args.seed,
        report=report.text,
    )
    return 0


def make_data(arguments: Sequence[str]) -> int:
    """Makes batches of JPEGs for the provider `image`, from ImageNet or a tree of pictures."""
    from data_providers import make_data as maker

    parser = make_parser("python -m convnet make-data", make_data.__doc__ or "")
    parser.add_argument(
        "--src-dir",
        required=True,
        type=Path,
        metavar="DIR",
        help="the three files of ILSVRC-2012, or pictures as CLASS/NAME.jpg or in train/ and val/",
    )
    parser.add_argument("--tgt-dir", required=True, type=Path, metavar="DIR")
    parser.add_argument(
        "--image-size", type=checked(positive), default=256, help="side of the images [256]"
    )
    parser.add_argument(
        "--batch-size", type=checked(positive), default=3072, help="images per batch [3072]"
    )
    parser.add_argument(
        "--workers", type=checked(natural), default=0, help="processes [one for each core]"
    )
    parser.add_argument("--seed", type=checked(natural), default=0, help="of the shuffle [0]")
    args = parser.parse_args(arguments)
    maker.make_data(
        args.src_dir,
        args.tgt_dir,
        size=args.image_size,
        batch_size=args.batch_size,
        workers=args.workers,
        seed=args.seed,
        report=report.text,
    )
    return 0


def show(arguments: Sequence[str]) -> int:
    """Draws pictures of runs."""
    from convnet.show.cli import show

    show(arguments)
    return 0


def faces(arguments: Sequence[str]) -> int:
    """Prepares pictures of faces, and judges models of them."""
    from convnet.faces.cli import faces

    faces(arguments)
    return 0


def kernels(arguments: Sequence[str]) -> int:
    """Lists the kernels of the GPU backend, or compiles them, which needs no GPU."""
    from convnet.inspection.instances import (
        NotingDriver,
        kernel_names,
        note_step,
        shipped_instances,
    )
    from convnet.inspection.report import ARCHITECTURES, compile_all, faults, kernel_rows
    from convnet.layer_types.base import CHECK, TRAIN

    if arguments and arguments[0] in NET_ACTIONS:
        return NET_ACTIONS[arguments[0]](arguments[1:])
    parser = make_parser(
        "python -m convnet kernels",
        f"{kernels.__doc__} More: kernels {' | '.join(NET_ACTIONS)}, with --help.",
    )
    parser.add_argument(
        "action",
        choices=("list", "compile", "report"),
        help="list: the kernels of each file; compile: for each architecture; "
        "report: what they take, and what their machine code consists of",
    )
    parser.add_argument(
        "--arch",
        type=checked(parse_architectures),
        default=ARCHITECTURES,
        metavar="sm_NN",
        help="one or several with commas [" + ",".join(f"sm_{a}" for a in ARCHITECTURES) + "]",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="compile: keep the .cubin files")
    _add_net_options(parser, default="all nets that come with the program")
    _add_mini(parser)
    args = parser.parse_args(arguments)
    if args.layer_def:
        driver = NotingDriver()
        mode = TRAIN if args.layer_params else CHECK
        note_step(driver, _read_net(args), mini=args.mini, mode=mode)
        chosen = sorted(driver.noted.values(), key=lambda instance: instance.file)
    else:
        chosen = shipped_instances()
    if args.action == "list":
        for instance in chosen:
            report.text(f"{instance}: {', '.join(kernel_names(instance.file))}")
        return 0
    compiled = []
    for result in compile_all(chosen, args.arch, with_code=args.action == "report"):
        compiled.append(result)
        if args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / result.file_name).write_bytes(result.cubin)
        if args.action == "compile":
            report.text(f"sm_{result.arch}  {len(result.kernels)} kernels of {result.instance}")
    if args.action == "report":
        report.text(report.columns(kernel_rows(compiled), texts=2))
        if found := [fault for result in compiled for fault in faults(result)]:
            raise DeviceError("\n".join(found))
    return 0


def roofline(arguments: Sequence[str]) -> int:
    """Prints how long each operation of a step takes on a GPU at least, by its published peaks."""
    from convnet.layer_types.base import TEST, TRAIN
    from convnet.precision import Precision
    from convnet.recording import record
    from convnet.roofline import GPUS, table

    parser = make_parser("python -m convnet kernels roofline", roofline.__doc__ or "")
    _add_step_options(parser)
    parser.add_argument("--device", choices=tuple(GPUS), default="a100", help="GPU [a100]")
    parser.add_argument(
        "--precision", choices=[*map(str, Precision)], default="fp32", help="of products [fp32]"
    )
    args = parser.parse_args(arguments)
    recording = record(_read_net(args), TEST if args.test == "1" else TRAIN, args.mini)
    calls, gpu, precision = recording.program.calls, GPUS[args.device], Precision(args.precision)
    report.text(report.columns(table(calls, args.mini, gpu, precision), texts=4))
    report.text(
        f"at the peaks of the {gpu.name}: {gpu.flops[precision] / 1e12:.0f} TFLOP/s "
        f"({precision}), {gpu.bytes / 1e9:.0f} GB/s; arithmetic, not run on a GPU"
    )
    return 0


def count(arguments: Sequence[str]) -> int:
    """Counts how the kernels of a step use the memory of a GPU, on the emulated device."""
    from convnet.layer_types.base import TEST, TRAIN
    from convnet.net import Net
    from convnet.ops.cuda.emulated import EmulatedDriver
    from convnet.ops.cuda.emulated.counts import table
    from convnet.ops.cuda.ops import CudaOps
    from convnet.profile import random_batch

    parser = make_parser("python -m convnet kernels count", count.__doc__ or "")
    _add_step_options(parser)
    args = parser.parse_args(arguments)
    driver = EmulatedDriver("count")
    net = Net(_read_net(args), CudaOps(driver), batch_size=args.mini)
    driver.counts.clear()
    net.time_calls(random_batch(net), TEST if args.test == "1" else TRAIN)
    report.text(report.columns(table(driver.counts), texts=4))
    return 0


NET_ACTIONS = {"roofline": roofline, "count": count}


def parse_architectures(text: str) -> list[int]:
    """Raises: ValueError for anything but sm_NN, or several with commas between."""
    names = text.split(",")
    if not all(name[:3] == "sm_" and name[3:].isdecimal() for name in names):
        raise ValueError(f"expected architectures such as sm_80,sm_90; found '{text}'")
    return [int(name[3:]) for name in names]


def convert(arguments: Sequence[str]) -> int:
    """Writes a checkpoint, ours or one of cuda-convnet, in our format or in cuda-convnet2's."""
    from convnet.convert import FORMATS, convert_checkpoint

    parser = make_parser("python -m convnet convert", convert.__doc__ or "")
    parser.add_argument(
        "-f", "--load-file", required=True, type=Path, help="checkpoint or run directory"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="of the new file")
    parser.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="v2 is that of cuda-convnet2"
    )
    args = parser.parse_args(arguments)
    path, content = convert_checkpoint(args.load_file, args.out, args.format)
    report.text(f"Wrote {path}: {content}")
    return 0


def parse_shapes(text: str) -> list[tuple[int, int, int]]:
    """Raises: ValueError for anything but CxHxW, or several with commas between."""
    shapes = []
    for part in text.split(","):
        numbers = part.lower().split("x")
        if len(numbers) != 3 or not all(n.isdecimal() and int(n) for n in numbers):
            raise ValueError(f"expected channels x height x width such as 3x32x32; found '{part}'")
        channels, height, width = map(int, numbers)
        shapes.append((channels, height, width))
    return shapes


COMMANDS = {
    "check": check,
    "convert": convert,
    "data": data,
    "faces": faces,
    "kernels": kernels,
    "make-data": make_data,
    "profile": profile,
    "show": show,
}
