"""Every backend has the operations of `Ops`, no more, with the same arguments."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from convnet.geometry import Norm, Pool, Window
from convnet.neurons import Neuron
from convnet.ops.base import IN_PLACE, In, InOut, Ops, Out, RandomKey
from convnet.ops.spec.images import ChannelMatrix
from convnet.ops.spec.metric import Margins
from convnet.resampling import Resampling

OPERATIONS = sorted(Ops.__abstractmethods__)
MEMORY = {"empty", "upload", "upload_images", "download"}
# What does for every backend on the host, see convnet/ops/spec/device.py.
OF_DEVICES = {"feed", "feed_size", "packed", "scratch_size", "lend", "capture", "free_memory"}
ARRAYS = (In, In | None, Out, InOut)
NOT_ARRAYS = (
    *(Window, Pool, Norm, Resampling, ChannelMatrix, Neuron, RandomKey, Margins),
    *(int, float, bool),
)


def roles(name: str) -> dict[str, Any]:
    annotations = inspect.get_annotations(getattr(Ops, name), eval_str=True)
    annotations.pop("return")
    return annotations


def test_nothing_is_abstract(ops: Ops) -> None:
    assert not type(ops).__abstractmethods__


def test_name_and_dtype(ops: Ops) -> None:
    assert isinstance(ops.name, str)
    assert isinstance(ops.dtype, np.dtype)


@pytest.mark.parametrize("name", OPERATIONS)
def test_signatures(ops: Ops, name: str) -> None:
    def signature(function: Any) -> list[tuple[str, Any, Any]]:
        parameters = inspect.signature(function).parameters.values()
        return [(p.name, p.default, p.kind) for p in parameters]

    assert signature(getattr(type(ops), name)) == signature(getattr(Ops, name))


def test_no_public_method_of_its_own(ops: Ops) -> None:
    public = {name for name, _ in inspect.getmembers(ops, callable) if not name.startswith("_")}
    assert public == OF_DEVICES.union(OPERATIONS)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - MEMORY))
def test_every_array_argument_says_how_it_is_used(name: str) -> None:
    kinds = roles(name).values()
    assert all(kind in ARRAYS or kind in NOT_ARRAYS for kind in kinds)
    assert any(kind in (Out, InOut) for kind in kinds)


@pytest.mark.parametrize("name", sorted(IN_PLACE))
def test_in_place_operations_exist(name: str) -> None:
    source, target = IN_PLACE[name]
    assert roles(name)[source] is In
    assert roles(name)[target] is Out
