"""Aligned faces from photographs: found, chosen, cut out and written, by several processes.

The result is a tree like that of the photographs. Beside its people are two files: align.json says
how it was made, landmarks.csv what was found in each photograph. A line of the latter is written
when its picture is there. So the work can be stopped at any time; done again, it goes on with the
photographs that have no line.
"""

from __future__ import annotations

import functools
import io
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from convnet import report
from convnet.faces.crops import CROPS, Floats, cut_out, middle
from convnet.faces.landmarks import FILE, Result, Row, as_text, read_landmarks, read_rows, table
from convnet.faces.mtcnn import Faces, Mtcnn, weights_folder
from convnet.options import checked, integer, make_parser, natural, positive
from data_providers.errors import DataError
from data_providers.formats import write_whole
from data_providers.pictures import find_pictures, read_picture
from data_providers.workers import in_processes

MTCNN, NONE = "mtcnn", "none"
SETTINGS = "align.json"
#: Which face of several.
CHOICES = ("largest", "central", "single")
#: A process that is started for fewer pictures costs more than it saves.
PICTURES_OF_A_WORKER = 16

Report = Callable[[str], object]


@dataclass(frozen=True)
class Settings:
    """How faces are aligned.

    landmarks: "mtcnn", "none" (the middle of the picture is the face), or the table's checksum
    crop:      name in CROPS
    size:      width and height of the results
    faces:     which of several faces: the largest, the most central, or none ("single")
    min_face:  side of the smallest face that is looked for, in pixels
    """

    landmarks: str
    crop: str
    size: tuple[int, int]
    faces: str
    min_face: int

    def json(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode()


@dataclass(frozen=True)
class Job:
    """A photograph, called `picture` in tables; `landmarks` if they are known already."""

    settings: Settings
    picture: str
    file: Path
    target: Path
    landmarks: Floats | None

    def is_done(self, row: Row | None) -> bool:
        """Whether this line is about the photograph as it is, and what it made is there."""
        if row is None or row.bytes != self.file.stat().st_size:
            return False
        return row.result != Result.ALIGNED or self.target.exists()


def align(arguments: Sequence[str]) -> None:
    """Cuts faces out of photographs, each with the eyes in the same place."""
    parser = make_parser("python -m convnet faces align", align.__doc__ or "")
    parser.add_argument("path", type=Path, metavar="DIR", help="photographs as PERSON/NAME.jpg")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="of the results")
    parser.add_argument(
        "--landmarks",
        default=MTCNN,
        metavar="X",
        help="mtcnn: find them; none: the middle of the picture is the face already; FILE.csv: a "
        "table, such as landmarks.csv of an earlier run [mtcnn]",
    )
    parser.add_argument("--crop", choices=CROPS, default="arcface", help="[arcface]")
    parser.add_argument(
        "--size",
        type=checked(positive),
        default=0,
        metavar="N",
        help="height of the results, in pixels [the crop's own]",
    )
    parser.add_argument(
        "--faces",
        choices=CHOICES,
        default=CHOICES[0],
        help="which of several; single: leave such photographs out [largest]",
    )
    parser.add_argument(
        "--min-face",
        type=checked(functools.partial(integer, 12)),
        default=20,
        metavar="N",
        help="side of the smallest face that is looked for, in pixels [20]",
    )
    parser.add_argument(
        "--workers",
        type=checked(natural),
        default=0,
        metavar="N",
        help="processes [one for each core]",
    )
    args = parser.parse_args(arguments)
    align_tree(
        args.path,
        args.out,
        landmarks=args.landmarks,
        crop=args.crop,
        height=args.size,
        faces=args.faces,
        min_face=args.min_face,
        workers=args.workers,
        report=report.text,
    )


def align_tree(
    source: Path,
    out: Path,
    *,
    landmarks: str = MTCNN,
    crop: str = "arcface",
    height: int = 0,
    faces: str = "largest",
    min_face: int = 20,
    workers: int = 0,
    report: Report = lambda line: None,
) -> None:
    """Writes the aligned faces of the pictures source/PERSON/NAME.* as out/PERSON/NAME.png.

    Args:
        landmarks: "mtcnn", "none", or the path of a table, see convnet.faces.landmarks.
        height: of the results; 0 = the crop's own. Other arguments as in Settings.
        workers: processes that work at a time; 0 = one for each core.
        report: called with one line of text about each step.
    Raises:
        DataError: there are no pictures, none could be aligned, or `out` holds other things.
        ConvnetError: the package with the weights of MTCNN is not installed.
    """
    known: dict[str, Floats] = {}
    origin = landmarks
    if landmarks == MTCNN:
        weights_folder()
    elif landmarks != NONE:
        if not Path(landmarks).is_file():
            raise DataError(
                f"--landmarks: expected mtcnn, none or a table; there is no file {landmarks}"
            )
        known = read_landmarks(Path(landmarks))
        origin = f"sha256 {sha256(Path(landmarks).read_bytes()).hexdigest()}"
    settings = Settings(origin, crop, CROPS[crop].size(height), faces, min_face)
    jobs = _jobs(source, out, settings, known)
    _begin(source, out, settings)
    path = out / FILE
    rows = {row.picture: row for row in read_rows(path)}
    missing = [job for job in jobs if not job.is_done(rows.get(job.picture))]
    if len(missing) < len(jobs):
        report(f"going on: {len(jobs) - len(missing):,} of {len(jobs):,} pictures are done")
    for job in missing:
        rows.pop(job.picture, None)
    write_whole(path, table(rows.values()))  # without a line that was cut off
    workers = min(workers or os.cpu_count() or 1, -(-len(missing) // PICTURES_OF_A_WORKER))
    with path.open("a", encoding="utf-8", errors="surrogateescape") as file:
        for count, (job, row) in enumerate(in_processes(align_picture, missing, workers), 1):
            rows[job.picture] = row
            file.write(row.line())
            file.flush()
            if count % 1000 == 0:
                report(f"{count:,} of {len(missing):,}")
    ordered = [rows[job.picture] for job in jobs]
    write_whole(path, table(ordered))
    for line in summary(ordered):
        report(line)
    if not any(row.result == Result.ALIGNED for row in ordered):
        raise DataError(f"{source}: none of its pictures could be aligned, see {path}")


def summary(rows: Sequence[Row]) -> list[str]:
    """What became of the pictures, and who lost all of them."""
    counts = Counter(row.result for row in rows)
    lines = [f"{counts[result]:,} {result}" for result in Result if counts[result]]
    several = sum(row.faces > 1 for row in rows if row.result == Result.ALIGNED)
    if several:
        lines[0] += f", {several:,} of them chosen among several faces"
    people = {row.picture.split("/")[0] for row in rows}
    lost = sorted(people - {r.picture.split("/")[0] for r in rows if r.result == Result.ALIGNED})
    if lost:
        more = ", ..." if len(lost) > 5 else ""
        lines.append(f"{len(lost)} people without a picture now: {', '.join(lost[:5])}{more}")
    return lines


def align_picture(job: Job) -> Row:
    """Writes the aligned face, if there is one.  Raises: OSError where it cannot be written."""
    settings, crop = job.settings, CROPS[job.settings.crop]
    row = functools.partial(Row, job.picture, job.file.stat().st_size)
    job.target.unlink(missing_ok=True)  # of a photograph that has changed
    try:
        picture = read_picture(job.file, job.file.name)
        points, count = job.landmarks, 1
        if settings.landmarks == MTCNN:
            found = _detector(settings.min_face).detect(picture)
            count = len(found.scores)
            if count > 1 and settings.faces == "single":
                return row(Result.SEVERAL_FACES, count)
            points = found.points[chosen(found, picture.size, settings.faces)] if count else None
        if settings.landmarks == NONE:
            face = middle(picture, settings.size)
        elif points is None:
            return row(Result.NO_FACE)
        else:
            face = cut_out(picture, crop.transform(points, settings.size[1]), settings.size)
    except DataError as error:
        return row(Result.UNREADABLE, note=str(error).removeprefix(f"{job.file.name}: "))
    job.target.parent.mkdir(exist_ok=True)
    content = io.BytesIO()
    face.save(content, "PNG")
    write_whole(job.target, content.getvalue())
    return row(Result.ALIGNED, count, "" if points is None else as_text(points))


def chosen(faces: Faces, size: tuple[int, int], which: str) -> int:
    """The largest face; or, as insightface does, the one with the largest area minus twice the
    square of the distance from its middle to that of the picture.
    """
    sides = faces.boxes[:, 2:] - faces.boxes[:, :2]
    merit = np.prod(sides, axis=1)
    if which == "central":
        away = faces.boxes[:, :2] + sides / 2 - np.array(size) / 2
        merit = merit - 2 * (away**2).sum(axis=1)
    return int(merit.argmax())


@functools.cache
def _detector(min_face: int) -> Mtcnn:
    from convnet.api import make_ops, set_threads

    if multiprocessing.parent_process():
        set_threads(1)  # the cores are busy with the other processes
    return Mtcnn(make_ops(), min_face)


def _jobs(source: Path, out: Path, settings: Settings, known: dict[str, Floats]) -> list[Job]:
    found = find_pictures(source)
    jobs: dict[Path, Job] = {}
    for file, label in zip(found.files, found.labels, strict=True):
        person = found.label_names[label]
        target = out / person / f"{file.stem}.png"
        picture = f"{person}/{file.name}"
        if target in jobs:
            raise DataError(
                f"{jobs[target].file} and {file.name} would both become {target}; rename one"
            )
        jobs[target] = Job(settings, picture, file, target, known.get(picture))
    return list(jobs.values())


def _begin(source: Path, out: Path, settings: Settings) -> None:
    """Makes the folder of the results, or goes on with it."""
    path = out / SETTINGS
    if out.resolve().is_relative_to(source.resolve()):
        raise DataError(f"{out}: is in {source}, where it would be a person; name another folder")
    if path.exists():
        if path.read_bytes() != settings.json():
            raise DataError(
                f"{out}: was made with other settings, see {path}; remove it or name another folder"
            )
        for half_written in out.glob("*/.*.png.*"):
            half_written.unlink()
    elif out.exists() and any(out.iterdir()):
        raise DataError(f"{out}: holds other things than aligned faces; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(path, settings.json())
