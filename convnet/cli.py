"""The command line: which command, which options; everything else is elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from convnet import report
from convnet.errors import ConvnetError, Problems
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
    from convnet.api import infer_shapes, read_graph

    parser = make_parser("python -m convnet check", check.__doc__ or "")
    parser.add_argument("--layer-def", required=True, metavar="FILE")
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
    args = parser.parse_args(arguments)
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
    report.text(report.layer_table(graph))
    return 0


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


def convert(arguments: Sequence[str]) -> int:
    """Writes a checkpoint, ours or one of cuda-convnet, in our format or in cuda-convnet2's."""
    from convnet.convert import FORMATS, convert_checkpoint

    parser = make_parser("python -m convnet convert", convert.__doc__ or "")
    parser.add_argument("--load-file", required=True, type=Path, help="checkpoint or run directory")
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
    "make-data": make_data,
    "show": show,
}
