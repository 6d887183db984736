"""Tests that ask for `ops` run on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.ops.base import Ops
from convnet.ops.cpu import CpuOps
from convnet.ops.cuda.emulated.driver import EmulatedDriver
from convnet.ops.cuda.ops import CudaOps
from convnet.ops.reference import ReferenceOps

BACKENDS = {
    "reference-float64": lambda: ReferenceOps(np.float64),
    "reference-float32": lambda: ReferenceOps(np.float32),
    "cpu": CpuOps,
    "emulated": lambda: CudaOps(EmulatedDriver()),
}


@pytest.fixture(scope="session", params=BACKENDS)
def ops(request: pytest.FixtureRequest) -> Ops:
    return BACKENDS[request.param]()
