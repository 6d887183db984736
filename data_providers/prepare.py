"""Prepares known data sets and folders of pictures as batches in the safe format."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_providers import sources
from data_providers.errors import DataError
from data_providers.formats import Batch, PreparedStore, is_complete, write_data_set
from data_providers.shuffle import stratified_order
from data_providers.sources import Report, Request, Source


@dataclass(frozen=True)
class Recipe:
    """A data set that can be prepared: one line about it, and its usual images per batch."""

    description: str
    batch_size: int
    load: Callable[[Request], Source]
    scalable: bool = False


RECIPES = {
    "mnist-5k": Recipe("5,000 images of MNIST: train 1-4, test 5", 1000, sources.mnist_5k),
    "mnist": Recipe("all of MNIST: train 1-6, test 7", 10000, sources.mnist),
    "fashion-mnist": Recipe("Fashion-MNIST: train 1-6, test 7", 10000, sources.fashion_mnist),
    "cifar10": Recipe("CIFAR-10: train 1-5, test 6", 10000, sources.cifar10),
    "folder": Recipe(
        "pictures in a tree CLASS/picture.*, or in train/ and test/ of such trees",
        1000,
        sources.picture_folder,
        scalable=True,
    ),
}


def prepare(
    name: str,
    out: Path,
    *,
    source: Path | None = None,
    size: int = 0,
    batch_size: int = 0,
    test_fraction: float = 0.2,
    seed: int = 0,
    report: Report = lambda line: None,
) -> Path:
    """Writes the data set `name` (a key of RECIPES) into the folder `out`.

    Training batches are numbered from 1, test batches go on from there. Both are shuffled so that
    every batch has all classes in equal measure. A data set that is already there is only verified.

    Args:
        source: where the original files are; None fetches them where that is possible.
        size: pictures are scaled and cropped to this side in pixels; 0 = as they are.
        batch_size: images per batch; 0 = the recipe's.
        test_fraction: share of the images to test on, where the data set has no test part.
        seed: of the shuffle.
        report: called with one line of text about each step.
    Returns: `out`, as an absolute path.
    Raises: DataError if the data cannot be had, are damaged, or `out` cannot be written or holds
        anything else; `out` is then as it was.
    """
    out = out.resolve()  # "." has no name, and a link cannot be replaced by a folder
    recipe = _recipe(name)
    if size and not recipe.scalable:
        raise DataError(f"{name}: size {size}: only a folder of pictures can be scaled")
    if min(size, batch_size, seed) < 0:
        raise DataError(
            f"size {size}, batch size {batch_size}, seed {seed}: expected no negative number"
        )
    if not 0 < test_fraction < 1:
        raise DataError(f"test fraction {test_fraction}: expected a number between 0 and 1")
    if source is not None and not source.exists():
        raise DataError(f"{source}: no such file or folder to prepare {name} from")
    batch_size = batch_size or recipe.batch_size
    what = f"folder {source.resolve()}" if name == "folder" and source else name
    identity = f"{what}, size {size}, batches of {batch_size}, test {test_fraction}, seed {seed}"
    try:
        if is_complete(out, identity, PreparedStore):
            report(f"{out}: complete, nothing to do")
            return out
        content = recipe.load(Request(source, size, report))
        write_data_set(
            out,
            _batches(content, batch_size, test_fraction, seed),
            shape=content.shape,
            label_names=content.label_names,
            recipe=identity,
            source=content.note,
            report=report,
        )
    except OSError as error:
        raise DataError(f"{out}: cannot write the data: {error.strerror or error}") from error
    report(f"wrote {out}")
    return out


def _recipe(name: str) -> Recipe:
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(RECIPES)}"
        raise DataError(f"no data set {name!r}; {hint}")
    return RECIPES[name]


def _batches(content: Source, batch_size: int, test_fraction: float, seed: int) -> Iterator[Batch]:
    """The training batches, then the test batches."""
    train, test = content.train, content.test
    order = stratified_order(train.labels, seed)
    if test is not None:
        test_order = stratified_order(test.labels, seed)
    else:
        test, kept = train, order.size - round(test_fraction * order.size)
        order, test_order = order[:kept], order[kept:]
    if not order.size or not test_order.size:
        raise DataError(f"{content.note}: too few images for a training and a test batch")
    for images, cases, training in ((train, order, True), (test, test_order, False)):
        for start in range(0, cases.size, batch_size):
            chosen = cases[start : start + batch_size]
            yield Batch(images.pixels(chosen), images.labels[chosen], training)
