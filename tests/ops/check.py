"""Runs one operation of a backend and compares what it wrote with what it should have written."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from convnet.ops.base import IN_PLACE, In, InOut, Ops, Out

# Relative to the largest expected number: room for sums of some 1000 terms in another order.
TOLERANCE = {np.dtype(np.float64): 1e-11, np.dtype(np.float32): 1e-5}


def numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Normal numbers that every dtype holds exactly, so that backends get the same input."""
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def tied_numbers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """A few different numbers, so that many are equal."""
    return rng.integers(-2, 3, shape) / 2


def uploaded(ops: Ops, source: np.ndarray) -> Any:
    target = ops.empty(source.size).reshape(source.shape)
    ops.upload(source, target)
    return target


def apply(ops: Ops, name: str, *, shared: str = "", **arguments: Any) -> dict[str, np.ndarray]:
    """Calls the operation `name`; returns what it wrote, by argument.

    Arrays are uploaded first. An output is given by its shape, or as an array where the former
    content matters. `shared` names an output to be the same array as the input of IN_PLACE.
    Asserts that inputs stay as they were.
    """
    roles = inspect.get_annotations(getattr(Ops, name), eval_str=True)
    device = dict(arguments)
    for key, value in arguments.items():
        if isinstance(value, np.ndarray):
            device[key] = uploaded(ops, value)
        elif roles[key] is Out:
            device[key] = ops.empty(int(np.prod(value))).reshape(value)
    if shared:
        device[shared] = device[IN_PLACE[name][0]]
    read = [key for key, value in device.items() if roles[key] in (In, In | None)]
    before = {key: ops.download(device[key]) for key in read if device[key] is not None}

    getattr(ops, name)(**device)

    for key, value in before.items():
        if not shared or device[key] is not device[shared]:
            np.testing.assert_array_equal(ops.download(device[key]), value, f"{name} wrote {key}")
    return {
        key: ops.download(device[key]).astype(np.float64)
        for key in arguments
        if roles[key] in (Out, InOut)
    }


def assert_close(ops: Ops, got: np.ndarray, expected: np.ndarray, what: str) -> None:
    tolerance = TOLERANCE[ops.dtype]
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale, err_msg=what)


def check(ops: Ops, name: str, expected: np.ndarray, **arguments: Any) -> None:
    """Asserts that `name` writes `expected`: alone, with add=True, and in place.

    For operations with one output, which is not among `arguments`; not for those that have a
    neuron after what they add.
    """
    roles = inspect.get_annotations(getattr(Ops, name), eval_str=True)
    (output,) = (key for key, role in roles.items() if role is Out)
    got = apply(ops, name, **arguments, **{output: expected.shape})
    assert_close(ops, got[output], expected, name)

    if "add" in roles:
        held = numbers(np.random.default_rng(0), *expected.shape)
        got = apply(ops, name, **arguments, **{output: held}, add=True)
        assert_close(ops, got[output], held + expected, f"{name} with add=True")

    if name in IN_PLACE:
        got = apply(ops, name, **arguments, **{output: expected.shape}, shared=output)
        assert_close(ops, got[output], expected, f"{name} in place")
