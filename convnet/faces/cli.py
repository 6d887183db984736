"""`python -m convnet faces`: which tool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from convnet import report
from convnet.faces.align import align
from convnet.faces.info import describe
from convnet.faces.knn import knn
from convnet.faces.packing import SOURCE, pack, unpack
from convnet.faces.pairs import pairs
from convnet.faces.verify import verify
from convnet.options import choose_word, make_parser


def faces(arguments: Sequence[str]) -> None:
    """Runs the tool that the first word names.

    Raises:
        ConvnetError, data_providers.errors.DataError: what is wrong, in one line each.
    """
    word, *rest = arguments or ["--help"]
    if word in ("-h", "--help"):
        report.text("usage: python -m convnet faces TOOL ...; each has its own --help\n")
        for name, tool in TOOLS.items():
            report.text(f"  {name:8}{(tool.__doc__ or '').splitlines()[0]}")
        return
    TOOLS[choose_word("faces", "tool", word, TOOLS)](rest)


def info(arguments: Sequence[str]) -> None:
    """Prints how many people and pictures there are, and checks packs."""
    parser = make_parser("python -m convnet faces info", info.__doc__ or "")
    parser.add_argument("path", type=Path, metavar="SOURCE", help=SOURCE)
    args = parser.parse_args(arguments)
    report.text(describe(args.path))


TOOLS: dict[str, Callable[[Sequence[str]], None]] = {
    "align": align,
    "info": info,
    "pack": pack,
    "unpack": unpack,
    "pairs": pairs,
    "verify": verify,
    "knn": knn,
}
