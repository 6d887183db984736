"""Random sparse connectivity of convolutions: which channels each group of filters sees.

As in the first cuda-convnet: the groups take `filterChannels` channels each, in turn, from random
permutations of all channels put one after another.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from convnet.errors import ShapeError
from convnet.ops.base import RandomKey
from convnet.ops.philox import uniform


def check_sparse(channels: int, groups: int, filter_channels: int) -> None:
    """Raises: ShapeError if channels cannot be dealt out so that all are seen equally often."""
    if groups == 1:
        raise ShapeError("randSparse needs more than one group; found groups=1")
    if not filter_channels or channels % filter_channels or (groups * filter_channels) % channels:
        raise ShapeError(
            f"randSparse needs channels to be a multiple of filterChannels, and groups * "
            f"filterChannels a multiple of channels; found channels={channels}, "
            f"groups={groups}, filterChannels={filter_channels}"
        )


def draw_connections(layer: str, index: int, channels: int, count: int) -> tuple[int, ...]:
    """Permutations of the channels, `count` numbers in all, drawn from the layer's name.

    They do not depend on the run's seed: the same layer files always mean the same net.
    """
    stream = zlib.crc32(layer.encode())
    permutations = [
        np.argsort(uniform(RandomKey(0, stream, index, i, 0), channels), kind="stable")
        for i in range(count // channels)
    ]
    return tuple(int(channel) for channel in np.concatenate(permutations))


def split_connections(
    given: Sequence[int], counts: Sequence[int], channels: Sequence[int]
) -> Iterator[tuple[int, ...]]:
    """The connections of each input, of the inputs' lists that stand one after another.

    Args:
        counts: numbers of each input; 0 if its connectivity is not random.
        channels: of each input.

    Raises:
        ShapeError: wrong length, or a run of `channels` numbers that is no permutation.
    """
    if len(given) != sum(counts):
        raise ShapeError(
            f"filterConns must have groups * filterChannels numbers for each input with "
            f"randSparse, {sum(counts)} in all; found {len(given)}"
        )
    start = 0
    for count, size in zip(counts, channels, strict=True):
        own = tuple(given[start : start + count])
        for first in range(0, count, size):
            if sorted(own[first : first + size]) != list(range(size)):
                raise ShapeError(
                    f"filterConns: numbers {start + first} to {start + first + size - 1} must be "
                    f"the channels 0 to {size - 1}, each once; "
                    f"found {','.join(map(str, own[first : first + size]))}"
                )
        start += count
        yield own
