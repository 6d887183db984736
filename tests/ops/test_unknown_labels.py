"""Images without a label: as if they were not there, and without a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convnet.ops.base import Ops
from convnet.ops.spec.metric import Margins
from tests.ops.check import apply, assert_close, numbers

ROWS, N = 5, 37
VALUES: dict[str, dict[str, Any]] = {
    "logreg_cost": {"top": 2, "values": (3,)},
    "margin_cost": {"margins": Margins(1, 0.5, 0, 16, 0.1), "top": 2, "values": (3,)},
    "center_cost": {"values": (2,)},
}
GRADIENTS: dict[str, dict[str, Any]] = {
    "logreg_bprop": {"coeff": 0.75},
    "softmax_logreg_bprop": {"coeff": 0.75},
    "margin_bprop": {"margins": Margins(1, 0.5, 0, 16, 0.1), "coeff": 0.75},
    "center_bprop": {"coeff": 0.75},
}


def data_of(name: str) -> tuple[str, dict[str, np.ndarray], np.ndarray]:
    """The argument that is a column for each image, all arrays, and which images have a label."""
    rng = np.random.default_rng(1)
    labels = rng.integers(-1, ROWS, (1, N)).astype(np.float64)
    columns = np.abs(numbers(rng, ROWS, N)) / 5
    kind = name.rpartition("_")[0]
    argument = {"margin": "cosines", "center": "inputs"}.get(kind, "probs")
    arrays = {"labels": labels, argument: columns}
    if kind == "center":
        arrays["centers"] = numbers(rng, ROWS, ROWS)
    return argument, arrays, labels.reshape(-1) >= 0


def those(arrays: dict[str, np.ndarray], known: np.ndarray) -> dict[str, np.ndarray]:
    return {n: a if n == "centers" else a[:, known] for n, a in arrays.items()}


@pytest.mark.parametrize("name", VALUES)
def test_values(ops: Ops, name: str) -> None:
    _, arrays, known = data_of(name)
    assert 0 < known.sum() < N
    expected = apply(ops, name, **those(arrays, known), **VALUES[name])["values"]
    assert_close(ops, apply(ops, name, **arrays, **VALUES[name])["values"], expected, name)
    nobody = arrays | {"labels": np.full((1, N), -1.0)}
    assert not apply(ops, name, **nobody, **VALUES[name])["values"].any()


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(ops: Ops, name: str, add: bool) -> None:
    argument, arrays, known = data_of(name)
    target, before = f"{argument}_grad", numbers(np.random.default_rng(2), ROWS, N)
    if name == "softmax_logreg_bprop":
        target = "inputs_grad"
    arguments = GRADIENTS[name] | {"add": add}
    given = before if add else (ROWS, N)
    got = apply(ops, name, **arrays, **arguments, **{target: given})[target]
    given = before[:, known] if add else (ROWS, int(known.sum()))
    expected = apply(ops, name, **those(arrays, known), **arguments, **{target: given})[target]
    assert_close(ops, got[:, known], expected, name)
    np.testing.assert_array_equal(got[:, ~known], before[:, ~known] if add else 0)


def test_softmax_with_logreg(ops: Ops) -> None:
    """Probabilities of images without a label are computed all the same."""
    _, arrays, _ = data_of("logreg_cost")
    inputs, labels = arrays["probs"], arrays["labels"]
    acts = apply(ops, "softmax_fprop", inputs=inputs, acts=(ROWS, N))["acts"]
    expected = apply(ops, "logreg_cost", labels=labels, probs=acts, top=2, values=(3,))["values"]
    common = {"labels": labels, "inputs": inputs, "top": 2, "acts": (ROWS, N), "values": (3,)}
    got = apply(ops, "softmax_logreg_fprop", **common)
    np.testing.assert_array_equal(got["acts"], acts)
    np.testing.assert_array_equal(got["values"], expected)


def test_centers_stay(ops: Ops) -> None:
    _, arrays, known = data_of("center_cost")
    expected = apply(ops, "center_track", **those(arrays, known), rate=0.5)["centers"]
    got = apply(ops, "center_track", **arrays, rate=0.5)["centers"]
    assert_close(ops, got, expected, "centers")
