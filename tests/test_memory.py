"""What a net takes of a device's memory, and what it says where there is too little."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from convnet import memory
from convnet.errors import DeviceError
from convnet.layer_types.base import TEST, TRAIN
from convnet.net import Net
from convnet.ops.cpu import CpuOps
from convnet.ops.cuda.cupy_driver import CupyDriver
from convnet.ops.cuda.emulated import EmulatedDriver
from convnet.ops.cuda.ops import CudaOps
from convnet.runner import Sizes
from tests.helpers import CLASSIFIER, DATA, emulated_ops, layer, make_batch, make_net
from tests.ops.cuda.fake_cupy import FakeCupy

SHAPES = ((3, 40, 40), (1, 1, 1))
DEFINITION = DATA + layer("top", "fc", "data", outputs=70, initW=0.1) + CLASSIFIER
MIB = 2**20


def new_net(ops: Any, batch_size: int = 2000) -> Net:
    return make_net(DEFINITION, shapes=SHAPES, ops=ops, batch_size=batch_size)


def limited(size: int) -> CudaOps:
    emulated_ops()  # or skips
    return CudaOps(EmulatedDriver(memory=size))


def sizes_for(images: int) -> Sizes:
    return Sizes(arena=64 * (10 + images), staging=64)


@pytest.mark.parametrize(
    ("free", "advice"),
    [
        (256 * 110, "--mini 99 fits"),
        (256 * 12, "--mini 1 fits"),
        (256 * 11, "not even one image fits: take smaller layers"),
    ],
)
def test_the_largest_minibatch_that_fits(free: int, advice: str) -> None:
    with pytest.raises(DeviceError, match=f"{advice}$"):
        memory.check(sizes_for, 100, [], free)


def test_enough_memory() -> None:
    memory.check(sizes_for, 100, [], 256 * 111)
    memory.check(sizes_for, 100, [], None)


def test_a_net_that_does_not_fit() -> None:
    weights = 2 * 4 * (4800 * 70 + 2 * 128 + 256 + 64)  # and increments, rounded to 256 bytes
    net = new_net(limited(20 * MIB))
    with pytest.raises(DeviceError) as caught:
        net.reserve(TRAIN, TEST)
    text = str(caught.value)
    assert text.startswith("out of memory on the GPU: minibatches of 2000 images need 78.9 MiB ")
    assert f" besides {weights / MIB:.1f} MiB of weights; found 17.4 MiB free; --mini " in text
    fits = int(text.split("--mini ")[1].split()[0])
    new_net(limited(20 * MIB), fits).reserve(TRAIN, TEST)
    with pytest.raises(DeviceError, match=f"--mini {fits} fits"):
        new_net(limited(20 * MIB), fits + 1).reserve(TRAIN, TEST)


def test_weights_that_do_not_fit() -> None:
    with pytest.raises(DeviceError, match=r"2\.6 MiB needed, 1\.0 MiB free; try a smaller --mini"):
        new_net(limited(MIB))


def test_a_gpu_with_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy(free=20 * MIB))
    with pytest.raises(
        DeviceError, match=r"besides 2\.6 MiB of weights; found 20\.0 MiB free; --m"
    ):
        new_net(CudaOps(CupyDriver())).reserve(TRAIN)


def test_a_net_takes_memory_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for what lasts and once for all passes; steps take none."""
    taken = []
    empty = EmulatedDriver.empty

    def counted(driver: EmulatedDriver, size: int) -> Any:
        taken.append(size)
        return empty(driver, size)

    monkeypatch.setattr(EmulatedDriver, "empty", counted)
    net = new_net(limited(100 * MIB), 16)
    net.reserve(TRAIN, TEST)
    batch = make_batch(SHAPES, 16)
    for _ in range(3):
        net.train_step(batch)
        net.forward([m[:, :9] for m in batch])
    assert len(taken) == 2
    assert net.memory_summary() == (
        f"# memory {4 * sum(taken) / MIB:.1f} MiB: weights and what lasts with them 2.6 MiB; "
        "arena 1.6 MiB, values 0.0 MiB, scratch 0.0 MiB, staging 0.3 MiB"
    )


def test_memory_on_the_cpu() -> None:
    net = new_net(CpuOps(), 16)
    net.reserve(TRAIN)
    assert net.memory_summary() == (
        "# memory 4.1 MiB: weights and what lasts with them 2.6 MiB; arena 1.6 MiB"
    )


def test_smaller_modes_share_the_memory() -> None:
    net = new_net(limited(100 * MIB), 16)
    net.reserve(TRAIN)
    before = net._runner._parts["arena"]
    net.forward(make_batch(SHAPES, 16), TEST)
    assert net._runner._parts["arena"] is before


def test_a_net_keeps_its_weights_in_place() -> None:
    """One piece, each at a multiple of 256 bytes."""
    net = new_net(CpuOps(), 1)
    starts = [b.storage.array.ctypes.data for b in net._lasting.buffers]
    assert {start % 256 for start in np.diff(starts)} == {0}
