"""Memory, copies that overlap with kernels, and replays of what was called.

A step needs numbers from the host: data, and values such as learning rates. They go one after the
other into page-locked host memory, from there by one copy into staging memory on the device,
beside whatever kernels are running, and by kernels to where they belong. So the host fills the
one while the device works on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from convnet.ops.cuda.driver import Constant, Driver, Event, Kernel
from convnet.ops.cuda.images_ops import CudaImageOps
from convnet.ops.cuda.packing import image_words, packed
from convnet.ops.roles import Array, In, Out, Outline
from convnet.ops.spec.device import DeviceOps
from convnet.ops.spec.images import ByteImages, Source


class CudaDeviceOps(CudaImageOps, DeviceOps):
    """This part of CudaOps."""

    on_device = True

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._staging: Array | None = None
        self._pinned = np.empty(0, np.float32)
        self._copied: Event | None = None  # `_pinned` to `_staging`
        self._taken: Event | None = None  # from `_staging` to where it belongs

    def empty(self, size: int) -> Array:
        return self._driver.empty(size)

    def upload(self, source: np.ndarray, target: Out) -> None:
        self._driver.upload(source, target)

    def download(self, source: In) -> np.ndarray:
        return self._driver.download(source)

    def feed(self, sources: Sequence[Source], targets: Sequence[Array]) -> None:
        words = [_words(source) for source in sources]
        total = sum(array.size for array in chain(*words))
        if self._copied is not None:
            self._driver.finish(self._copied)
        if self._pinned.size < total:
            self._pinned = self._driver.pinned(total)
        start = 0
        for array in chain(*words):
            part = self._pinned[start : start + array.size]
            np.copyto(part.reshape(array.shape), array)
            start += array.size
        assert self._staging is not None
        arriving = self._staging[:total]
        self._copied = self._driver.start_upload(self._pinned[:total], arriving, self._taken)
        self._driver.wait(self._copied)
        start = 0
        for source, arrays, target in zip(sources, words, targets, strict=True):
            arrived = []
            for array in arrays:
                arrived.append(arriving[start : start + array.size])
                start += array.size
            if isinstance(source, ByteImages):
                self._prepare(source, arrived, target)
            else:
                size = target.size
                self._numbers("elementwise", "copy_cases", size, *arrived, size, target, size, size)
        self._taken = self._driver.record()

    def feed_size(self, sources: Sequence[Source]) -> int:
        return sum(array.size for source in sources for array in _words(source))

    def packed(self, value: Any) -> np.ndarray | None:
        return packed(value)

    def lend(self, scratch: Array | None, staging: Array | None) -> None:
        self._held = scratch
        if staging is not self._staging:
            self._staging = staging
            self._taken = self._driver.record()  # kernels may still use what was there before

    def capture(self, run: Callable[[], None]) -> Callable[[], None] | None:
        return self._driver.capture(run)

    def wait(self) -> None:
        self._driver.synchronize()

    def free_memory(self) -> int | None:
        return self._driver.free_memory()


def _words(source: Source) -> list[np.ndarray]:
    """What goes to the device."""
    return image_words(source) if isinstance(source, ByteImages) else [source]


class DryDriver:
    """A device that does nothing, to see what operations ask of one; its arrays are Outlines."""

    name = "dry"

    def __init__(self, arch: int, multiprocessors: int) -> None:
        self.arch = arch
        self.multiprocessors = multiprocessors

    def empty(self, size: int, dtype: DTypeLike = np.float32) -> Outline:
        return Outline(size)

    def upload(self, source: np.ndarray, target: Array) -> None:
        pass

    def download(self, source: Array) -> np.ndarray:
        return np.zeros(source.shape, np.float32)

    def kernel(self, file: str, name: str, **constants: Constant) -> Kernel:
        return _start_nothing

    def synchronize(self) -> None:
        pass

    def free_memory(self) -> int:
        return 2**60

    def pinned(self, size: int) -> np.ndarray:
        return np.empty(size, np.float32)

    def start_upload(self, source: np.ndarray, target: Array, after: Event | None) -> Event:
        return None

    def wait(self, event: Event) -> None:
        pass

    def record(self) -> Event:
        return None

    def finish(self, event: Event) -> None:
        pass

    def capture(self, run: Callable[[], None]) -> None:
        return None


def _start_nothing(
    grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared: int = 0
) -> None:
    pass
