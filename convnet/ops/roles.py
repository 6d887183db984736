"""How operations say what they do with an array, and what a random number depends on."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

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
