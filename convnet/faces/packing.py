"""Many pictures in one file: packing, unpacking, and joining several sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convnet import report
from convnet.options import checked, make_parser, natural, parse_bool
from data_providers.errors import DataError
from data_providers.face_packs import pack_files, write_pack
from data_providers.face_sets import FaceSet, joined
from data_providers.face_sources import open_faces
from data_providers.face_trees import write_tree

SOURCE = "pictures as PERSON/NAME.jpg, or a pack"


def pack(arguments: Sequence[str]) -> None:
    """Makes one file of many pictures, from folders or other packs."""
    parser = make_parser("python -m convnet faces pack", pack.__doc__ or "")
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help=SOURCE)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="NAME", help="NAME.bin, NAME.idx and NAME.json"
    )
    parser.add_argument(
        "--size",
        type=checked(natural),
        default=0,
        metavar="N",
        help="scale pictures to this side, as JPEGs; 0: their bytes stay as they are [0]",
    )
    parser.add_argument(
        "--merge",
        type=checked(parse_bool),
        default=False,
        metavar="X",
        help="1: people of one name in several sources are one person [0: they are others]",
    )
    parser.add_argument(
        "--alignment", default="", metavar="TEXT", help="how the faces are aligned, for NAME.json"
    )
    args = parser.parse_args(arguments)
    header = write_pack(
        args.out,
        _joined(args.sources, merge=args.merge),
        size=args.size,
        alignment=args.alignment,
        made={
            "sources": [str(source) for source in args.sources],
            "size": args.size,
            "merge": args.merge,
        },
    )
    file = pack_files(args.out)["bin"]
    report.text(f"wrote {file}: {header.pictures} pictures of {header.classes} people")


def _joined(sources: Sequence[Path], *, merge: bool) -> FaceSet:
    """All pictures; people of several sources that are not merged are called SOURCE-PERSON.

    Raises: DataError if a source cannot be read, or two have the same name and are not merged.
    """
    sets = [open_faces(source, thorough=True) for source in sources]
    if len(sets) == 1:
        return sets[0]
    stems = [source.resolve().stem for source in sources]
    if len({*stems}) < len(stems) and not merge:
        raise DataError(
            f"{', '.join(map(str, sources))}: expected different names, as people are called"
            " SOURCE-PERSON; rename one, or give --merge 1 if people of one name are the same"
        )
    return joined(sets, ["" if merge else f"{stem}-" for stem in stems])


def unpack(arguments: Sequence[str]) -> None:
    """Writes the pictures of a pack as PERSON/NAME.jpg."""
    parser = make_parser("python -m convnet faces unpack", unpack.__doc__ or "")
    parser.add_argument("pack", type=Path, metavar="NAME", help="a pack NAME.bin with NAME.idx")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder")
    args = parser.parse_args(arguments)
    faces = open_faces(args.pack, thorough=True)
    write_tree(args.out, faces)
    report.text(f"wrote {args.out}: {len(faces.names)} pictures of {len(faces.label_names)} people")
