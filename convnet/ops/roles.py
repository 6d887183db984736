"""Arguments of operations: how arrays are used, random keys, what stands in their place."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

Array = Any  # numpy.ndarray here; a device array on a GPU
In = Annotated[Any, "read"]
Out = Annotated[Any, "written"]
InOut = Annotated[Any, "read and written"]


class RandomKey(NamedTuple):
    """What a random number depends on, besides the index of its element.

    Element i of a draw is word i % 4 of Philox4x32-10 (Salmon et al., "Parallel random
    numbers: as easy as 1, 2, 3", SC 2011) with key (seed, stream) and counter
    (i // 4, minibatch, batch, epoch); as a uniform number in [0, 1) it is (word >> 8) * 2^-24.
    So every backend draws the same bits, and so does a run that was stopped and resumed.
    """

    seed: int
    stream: int
    epoch: int
    batch: int
    minibatch: int


class OnDevice(NamedTuple):
    """An argument that changes from step to step, in memory of the device.

    Attributes:
        value: the argument in another step; its sizes are the same.
        numbers: what DeviceOps.packed makes of it, float32 (count,).
    """

    value: Any
    numbers: Array


class Outline:
    """The size and shape of an array that does not exist, with views such as arrays have."""

    dtype = np.dtype(np.float32)

    def __init__(self, *shape: int) -> None:
        self.shape = shape
        self.size = prod(shape)

    def reshape(self, *shape: Any) -> Outline:
        sizes: tuple[int, ...] = shape[0] if isinstance(shape[0], tuple) else shape
        known = prod(length for length in sizes if length != -1)
        return Outline(*(self.size // known if n == -1 else n for n in sizes))

    def view(self, dtype: DTypeLike) -> Outline:
        """Also with numbers of another width: nobody reads them."""
        return self

    def __getitem__(self, part: slice) -> Outline:
        stop = self.size if part.stop is None else part.stop
        return Outline(stop - (part.start or 0))
