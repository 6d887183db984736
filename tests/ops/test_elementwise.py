"""Neurons, sums, maxima and copies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from convnet.neurons import Neuron, parse_neuron
from convnet.ops.base import Ops
from tests import reference
from tests.ops.check import apply, assert_close, check, numbers, tied_numbers
from tests.ops.neuron_examples import NEURONS, POSITIVE

SHAPE = (3, 2, 5, 7)
every_neuron = pytest.mark.parametrize("neuron", NEURONS, ids=str)
relu = parse_neuron("relu")
shapes = pytest.mark.parametrize("shape", [(1, 1), (5, 33), (70, 2, 1, 130)], ids=str)


def neuron_inputs(neuron: Neuron) -> np.ndarray:
    inputs = 3 * numbers(np.random.default_rng(1), *SHAPE)
    return np.abs(inputs) if neuron.kind in POSITIVE else inputs


@every_neuron
def test_neuron_fprop(ops: Ops, neuron: Neuron) -> None:
    inputs = neuron_inputs(neuron)
    expected = reference.neuron_fprop(neuron, inputs)
    check(ops, "neuron_fprop", expected, neuron=neuron, inputs=inputs)


@every_neuron
def test_neuron_bprop(ops: Ops, neuron: Neuron) -> None:
    inputs = neuron_inputs(neuron)
    acts_grad = numbers(np.random.default_rng(2), *SHAPE)
    values = reference.neuron_fprop(neuron, inputs) if neuron.from_output else inputs
    expected = reference.neuron_bprop(neuron, inputs, acts_grad)
    check(ops, "neuron_bprop", expected, neuron=neuron, values=values, acts_grad=acts_grad)


@shapes
def test_relu_of_many(ops: Ops, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    inputs, acts_grad = numbers(rng, *shape), numbers(rng, *shape)
    acts = reference.neuron_fprop(relu, inputs)
    check(ops, "neuron_fprop", acts, neuron=relu, inputs=inputs)
    expected = reference.neuron_bprop(relu, inputs, acts_grad)
    check(ops, "neuron_bprop", expected, neuron=relu, values=acts, acts_grad=acts_grad)


@pytest.mark.parametrize(
    ("text", "value", "slope"),
    [
        ("relu", 0.0, 0.0),
        ("brelu[1.5]", 0.0, 0.0),
        ("brelu[1.5]", 1.5, 0.0),
        ("abs", 0.0, -1.0),
        ("softrelu", 4.0078125, 1.0),  # an output of the formula's first branch
    ],
)
def test_slope_where_it_jumps(ops: Ops, text: str, value: float, slope: float) -> None:
    neuron = parse_neuron(text)
    check(
        ops,
        "neuron_bprop",
        np.full((1, 3), 2 * slope),
        neuron=neuron,
        values=np.full((1, 3), value),
        acts_grad=np.full((1, 3), 2.0),
    )


@pytest.mark.parametrize("text", ["relu", "brelu[1.5]", "softrelu", "abs", "tanh[1,1]"])
def test_neurons_pass_nan(ops: Ops, text: str) -> None:
    inputs = np.array([[-1.0, np.nan, 1.0]])
    got = apply(ops, "neuron_fprop", neuron=parse_neuron(text), inputs=inputs, acts=(1, 3))
    assert np.isnan(got["acts"]).tolist() == [[False, True, False]]


def test_neurons_of_large_inputs(ops: Ops) -> None:
    inputs = np.array([[-1e4, -200.0, 200.0, 1e4]])
    for text, acts in (
        ("logistic", [0, 0, 1, 1]),
        ("tanh[2,1]", [-2, -2, 2, 2]),
        ("softrelu", [0, 0, 200, 1e4]),
    ):
        got = apply(ops, "neuron_fprop", neuron=parse_neuron(text), inputs=inputs, acts=(1, 4))
        assert_close(ops, got["acts"], np.array([acts]), text)


@shapes
def test_add_scaled(ops: Ops, shape: tuple[int, ...]) -> None:
    inputs = numbers(np.random.default_rng(4), *shape)
    check(ops, "add_scaled", -2.5 * inputs, inputs=inputs, scale=-2.5)


@shapes
@pytest.mark.parametrize("draw", [numbers, tied_numbers])
def test_eltmax(ops: Ops, shape: tuple[int, ...], draw: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(5)
    first, second, acts_grad = draw(rng, *shape), draw(rng, *shape), numbers(rng, *shape)
    acts = np.where(first > second, first, second)
    check(ops, "eltmax", acts, first=first, second=second)
    for inputs in (first, second):
        expected = reference.eltmax_bprop(inputs, acts, acts_grad)
        check(ops, "eltmax_bprop", expected, inputs=inputs, acts=acts, acts_grad=acts_grad)


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize(
    ("source_shape", "source_row", "target_shape", "target_row", "rows"),
    [
        ((5, 7), 0, (9, 7), 4, 5),
        ((6, 33), 2, (3, 33), 0, 3),
        ((2, 3, 2, 5), 5, (4, 2, 1, 5), 1, 6),  # rows of activities that are not flattened
    ],
)
def test_copy_rows(
    ops: Ops,
    source_shape: tuple[int, ...],
    source_row: int,
    target_shape: tuple[int, ...],
    target_row: int,
    rows: int,
    add: bool,
) -> None:
    rng = np.random.default_rng(6)
    source, target = numbers(rng, *source_shape), numbers(rng, *target_shape)
    expected = target.copy().reshape(-1, target_shape[-1])
    for row in range(rows):
        copied = source.reshape(-1, source_shape[-1])[source_row + row]
        expected[target_row + row] = copied + add * expected[target_row + row]
    got = apply(
        ops,
        "copy_rows",
        source=source,
        source_row=source_row,
        target=target,
        target_row=target_row,
        rows=rows,
        add=add,
    )
    assert_close(ops, got["target"], expected.reshape(target_shape), "copy_rows")


@pytest.mark.parametrize(
    ("source_shape", "source_case", "target_shape", "target_case", "cases"),
    [
        ((3, 7), 2, (3, 9), 4, 5),
        ((3, 1), 0, (3, 1), 0, 1),
        ((2, 3, 2, 40), 33, (12, 7), 0, 7),
        ((5, 4), 1, (5, 4), 2, 0),
    ],
)
def test_copy_cases(
    ops: Ops,
    source_shape: tuple[int, ...],
    source_case: int,
    target_shape: tuple[int, ...],
    target_case: int,
    cases: int,
) -> None:
    rng = np.random.default_rng(6)
    source, target = numbers(rng, *source_shape), numbers(rng, *target_shape)
    expected = target.copy().reshape(-1, target_shape[-1])
    for case in range(cases):
        column = source.reshape(-1, source_shape[-1])[:, source_case + case]
        expected[:, target_case + case] = column
    got = apply(
        ops,
        "copy_cases",
        source=source,
        source_case=source_case,
        target=target,
        target_case=target_case,
        cases=cases,
    )
    assert_close(ops, got["target"], expected.reshape(target_shape), "copy_cases")
