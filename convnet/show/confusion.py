"""Which classes a net takes for which."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convnet.show.figures import picture
from convnet.show.predictions import Classifier, predict_all

WORST = 20
LABELLED = 30  # with more classes their names would overlap
COUNTED = 15  # and the counts even sooner


def confusion_matrix(classifier: Classifier) -> np.ndarray:
    """Counts of the test images, int64 (right class, predicted class).

    Raises:
        NonFiniteError: a cost is NaN or infinite.
    """
    classes = len(classifier.names)
    counts = np.zeros((classes, classes), np.int64)
    for _, found in predict_all(classifier):
        known = found.labels >= 0
        np.add.at(counts, (found.labels[known], found.probs[known].argmax(axis=1)), 1)
    return counts


def confusion_table(counts: np.ndarray, names: list[str]) -> str:
    """The error of all, of the classes (the worst ones first) and the worst confusions.

    Args:
        counts: see confusion_matrix.
        names: of the classes.
    """
    images = counts.sum(axis=1)
    errors = images - counts.diagonal()
    rates = errors / np.maximum(images, 1)
    order = np.lexsort((-errors, -rates))
    order = order[images[order] > 0][:WORST]
    width = max([len("class"), *(len(names[i]) for i in order)])
    lines = [f"{'class':{width}} {'images':>8} {'errors':>8} {'error':>8}"]
    lines += [f"{names[i]:{width}} {images[i]:8} {errors[i]:8} {rates[i]:8.2%}" for i in order]
    hidden = int(np.count_nonzero(images)) - len(order)
    lines += [f"... and {hidden} classes with fewer errors"] if hidden else []
    total = int(images.sum())
    lines.append(f"{'all':{width}} {total:8} {errors.sum():8} {errors.sum() / total:8.2%}")
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    worst = np.argsort(-wrong, axis=None, kind="stable")[:WORST]
    confusions = [(i, j) for i, j in (divmod(k, len(names)) for k in worst) if wrong[i, j]]
    if confusions:
        lines += ["", "most frequent confusions"]
        lines += [f"{wrong[i, j]:8}  {names[i]} taken for {names[j]}" for i, j in confusions]
    return "\n".join(lines)


def draw_confusion(counts: np.ndarray, names: list[str], out: Path) -> None:
    """Draws for each class, in a row, what share of its images is taken for which class.

    Raises:
        ConvnetError: the picture cannot be written.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with picture(out, 7.5, 6.5) as figure:
        axes = figure.subplots()
        shown = axes.imshow(shares, "Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        figure.colorbar(shown, label="share of the class")
        axes.set_xlabel("predicted class")
        axes.set_ylabel("right class")
        if len(names) > LABELLED:
            return
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        if len(names) <= COUNTED:
            for (i, j), share in np.ndenumerate(shares):
                if counts[i, j]:
                    colour = "white" if share > 0.5 else "black"
                    axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=colour)
