"""Tests that ask for `ops` run on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.ops.base import Ops
from convnet.ops.cpu import CpuOps
from convnet.ops.reference import ReferenceOps
from tests.helpers import emulated_ops

BACKENDS = {
    "reference-float64": lambda: ReferenceOps(np.float64),
    "reference-float32": lambda: ReferenceOps(np.float32),
    "cpu": CpuOps,
    "emulated": emulated_ops,
}


@pytest.fixture(scope="session", params=BACKENDS)
def ops(request: pytest.FixtureRequest) -> Ops:
    return BACKENDS[request.param]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks cases that are slow on the emulated device: those that are not in the module's QUICK.

    Every geometry of a convolution needs kernels of its own, compiled for a second or two.
    """
    for item in items:
        given = getattr(getattr(item, "callspec", None), "params", {})
        quick = getattr(getattr(item, "module", None), "QUICK", None)
        if quick and given.get("ops") == "emulated" and given.get("case", quick[0]) not in quick:
            item.add_marker(pytest.mark.slow)
