"""Which pairs of pictures a verification compares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convnet import report
from convnet.checkpoint import write_atomically
from convnet.errors import ConvnetError
from convnet.options import checked, make_parser, natural, parse_bool, positive
from convnet.verification.drawing import deal_people, draw_folds
from convnet.verification.lfw import numbered_pictures, pairs_text, read_people
from convnet.verification.pairs import cut_fold


def pairs(arguments: Sequence[str]) -> None:
    """Draws pairs of pictures for a verification, in the format of LFW's pairs.txt."""
    parser = make_parser("python -m convnet faces pairs", pairs.__doc__ or "")
    parser.add_argument("path", type=Path, metavar="DIR", help="pictures as PERSON/NAME.jpg")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE")
    parser.add_argument("--folds", type=checked(positive), default=10, metavar="N", help="[10]")
    parser.add_argument(
        "--pairs",
        type=checked(positive),
        default=300,
        metavar="N",
        help="in each fold, of one person and as many of two people [300]",
    )
    parser.add_argument("--seed", type=checked(natural), default=0, metavar="N", help="[0]")
    parser.add_argument(
        "--people",
        type=Path,
        metavar="FILE",
        help="the people of each fold, as LFW's people.txt [drawn]",
    )
    parser.add_argument(
        "--people-disjoint",
        type=checked(parse_bool),
        default=True,
        metavar="0|1",
        help="0: the folds share their people, where these are too few [1]",
    )
    args = parser.parse_args(arguments)
    numbers = {name: sorted(files) for name, files in numbered_pictures(args.path).items()}
    if args.people:
        groups = read_people(args.people)
        absent = [name for group in groups for name in group if name not in numbers]
        if absent:
            raise ConvnetError(
                f"{args.people}: {len(absent)} of its people have no pictures below {args.path}, "
                f"the first of them {absent[0]}"
            )
    else:
        groups = deal_people(numbers, args.folds, args.seed)
    if args.people_disjoint:
        folds = draw_folds(numbers, groups, args.pairs, args.seed)
    else:
        (fold,) = draw_folds(numbers, [list(numbers)], args.pairs * args.folds, args.seed)
        folds = cut_fold(fold, args.folds)
    write_atomically(args.out, pairs_text(folds).encode())
    report.text(f"Wrote {args.out}: {len(folds)} folds of {args.pairs} + {args.pairs} pairs")
