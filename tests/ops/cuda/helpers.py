"""Small kernels of the tests' own, and drivers to run them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convnet.ops.cuda.emulated import EmulatedDriver
from convnet.ops.cuda.emulated.arrays import DeviceArray

SOURCES = Path(__file__).parent / "kernels"


def make_driver(mode: str = "fast", schedule: str = "forward", **arguments) -> EmulatedDriver:
    return EmulatedDriver(mode, schedule, **{"sources": SOURCES} | arguments)


def on(driver: EmulatedDriver, values: np.ndarray) -> DeviceArray:
    """A device array with these values."""
    array = driver.empty(values.size)
    driver.upload(values, array)
    return array.reshape(values.shape)
