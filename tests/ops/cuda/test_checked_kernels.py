"""No checker of the emulated device finds anything in the kernels that come with the program.

A step of a small net of each layer type runs each kernel, with sums in parts, groups of 32 images
that are not full, and several blocks of everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from convnet.layer_types.base import TRAIN
from convnet.ops.cuda.driver import Constant
from convnet.ops.cuda.emulated.driver import EmulatedDriver
from convnet.ops.cuda.emulated.launch import EmulatedKernel
from convnet.ops.cuda.ops import CudaOps
from convnet.precision import Precision
from convnet.resources import find_folder
from convnet.updates import Updates
from tests.helpers import BELOW, emulated_ops, layer, make_batch, make_net
from tests.layer_types.test_every_type import COSTS, LAYERS, MATRICES
from tests.ops.neuron_examples import NEURONS
from tests.ops.test_upload_images import byte_images

pytestmark = pytest.mark.slow

CASES, QUADS = 33, 36  # copies of 16 bytes need a multiple of four
FILTERS = {"channels": 2, "filters": 2, "filterSize": 3, "padding": 1, "initW": 0.3}
# Two layers of the same sizes, so that what is compiled serves for both.
CONVOLUTIONS = (
    layer("data", "data", dataIdx=0)
    + layer("below", "conv", "data", **FILTERS)
    + layer("top", "conv", "below", **FILTERS)
    + layer("cost", "cost.sum2", "top")
)


class NotingDriver(EmulatedDriver):
    """Remembers which kernels ran."""

    def __init__(self, mode: str) -> None:
        super().__init__(mode)
        self.used: set[tuple[str, str]] = set()

    def kernel(self, file: str, name: str, **constants: Constant) -> EmulatedKernel:
        self.used.add((file, name))
        return super().kernel(file, name, **constants)

    def unused(self) -> set[tuple[str, str]]:
        """Of the files of which a kernel ran."""
        built = self._libraries.items()
        return {(key[0], name) for key, (_, names) in built for name in names} - self.used


def summed(layers: str) -> str:
    """A net of `layers` on `below` without a classifier, so that no product is needed for it."""
    return layer("data", "data", dataIdx=0) + BELOW + layers + layer("cost", "cost.sum2", "top")


def nets() -> Iterator[str]:
    yield from map(summed, LAYERS.values())
    yield from COSTS.values()
    for neuron in NEURONS:
        yield summed(layer("top", "neuron", "below", neuron=neuron))
    yield summed(layer("top", "pool", "below", pool="avg", channels=4, sizeX=3, stride=2))
    yield COSTS["cost.logreg"] + layer("second", "cost.logreg", "labels,probs")


def step(
    ops: CudaOps,
    text: str,
    cases: int = CASES,
    *,
    keep: bool = False,
    extra: str = "",
    **given: Any,
) -> None:
    """Forward, backward and update; `keep` leaves cost and softmax apart."""
    extra = f"[below]\nwball=0.5\n{extra}"
    net = make_net(text, extra, shapes=MATRICES, ops=ops, batch_size=cases, **given)
    net.keep(*(name for name, layer in net.graph.items() if layer.has_output and keep))
    images, labels, targets, weight = make_batch(MATRICES, cases)
    targets = (targets > 0).astype(np.float32)
    net.forward([images, labels, targets, abs(weight)], TRAIN)
    net.backward()


@pytest.mark.parametrize("mode", ["check", "sanitize"])
def test_nothing_is_found(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    emulated_ops()  # or skips
    driver = NotingDriver(mode)
    ops = CudaOps(driver)
    for text in nets():
        step(ops, text)
    for text in COSTS.values():
        step(ops, text, keep=True)
    step(ops, COSTS["cost.margin"], extra="[cost]\nsampleRate=0.5\n", updates=Updates(clip_norm=1))
    for precision in Precision:
        step(CudaOps(driver, precision), CONVOLUTIONS, QUADS)
    images = byte_images(CASES, (9, 8, 3), (5, 6))
    ops.upload_images(images, ops.empty(images.shape[0] * CASES))
    monkeypatch.setattr(CudaOps, "_is_for_points", lambda self, c: True)
    step(ops, summed(layer("top", "conv", "below", **FILTERS | {"channels": 4, "filters": 4})))
    files = {path.stem for path in find_folder("kernels").glob("*.cu")}
    assert {file for file, _ in driver.used} == files
    assert not driver.unused()
