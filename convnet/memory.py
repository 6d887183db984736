"""What a net needs of a device's memory, and what fits where there is less."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from convnet.errors import DeviceError
from convnet.plan import Buffer
from convnet.runner import Sizes, bytes_of


def check(
    sizes_for: Callable[[int], Sizes], batch_size: int, lasting: Iterable[Buffer], free: int | None
) -> None:
    """Checks that passes fit into the memory.

    Args:
        sizes_for: what passes of minibatches of a number of images need.
        lasting: weights and what belongs to them, which are there already.
        free: bytes that are left; None: nobody knows.

    Raises:
        DeviceError: they do not; says which minibatches would.
    """
    needed = bytes_of(sizes_for(batch_size))
    if free is None or needed <= free:
        return
    fits, too_many = 0, batch_size
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if bytes_of(sizes_for(middle)) <= free:
            fits = middle
        else:
            too_many = middle
    advice = f"--mini {fits} fits" if fits else "not even one image fits: take smaller layers"
    raise DeviceError(
        f"out of memory on the GPU: minibatches of {batch_size} images need {_mib(needed)} besides "
        f"{_mib(_bytes_of(lasting))} of weights; found {_mib(free)} free; {advice}"
    )


def summary(lasting: Iterable[Buffer], sizes: Sizes) -> str:
    """One line: both pieces of memory that a net takes, and what is in them."""
    parts = ", ".join(
        f"{name} {_mib(bytes_of([size]))}"
        for name, size in zip(Sizes._fields, sizes, strict=True)
        if size
    )
    first = _bytes_of(lasting)
    return (
        f"# memory {_mib(first + bytes_of(sizes))}: weights and what lasts with them "
        f"{_mib(first)}; {parts}"
    )


def _bytes_of(buffers: Iterable[Buffer]) -> int:
    return bytes_of(buffer.storage.size for buffer in buffers)


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
