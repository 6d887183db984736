"""What the tools compare pictures by: a layer of a run, or raw pixels beside it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from convnet.errors import OptionError
from convnet.options import add_option, checked, parse_bool
from convnet.train.embedding import embed
from convnet.train.session import open_session
from convnet.train.testing import check_feature_layer
from convnet.verification.scores import METRICS
from data_providers.pictures import read_picture

RUN_OPTIONS = ("load_file", "data_path", "mini", "threads", "gpu")


def add_feature_options(parser: argparse.ArgumentParser) -> None:
    """The options that read_features obeys, and --metric."""
    for name in RUN_OPTIONS:
        add_option(parser, name)
    parser.add_argument("--layer", metavar="NAME", help="whose output is compared")
    parser.add_argument(
        "--flip",
        type=checked(parse_bool),
        default=False,
        metavar="0|1",
        help="add the output for the mirrored picture [0]",
    )
    parser.add_argument(
        "--raw",
        type=checked(parse_size),
        metavar="WxH",
        help="instead of a run: the grey pixels of the pictures scaled to this size, a baseline",
    )
    parser.add_argument(
        "--metric", choices=METRICS, default="cosine", help="how features are compared [cosine]"
    )


def parse_size(text: str) -> tuple[int, int]:
    """Raises: ValueError for anything but WxH."""
    numbers = text.lower().split("x")
    if len(numbers) != 2 or not all(n.isdecimal() and int(n) for n in numbers):
        raise ValueError(f"expected width x height such as 46x56; found '{text}'")
    width, height = map(int, numbers)
    return width, height


def read_features(args: argparse.Namespace, files: Sequence[Path]) -> np.ndarray:
    """The features of some pictures, float32 (files, numbers).

    Raises:
        OptionError: neither a run with a layer nor raw pixels are named, or both; or the net has
            no such layer.
        ConvnetError, DataError: the run cannot be loaded, or a picture not be prepared.
    """
    run = {name: value for name, value in vars(args).items() if name in RUN_OPTIONS}
    if bool(args.raw) == bool(run or args.layer) or (
        run and not ("load_file" in run and args.layer)
    ):
        raise OptionError("expected --load-file RUN with --layer NAME, or --raw WxH instead")
    if args.raw:
        return raw_pixels(files, args.raw)
    session = open_session(run | {"test_only": True})
    check_feature_layer(session.net.graph, args.layer, "--layer")
    session.net.keep(args.layer)
    return embed(session.net, session.test_data, args.layer, files, flip=args.flip)


def raw_pixels(files: Sequence[Path], size: tuple[int, int]) -> np.ndarray:
    """Grey pixels of pictures scaled to (width, height), float32 (files, width * height)."""
    pixels = np.empty((len(files), size[0] * size[1]), np.float32)
    for row, file in zip(pixels, files, strict=True):
        picture = read_picture(file, str(file)).convert("L")
        row[:] = np.asarray(picture.resize(size, Image.Resampling.BOX), np.float32).ravel()
    return pixels
