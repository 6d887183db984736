"""Whether two pictures show one person: what features are worth, by the LFW protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from convnet import report
from convnet.checkpoint import write_atomically
from convnet.faces.features import add_feature_options, read_features
from convnet.options import checked, make_parser, natural
from convnet.verification.curves import roc_text
from convnet.verification.pairs import open_pairs
from convnet.verification.scores import Verification

# False accepts at which the true ones are told.
FARS = (0.01, 0.001, 0.0001)


def verify(arguments: Sequence[str]) -> None:
    """Tells how well features say whether two pictures show one person, fold by fold."""
    parser = make_parser("python -m convnet faces verify", verify.__doc__ or "")
    parser.add_argument(
        "--pairs", required=True, type=Path, metavar="FILE", help="as LFW's pairs.txt"
    )
    parser.add_argument(
        "--pictures", required=True, type=Path, metavar="DIR", help="as PERSON/NAME_0001.jpg"
    )
    parser.add_argument(
        "--fold",
        type=checked(natural),
        default=0,
        metavar="N",
        help="the pairs of this fold alone, dealt to ten [0: all]",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the ROC curve as CSV")
    add_feature_options(parser)
    args = parser.parse_args(arguments)
    pairs = open_pairs(args.pairs, args.pictures, args.fold)
    result = pairs.verify(read_features(args, pairs.files), args.metric)
    report.text(verification_table(result))
    if args.out:
        write_atomically(args.out, roc_text(result.roc).encode())
        report.text(f"Wrote {args.out}")


def verification_table(result: Verification) -> str:
    """A row for each fold, and what is told of all."""
    rows = [("fold", "threshold", "accuracy")]
    rows += [
        (f"{number}", f"{threshold:.4f}", f"{accuracy:.4f}")
        for number, (threshold, accuracy) in enumerate(
            zip(result.thresholds, result.accuracies, strict=True), start=1
        )
    ]
    rates = [(far, result.roc.tar_at(far)) for far in FARS]
    told = [
        f"{far:g}: {'too few pairs' if math.isnan(tar) else f'{tar:.4f}'}" for far, tar in rates
    ]
    return "\n".join(
        [
            report.columns(rows, texts=0),
            str(result),
            f"TAR at FAR {', '.join(told)}",
        ]
    )
