"""People of whom there are too few pictures to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convnet import report
from convnet.errors import ConvnetError
from convnet.faces.people import add_aside, find_people, move_aside, told
from convnet.options import checked, make_parser, positive
from data_providers.face_sets import without_pictures


def prune(arguments: Sequence[str]) -> None:
    """Lists people with few pictures, and moves them aside."""
    parser = make_parser("python -m convnet faces prune", prune.__doc__ or "")
    parser.add_argument("path", type=Path, metavar="DIR", help="pictures as PERSON/NAME.jpg")
    parser.add_argument(
        "--at-least",
        type=checked(positive),
        default=10,
        metavar="N",
        help="people with N pictures or more stay [10]",
    )
    add_aside(parser)
    args = parser.parse_args(arguments)
    found = find_people(args.path)
    nobody: dict[str, list[Path]] = {name: [] for name in without_pictures(args.path, found)}
    people = dict(sorted((found | nobody).items()))
    going = {name: files for name, files in people.items() if len(files) < args.at_least}
    if len(going) == len(people):
        most = max(len(files) for files in people.values())
        raise ConvnetError(
            f"{args.path}: nobody has {args.at_least} pictures, the most are {most}; ask for fewer"
        )
    if args.aside:
        move_aside([args.path / name for name in going], args.path, args.aside)
    for name, files in going.items():
        report.text(f"{len(files):6}  {name}")
    pictures = sum(len(files) for files in people.values())
    gone = sum(len(files) for files in going.values())
    what = f"{len(going):,} of {len(people):,} people, with {gone:,} of {pictures:,} pictures,"
    report.text(told(args.aside, what))
