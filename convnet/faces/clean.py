"""Pictures that are unlike the others of their person, perhaps for showing somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from convnet import report
from convnet.faces.features import add_feature_options, read_features
from convnet.faces.people import add_aside, move_aside, told
from convnet.options import checked, make_parser, parse_float
from convnet.verification.scores import unit_rows
from data_providers.pictures import find_pictures


def clean(arguments: Sequence[str]) -> None:
    """Lists pictures unlike the others of their person, and moves them aside."""
    parser = make_parser("python -m convnet faces clean", clean.__doc__ or "")
    parser.add_argument("path", type=Path, metavar="DIR", help="pictures as PERSON/NAME.jpg")
    parser.add_argument(
        "--threshold",
        type=checked(parse_float),
        default=0.9,
        metavar="X",
        help="the largest distance from the mean of a person's features (with --metric cosine "
        "scaled to length 1) that is right [0.9]",
    )
    add_aside(parser)
    add_feature_options(parser)
    args = parser.parse_args(arguments)
    found = find_pictures(args.path)
    features = read_features(args, found.files)
    distances = from_the_mean(features, found.labels, unit=args.metric == "cosine")
    order = np.argsort(-distances, kind="stable")
    going = [int(i) for i in order if distances[i] > args.threshold]
    if args.aside:
        move_aside([found.files[i] for i in going], args.path, args.aside)
    for i in going:
        report.text(f"{distances[i]:8.4f}  {found.files[i].relative_to(args.path)}")
    report.text(told(args.aside, f"{len(going):,} of {len(found.files):,} pictures"))


def from_the_mean(features: np.ndarray, labels: np.ndarray, *, unit: bool) -> np.ndarray:
    """The Euclidean distance of each picture's features from the mean of its person's.

    Args:
        features: (pictures, numbers)
        labels: (pictures,), the person, from 0
        unit: scale the features to length 1 first.
    """
    values = unit_rows(features) if unit else np.asarray(features, np.float64)
    sums = np.zeros((labels.max() + 1, values.shape[1]))
    np.add.at(sums, labels, values)
    means = sums / np.bincount(labels)[:, None]
    distances: np.ndarray = np.linalg.norm(values - means[labels], axis=1)
    return distances
