"""Memory, copies, and how a program runs without the host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.images import ByteImages, Source

if TYPE_CHECKING:
    from convnet.ops.base import Ops


class DeviceOps(ABC):
    """This part of Ops. What is not abstract does for a backend whose arrays are on the host.

    Attributes:
        on_device: whether arrays lie in memory of their own. Then a program is given the memory
            that operations need besides its arrays (`lend`), what comes from outside is copied
            while others compute (`feed`), and calls can be replayed (`capture`).
    """

    on_device = False

    @abstractmethod
    def empty(self, size: int) -> Array:
        """A new array of shape (size,), content undefined, aligned for vector loads."""

    @abstractmethod
    def upload(self, source: np.ndarray, target: Out) -> None:
        """Copies a host array into `target` (same shape), converting to `dtype`."""

    @abstractmethod
    def download(self, source: In) -> np.ndarray:
        """A host copy of `source`."""

    @abstractmethod
    def upload_images(self, images: ByteImages, acts: Out) -> None:
        """acts(c,y,x,n) = ((pixel - mean(c,y,x)) + colours(n,c)) * scale, (C,H,W,N).

        pixel = pixels(n, top + y, left + u, c), where u = x, or W - 1 - x if n is mirrored. Each
        operation is rounded to float32, so all backends give the same bits.
        """

    def feed(self, sources: Sequence[Source], targets: Sequence[Array]) -> None:
        """Copies from the host, as `upload` and `upload_images`, but need not wait.

        The sources may be overwritten afterwards, and operations that are called see the copies.
        """
        for source, target in zip(sources, targets, strict=True):
            if isinstance(source, ByteImages):
                self.upload_images(source, target)
            else:
                self.upload(source, target)

    def feed_size(self, sources: Sequence[Source]) -> int:
        """Numbers of staging memory that it takes to feed these."""
        return 0

    def packed(self, value: Any) -> np.ndarray | None:
        """An argument that changes from step to step, as float32 numbers (count,).

        Operations take an OnDevice in its place. None: they take it as it is.
        """
        return None

    def scratch_size(self, run: Callable[[Ops], None]) -> int:
        """Numbers of memory that the operations called by `run` need besides their arrays.

        `run` is given a backend that computes nothing, and may pass it an `Outline` as array.
        """
        return 0

    def lend(self, scratch: Array | None, staging: Array | None) -> None:  # noqa: B027
        """Memory to use from now on, of `scratch_size` and of `feed_size`.

        None takes it back.
        """

    def capture(self, run: Callable[[], None]) -> Callable[[], None] | None:
        """A function that does what the operations called by `run` would do, on the same arrays.

        Nothing is computed yet. `run` must have been called before. None if the device cannot.
        """
        return None

    def free_memory(self) -> int | None:
        """Bytes that `empty` can still give; None if nobody knows."""
        return None
