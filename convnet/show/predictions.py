"""What a net says of the test images: looked at, or written to files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from convnet.errors import ConvnetError, OptionError
from convnet.layer_types.cost import LogregCost
from convnet.layer_types.data import DataLayer
from convnet.show.figures import picture
from convnet.train.session import Session
from convnet.train.testing import (
    Tested,
    check_batch,
    test_batch,
    tested_batches,
    write_json,
    write_npz,
)

ROWS, COLUMNS = 2, 4
IMAGES = ROWS * COLUMNS
TOP_CLASSES = 5


@dataclass(frozen=True)
class Classifier:
    """A session with the layer that is asked for the classes.

    Attributes:
        softmax: its name.
        labels: the layer with the right classes, counted from 0.
        names: of the classes.
    """

    session: Session
    softmax: str
    labels: DataLayer
    names: list[str]

    def read(self, tested: Tested) -> Predictions:
        """What the net said of a test batch."""
        labels = tested.labels[self.labels.name].astype(np.int64)
        return Predictions(tested.predictions[self.softmax].T, labels)


@dataclass(frozen=True)
class Predictions:
    """Of some test images.

    Attributes:
        probs: (images, classes), each row adding up to 1; the mean over the views.
        labels: the right classes, int64 (images,); -1 where nobody knows.
    """

    probs: np.ndarray
    labels: np.ndarray


def open_classifier(session: Session, softmax: str = "") -> Classifier:
    """The named softmax layer, or the first, and its labels.

    Raises:
        OptionError: there is none, or no cost.logreg compares it with labels.
    """
    graph = session.net.graph
    known = [layer.name for layer in graph.values() if layer.type_name == "softmax"]
    if not known:
        raise OptionError("the net has no softmax layer, so it predicts no classes")
    if softmax and softmax not in known:
        raise OptionError(
            f"--show-preds: the net has no softmax layer '{softmax}'; it has {', '.join(known)}"
        )
    softmax = softmax or known[0]
    costs = [
        layer
        for layer in graph.values()
        if isinstance(layer, LogregCost) and layer.inputs[1].name == softmax
    ]
    if not costs:
        raise OptionError(
            f"no cost.logreg compares softmax layer '{softmax}' with labels, so there is no right "
            f"class; name another with --show-preds"
        )
    classes = graph[softmax].shape.size
    names = list(session.test_data.label_names)
    if len(names) != classes:
        names = [str(label) for label in range(classes)]
    return Classifier(session, softmax, costs[0].labels, names)


def predict_all(classifier: Classifier) -> Iterator[tuple[int, Predictions]]:
    """Number and predictions of each batch of the test range.

    Raises:
        NonFiniteError: a cost is NaN or infinite.
    """
    session = classifier.session
    for tested in tested_batches(session, session.options.test_range):
        yield tested.number, classifier.read(tested)


@dataclass(frozen=True)
class Example:
    """A test image: its picture (height, width, channels) in 0..1, and what is said of it."""

    pixels: np.ndarray
    probs: np.ndarray
    label: int


def examples(classifier: Classifier, only_errors: bool, seed: int) -> Iterator[Example]:
    """All test images, or all that are misclassified, in a random order: batch by batch.

    Raises:
        NonFiniteError: a cost is NaN or infinite.
    """
    rng = np.random.default_rng(seed)
    session = classifier.session
    data = session.test_data
    # As few images as are likely to do: those that fill the picture, or many to find errors in.
    step = session.net.batch_size if only_errors else IMAGES
    for number in rng.permutation(session.options.test_range).tolist():
        first = data.load_view(number, 0)
        order = rng.permutation(check_batch(session.net, first, number))
        for columns in (order[start : start + step] for start in range(0, order.size, step)):
            others = (data.load_view(number, view) for view in range(1, data.num_views))
            chosen = ([matrix[:, columns] for matrix in view] for view in chain([first], others))
            found = classifier.read(test_batch(session, number, chosen))
            pictures = data.plottable(first[0][:, columns])
            for pixels, probs, label in zip(pictures, found.probs, found.labels, strict=True):
                if label >= 0 and (not only_errors or probs.argmax() != label):
                    yield Example(pixels, probs, int(label))


def draw_predictions(classifier: Classifier, only_errors: bool, seed: int, out: Path) -> str:
    """Draws random test images, each above its most probable classes; the right one is red.

    Returns: how many are right, in words.

    Raises:
        ConvnetError: no test image is misclassified, or the picture cannot be written.
        NonFiniteError: a cost is NaN or infinite.
    """
    found = list(islice(examples(classifier, only_errors, seed), IMAGES))
    if not found:
        raise ConvnetError("--only-errors: no test image is misclassified; leave it out")
    # As cuda-convnet: of several names for a class the first, which is short.
    names = [name.partition(",")[0] for name in classifier.names]
    with picture(out, 11, 8) as figure:
        grid = figure.subplots(2 * ROWS, COLUMNS, height_ratios=[2, 1] * ROWS)
        for i in range(IMAGES):
            row, column = 2 * (i // COLUMNS), i % COLUMNS
            if i < len(found):
                _draw_example(grid[row, column], grid[row + 1, column], found[i], names)
            else:
                grid[row, column].axis("off")
                grid[row + 1, column].axis("off")
    right = sum(example.probs.argmax() == example.label for example in found)
    return f"{right} of {len(found)} images are classified right"


def _draw_example(image: Axes, bars: Axes, example: Example, names: list[str]) -> None:
    pixels = example.pixels
    if pixels.shape[2] != 3:  # grey, or of channels that are no colours
        pixels = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
    image.imshow(pixels, vmin=0, vmax=1, interpolation="nearest")
    image.set_title(names[example.label], fontsize="medium")
    image.axis("off")
    best = example.probs.argsort(kind="stable")[-TOP_CLASSES:]
    colours = ["tab:red" if label == example.label else "tab:blue" for label in best]
    bars.barh(range(len(best)), example.probs[best], color=colours, alpha=0.6)
    for place, label in enumerate(best):  # over the bars, so that all images have the same size
        bars.text(0.02, place, names[label], va="center", fontsize="small")
    bars.set_xlim(0, 1)
    bars.set_xticks([])
    bars.set_yticks([])


def write_predictions(classifier: Classifier, directory: Path) -> Iterator[Path]:
    """Writes the predictions for each test batch, and a description; yields the files.

    test_preds_<n>.npz holds `predictions`, float32 (images, classes), and `labels` (images,);
    predictions.json the names of the classes.

    Raises:
        ConvnetError: a file cannot be written.
        NonFiniteError: a cost is NaN or infinite.
    """
    files = {}
    for number, found in predict_all(classifier):
        path = directory / f"test_preds_{number}.npz"
        probs = found.probs.astype(np.float32)
        write_npz(path, "predictions", predictions=probs, labels=found.labels)
        files[str(number)] = path.name
        yield path
    manifest = {
        "source_model": classifier.session.options.load_file,
        "layer": classifier.softmax,
        "label_names": classifier.names,
        "batches": files,
    }
    path = directory / "predictions.json"
    write_json(path, "predictions", manifest)
    yield path
