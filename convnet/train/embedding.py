"""Features of any pictures: what a layer says of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from convnet.net import Net
from data_providers.base import DataProvider
from data_providers.byte_images import ByteImages


def embed(
    net: Net, data: DataProvider, layer: str, files: Sequence[Path], *, flip: bool
) -> np.ndarray:
    """The output of a layer for each picture, float32 (files, numbers).

    Args:
        data: prepares the pictures, as those of its test batches; other matrices are 0.
        layer: its output is kept, see Net.keep.
        flip: add the output for the mirrored picture, as ArcFace's authors do.

    Raises:
        DataError: a picture cannot be read or has another size than those of the data.
        NonFiniteError: a cost is NaN or infinite.
    """
    parts = []
    for start in range(0, len(files), net.batch_size):
        images = data.prepare(files[start : start + net.batch_size])
        views = [images, _mirrored(images)] if flip else [images]
        parts.append(sum(_features(net, data, layer, view) for view in views))
    return np.concatenate(parts)


def _features(net: Net, data: DataProvider, layer: str, images: ByteImages) -> np.ndarray:
    cases = images.shape[1]
    others = [np.zeros((int(np.prod(shape)), cases), np.float32) for shape in data.shapes[1:]]
    net.finite_costs([images, *others])
    return net.activity(layer).reshape(-1, cases).T.astype(np.float32)


def _mirrored(images: ByteImages) -> ByteImages:
    return replace(images, places=images.places ^ np.array([0, 0, 1], np.int32))
