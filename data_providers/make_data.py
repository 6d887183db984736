"""Makes batches of JPEGs, which the provider `image` reads, from ImageNet or a tree of pictures.

The work can be stopped at any time: done again, it goes on with the batches that are missing. They
gather in a folder beside the result, which gets its name at the very end.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data_providers.base import number_ranges
from data_providers.errors import DataError
from data_providers.formats import (
    JPEG,
    FileEntry,
    Index,
    is_complete,
    write_index,
    write_tensors,
    write_whole,
)
from data_providers.ilsvrc import ilsvrc_pictures, is_ilsvrc
from data_providers.jpeg_batches import ColourPca, JpegStore
from data_providers.jpeg_jobs import PROGRESS, Done, Job, make_batch
from data_providers.picture_sets import PictureSet, tree_pictures
from data_providers.shuffle import stratified_order
from data_providers.workers import in_processes

Report = Callable[[str], object]

# As in cuda-convnet2: validation batches begin at the next multiple of this.
VALIDATION_STEP = 1000


def make_data(
    source: Path,
    out: Path,
    *,
    size: int = 256,
    batch_size: int = 3072,
    workers: int = 0,
    test_fraction: float = 0.2,
    seed: int = 0,
    report: Report = lambda line: None,
) -> Path:
    """Writes the pictures at `source` as batches of JPEGs into the folder `out`.

    Training pictures are shuffled, with all classes in equal measure, into batches from 0.
    Validation pictures are in the order of their names, in batches from the next multiple of 1000.
    Pictures that cannot be read are left out and reported.

    Args:
        source: the folder with the three files of ILSVRC-2012, or with a tree of classes.
        size: each picture's shorter side is scaled to it, and the centre cut out.
        workers: processes that work at a time; 0 = one for each core. The result is the same.
        test_fraction: share of the pictures to test on, where a tree has no such part.
        seed: of the shuffle.
        report: called with one line of text about each step.
    Returns: `out`, as an absolute path.
    Raises: DataError if there are no pictures, or `out` cannot be written or holds anything else.
    """
    if not source.is_dir():
        raise DataError(f"{source}: no such folder to make data from")
    if size < 1 or batch_size < 1 or min(workers, seed) < 0:
        raise DataError(
            f"image size {size}, batch size {batch_size}, workers {workers}, seed {seed}: expected"
            " at least 1, 1, 0 and 0"
        )
    out = out.resolve()  # "." has no name, and a link cannot be replaced by a folder
    report(f"looking for pictures in {source}")
    if is_ilsvrc(source):
        pictures = ilsvrc_pictures(source)
    else:
        pictures = tree_pictures(source, test_fraction, seed)
    if not len(pictures.train) or not len(pictures.test):
        raise DataError(f"{source}: too few pictures for a training and a validation batch")
    recipe = (
        f"make-data, size {size}, batches of {batch_size}, seed {seed}, pictures"
        f" {pictures.digest()}"
    )
    unfinished = out.with_name(f".{out.name}.unfinished")
    try:
        if is_complete(out, recipe, JpegStore):
            report(f"{out}: complete, nothing to do")
            shutil.rmtree(out / PROGRESS, ignore_errors=True)
            return out
        _begin(unfinished, recipe)
        jobs = list(_jobs(pictures, unfinished, size, batch_size, seed))
        _make(jobs, workers or os.cpu_count() or 1, report)
        _finish(jobs, pictures, recipe)
        os.replace(unfinished, out)
        shutil.rmtree(out / PROGRESS)
    except OSError as error:
        raise DataError(
            f"{out}: cannot write the data: {error.strerror or error}; what is done stays in"
            f" {unfinished}"
        ) from error
    train, test = (number_ranges(j.number for j in jobs if j.training is t) for t in (True, False))
    report(f"wrote {out}; --train-range {train} --test-range {test}")
    return out


def _begin(folder: Path, recipe: str) -> None:
    """Makes the folder of the work, or goes on with it."""
    recipe_file = folder / PROGRESS / "recipe.txt"
    if recipe_file.exists() and recipe_file.read_text() != recipe:
        raise DataError(
            f"{folder}: holds the beginning of other work ({recipe_file.read_text()}) than asked"
            f" for ({recipe}); ask for that, or remove it"
        )
    recipe_file.parent.mkdir(parents=True, exist_ok=True)
    for half_written in [*folder.glob(".*"), *folder.glob(f"{PROGRESS}/.*")]:
        half_written.unlink()
    write_whole(recipe_file, recipe.encode())


def _jobs(
    pictures: PictureSet, folder: Path, size: int, batch_size: int, seed: int
) -> Iterator[Job]:
    train = pictures.train.take(stratified_order(pictures.train.labels, seed))
    batches = -(-len(train) // batch_size)
    first_test = -(-batches // VALIDATION_STEP) * VALIDATION_STEP
    for part, first, training in (
        (train, 0, True),
        (pictures.test.by_name(), first_test, False),
    ):
        for number, start in enumerate(range(0, len(part), batch_size), first):
            cases = np.arange(start, min(start + batch_size, len(part)))
            yield Job(folder, number, part.take(cases), training, size)


def _make(jobs: Sequence[Job], workers: int, report: Report) -> None:
    missing = [job for job in jobs if not job.progress_file.exists()]
    before = len(jobs) - len(missing)
    if before:
        report(f"going on: {before} of {len(jobs)} batches are done")
    done_jobs = in_processes(make_batch, missing, workers)
    for count, (job, _) in enumerate(done_jobs, before + 1):
        done = Done.load(job.progress_file)
        for picture in done.left_out:
            report(f"left out: {picture}")
        role = "training" if job.training else "validation"
        report(f"batch {job.number}: {done.entry.cases} {role} images ({count} of {len(jobs)})")


def _finish(jobs: Sequence[Job], pictures: PictureSet, recipe: str) -> None:
    """Writes the mean image, the principal components and the index."""
    folder, size = jobs[0].folder, jobs[0].size
    entries: dict[int, FileEntry] = {}
    left_out: list[str] = []
    sums, products, cases = np.zeros((size, size, 3), np.int64), np.zeros((3, 3), np.int64), 0
    for job in jobs:
        done = Done.load(job.progress_file)
        entries[job.number] = done.entry
        left_out += done.left_out
        sums += done.sums
        products += done.products
        cases += done.entry.cases if job.training else 0
    pca = ColourPca.of(sums.sum(axis=(0, 1)), products, cases * size * size)
    mean = {
        "mean": (sums / cases).transpose(2, 0, 1).astype(np.float32).reshape(-1, 1),
        "pca_deviations": pca.deviations,
        "pca_directions": pca.directions,
    }
    index = Index(
        recipe,
        pictures.note,
        pictures.label_names,
        (3, size, size),
        write_tensors(folder / "mean.safetensors", mean, 1),
        entries,
        JPEG,
        tuple(left_out),
    )
    write_index(folder, index)
