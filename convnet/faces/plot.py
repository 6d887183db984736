"""Pictures of runs and their verifications."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convnet import report
from convnet.options import checked, make_parser, natural
from convnet.verification.curves import read_roc


def plot(arguments: Sequence[str]) -> None:
    """Draws costs and verifications of runs, and ROC curves, several in one picture."""
    # matplotlib takes a while to be imported, and the other tools do without.
    from convnet.show.cost import find_value
    from convnet.show.figures import curves_path, open_run
    from convnet.show.verification import draw_faces

    parser = make_parser("python -m convnet faces plot", plot.__doc__ or "")
    parser.add_argument(
        "path",
        nargs="+",
        type=Path,
        metavar="RUN|ROC.csv",
        help="runs, and curves that faces verify --out has written",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=checked(curves_path),
        metavar="FILE",
        help=".png, .svg, .pdf or .csv",
    )
    parser.add_argument("--show-cost", default="", metavar="NAME", help="cost layer [the first]")
    parser.add_argument(
        "--cost-idx",
        type=checked(natural),
        default=0,
        metavar="N",
        help="which of its values [0]",
    )
    args = parser.parse_args(arguments)
    files = [path for path in args.path if path.suffix.lower() == ".csv"]
    runs = [open_run(path) for path in args.path if path not in files]
    value = find_value(runs[0], args.show_cost, args.cost_idx) if runs else None
    stems = [path.stem for path in files]
    names = stems if len(set(stems)) == len(stems) else [str(path) for path in files]
    draw_faces(runs, value, dict(zip(names, map(read_roc, files), strict=True)), args.out)
    report.text(f"Wrote {args.out}")
