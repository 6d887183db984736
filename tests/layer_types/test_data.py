"""Data layers: which matrix, which rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.helpers import DATA, between, layer, layer_errors, make_batch, make_net

SQUARES = layer("cost", "cost.sum2", "rows")


def data(**keys: Any) -> str:
    return layer("rows", "data", **keys) + SQUARES


def test_a_whole_matrix_keeps_its_shape() -> None:
    net = make_net(data(dataIdx=0), keep=["rows"])
    assert net.graph["rows"].shape.as_tuple() == (2, 5, 7)
    matrices = make_batch()
    net.forward(matrices)
    np.testing.assert_array_equal(net.activity("rows"), matrices[0].reshape(2, 5, 7, 4))


@pytest.mark.parametrize(
    ("keys", "rows"),
    [({"start": 4, "end": 9}, slice(4, 9)), ({"start": 60}, slice(60, 70)), ({"end": 1}, slice(1))],
)
def test_some_rows_of_a_matrix(keys: dict[str, int], rows: slice) -> None:
    net = make_net(data(dataIdx=0, **keys), keep=["rows"])
    matrices = make_batch()
    costs = net.forward(matrices)
    expected = matrices[0][rows].astype(np.float64)
    assert net.graph["rows"].shape.as_tuple() == (len(expected), 1, 1)
    np.testing.assert_array_equal(net.activity("rows")[:, 0, 0], expected)
    np.testing.assert_allclose(costs["cost"], [(expected**2).sum()])


def test_labels_among_other_rows() -> None:
    """A row of a matrix serves as labels, and is checked as such."""
    labels = layer("labels", "data", dataIdx=1, start=1, end=2)
    text = between(layer("top", "fc", "below", outputs=3)).replace(
        layer("labels", "data", dataIdx=1), labels
    )
    shapes = ((2, 5, 7), (3, 1, 1))
    net = make_net(text, shapes=shapes)
    matrices = make_batch(shapes)
    matrices[1][1] = [0, 1, 2, 0]
    net.forward(matrices)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"dataIdx": 2}, "dataIdx=2, but the data have 2 matrices (0 to 1)"),
        (
            {"dataIdx": 0, "start": 9, "end": 9},
            "start=9, end=9 must select rows of a matrix with 70 rows",
        ),
        (
            {"dataIdx": 0, "end": 71},
            "start=0, end=71 must select rows of a matrix with 70 rows",
        ),
        (
            {"dataIdx": 1, "start": 1},
            "start=1, end=1 must select rows of a matrix with 1 rows",
        ),
    ],
)
def test_mistakes(keys: dict[str, int], text: str) -> None:
    assert layer_errors(data(**keys)) == [text]


def test_data_cannot_have_inputs() -> None:
    used = "".join(layer(f"of_{name}", "cost.sum2", name) for name in ("data", "more", "labels"))
    assert layer_errors(DATA + layer("more", "data", "data", dataIdx=0) + used) == [
        "type 'data' takes no inputs"
    ]
