"""Small kernels of the tests' own, and drivers to run them."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from convnet.ops.cuda.emulated import EmulatedDriver
from convnet.ops.cuda.emulated.arrays import DeviceArray
from convnet.ops.cuda.emulated.build import COMPILER

SOURCES = Path(__file__).parent / "kernels"


@cache
def make_driver(mode: str = "fast", schedule: str = "forward", arch: int = 80) -> EmulatedDriver:
    """One for all tests, since it keeps its kernels; skips the test where g++ is missing."""
    if shutil.which(COMPILER) is None:
        pytest.skip(f"the emulated device compiles kernels by {COMPILER}, which is not installed")
    return EmulatedDriver(mode, schedule, arch, SOURCES)


def on(driver: EmulatedDriver, values: np.ndarray) -> DeviceArray:
    """A device array with these values."""
    array = driver.empty(values.size)
    driver.upload(values, array)
    return array.reshape(values.shape)
