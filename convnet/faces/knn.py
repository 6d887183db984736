"""Whom a picture shows: the vote of the pictures that are most alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convnet import report
from convnet.errors import ConvnetError, OptionError
from convnet.faces.features import add_feature_options, read_features
from convnet.options import checked, make_parser, natural, positive
from convnet.verification.neighbours import draw_gallery, identify
from data_providers.pictures import PictureFiles, find_pictures


def knn(arguments: Sequence[str]) -> None:
    """Tells how often the nearest pictures say whom a picture shows."""
    parser = make_parser("python -m convnet faces knn", knn.__doc__ or "")
    parser.add_argument(
        "--pictures", required=True, type=Path, metavar="DIR", help="as PERSON/NAME.jpg"
    )
    parser.add_argument(
        "--gallery",
        type=Path,
        metavar="DIR",
        help="pictures of the same people to compare with [the others of --pictures]",
    )
    parser.add_argument(
        "--per-person",
        type=checked(natural),
        default=0,
        metavar="N",
        help="compare with N random pictures of each person [0: with all others]",
    )
    parser.add_argument(
        "--k", type=checked(positive), default=1, metavar="N", help="pictures that vote [1]"
    )
    parser.add_argument(
        "--draws",
        type=checked(positive),
        default=10,
        metavar="N",
        help="of --per-person; told are mean and deviation [10]",
    )
    parser.add_argument("--seed", type=checked(natural), default=0, metavar="N", help="[0]")
    add_feature_options(parser)
    args = parser.parse_args(arguments)
    if args.gallery and args.per_person:
        raise OptionError("expected --gallery or --per-person; found both")
    found = find_pictures(args.pictures)
    files, labels = found.files, found.labels
    everyone = np.arange(len(files))
    if args.gallery:
        known = _gallery(args.gallery, found)
        files, labels = files + known.files, np.concatenate([labels, known.labels])
        draws = [(everyone, np.arange(everyone.size, len(files)))]
    elif args.per_person:
        rng = np.random.default_rng(args.seed)
        chosen = (draw_gallery(labels, args.per_person, rng) for _ in range(args.draws))
        draws = [(np.flatnonzero(~drawn), np.flatnonzero(drawn)) for drawn in chosen]
    else:
        draws = [(everyone[np.bincount(labels)[labels] > 1], everyone)]
    probes, gallery = draws[0]
    if not probes.size:
        raise ConvnetError(
            f"{args.pictures}: expected people with more than {max(1, args.per_person)} pictures, "
            "so that some are left to be recognised; found none"
        )
    features = read_features(args, files)
    rates = [identify(features, labels, *draw, k=args.k, metric=args.metric) for draw in draws]
    line = f"{args.k}-NN: {np.mean(rates):.4f}"
    if args.per_person:
        line += f" +- {np.std(rates):.4f} ({args.draws} draws)"
    others = 0 if args.gallery or args.per_person else 1
    report.text(f"{line} of {probes.size} pictures, each among {gallery.size - others} others")


def _gallery(root: Path, probes: PictureFiles) -> PictureFiles:
    """The pictures of a gallery, with the labels of the probes.

    Raises: ConvnetError if it holds other people.
    """
    found = find_pictures(root)
    if found.label_names != probes.label_names:
        differing = sorted(set(found.label_names) ^ set(probes.label_names))
        raise ConvnetError(
            f"{root}: expected the people of --pictures; found one more or less, {differing[0]}"
        )
    return found
