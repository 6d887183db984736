"""The gradients of layers and costs of nets that compare images, as a table.

`python -m tests.layer_types.test_gradient_table` writes it to docs/gradients.md.
"""

from __future__ import annotations

import re
from math import ceil, log10
from pathlib import Path
from typing import NamedTuple

import pytest

from convnet.train.gradcheck import Agreement, check_gradients
from tests.helpers import BELOW, CLASSES, DATA, between, layer, make_batch, make_net

DOC = Path(__file__).parents[2] / "docs" / "gradients.md"
CASES = 6


class Checked(NamedTuple):
    """A net with the layer `kind` in it, and what is set in its section of the parameter file."""

    kind: str
    keys: str
    net: str
    extra: str = ""


def _layer(kind: str, keys: str = "", **given: object) -> Checked:
    return Checked(kind, keys, between(layer("top", kind, "below", **given)))


def _cost(kind: str, keys: str = "", *, below: str = "", inputs: str, **given: object) -> Checked:
    net = DATA + BELOW + below + layer("top", kind, inputs, **given)
    return Checked(kind, keys, net, f"[top]\n{keys}".replace(", ", "\n"))


COSINES = layer("scores", "cosfc", "below", outputs=CLASSES, initW=0.1)
UNITS = layer("units", "l2norm", "below")
# Not right above a convolution: batch normalisation takes its biases away, which would be 0 / 0.
NORMALIZED = between(
    layer("mid", "neuron", "below", neuron="softrelu") + layer("top", "batchnorm", "mid")
)
POOL = {"channels": 4, "stride": 1}

CHECKED = [
    _layer("prelu"),
    _layer("l2norm"),
    _layer("cosfc", outputs=5, initW=0.3),
    *(
        Checked("batchnorm", keys, NORMALIZED, f"[top]\n{keys}\n")
        for keys in ("", "frozen = true", "epsW = 0")
    ),
    _layer("pool", "pool = l2, sizeX = 3", pool="l2", sizeX=3, **POOL),
    _layer("pool", "pool = l2, sizeX = 0", pool="l2", sizeX=0, **POOL),
    _layer("pool", "pool = avg, sizeX = 0", pool="avg", sizeX=0, **POOL),
    Checked("eltsum", "", between(layer("top", "eltsum", "below,below"))),
    Checked(
        "concat",
        "",
        between(
            layer("mean", "pool", "below", pool="avg", sizeX=2, **POOL)
            + layer("length", "pool", "below", pool="l2", sizeX=2, **POOL)
            + layer("top", "concat", "mean,length")
        ),
    ),
    *(
        _cost("cost.margin", keys, below=COSINES, inputs="labels,scores")
        for keys in (
            "m2 = 0",
            "m2 = 0.5",
            "m2 = 0, m3 = 0.35",
            "m1 = 1.35, m2 = 0",
            "m1 = 1.2, m2 = 0.3, m3 = 0.2, scale = 16, smoothing = 0.1",
        )
    ),
    *(
        _cost("cost.triplet", f"negatives = {kind}, margin = 1", below=UNITS, inputs="labels,units")
        for kind in ("violating", "semihard")
    ),
    _cost("cost.contrastive", "margin = 1", below=UNITS, inputs="labels,units"),
    _cost("cost.center", inputs="labels,below", classes=CLASSES),
]


def agreements(checked: Checked) -> list[Agreement]:
    """Of all matrices, after a step of training, which moves centers and running averages."""
    net = make_net(checked.net, checked.extra, batch_size=CASES)
    matrices = make_batch(cases=CASES)
    matrices[1][:] = 0, 0, 1, 1, 2, 2
    net.train_step(matrices)
    return list(check_gradients(net, matrices))


def head(checked: Checked) -> str:
    """A line of the table without its last column."""
    keys = ", ".join(f"`{key}`" for key in checked.keys.split(", ") if key)
    return f"| {checked.kind} | {keys} | "


def row(checked: Checked) -> str:
    """A line of the table; the error is rounded up to a power of ten above twice its size."""
    error = max(result.error for result in agreements(checked))
    return f"{head(checked)}1e{ceil(log10(2 * error))} |"


@pytest.mark.parametrize("checked", CHECKED, ids=lambda checked: f"{checked.kind} {checked.keys}")
def test_table_is_true(checked: Checked) -> None:
    start = head(checked)
    (line,) = (line for line in DOC.read_text().splitlines() if line.startswith(start))
    bound = float(line.removeprefix(start).removesuffix(" |"))
    assert bound < 1e-6
    for result in agreements(checked):
        assert result.numeric > 1e-6, result.name
        assert result.error <= bound, result.name


def document() -> str:
    """The text of docs/gradients.md."""
    lines = [
        "# Gradients",
        "",
        "<!-- Written by `python -m tests.layer_types.test_gradient_table`; a test compares. -->",
        "",
        "Layers and costs of [nets that compare images](metric-learning.md), each in a small net:",
        "a convolution, the layer, and a classifier if it is no cost. For every matrix of the net",
        "the gradient is compared with central differences in float64, along a random direction",
        "and in six single numbers, as `--check-grads 1` does for any net. The last column bounds",
        "the relative error of these seven together, for the worst matrix. A test repeats it.",
        "",
        "| layer | keys | error below |",
        "| --- | --- | --- |",
        *(row(checked) for checked in CHECKED),
    ]
    return "\n".join(lines) + "\n"


def test_nothing_else_is_in_the_table() -> None:
    rows = [line for line in DOC.read_text().splitlines() if re.match(r"\| (?!layer|---)", line)]
    assert len(rows) == len(CHECKED)


if __name__ == "__main__":
    DOC.write_text(document())
