"""Images made from images along rows and columns: cropped, mirrored, thinned, blurred, resized.

Each of these is a linear map along the height and one along the width. Such a map is a matrix: a
row for every pixel that comes out, and in it how much that pixel takes from every one that goes in.
Most numbers are zero, and those that are not lie side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Resampling:
    """acts = rows images columns^T, for every channel: images (C, H, W, N) -> acts (C, P, Q, N).

    Attributes:
        rows, columns: float64 matrices (P, H) and (Q, W).
    """

    channels: int
    rows: np.ndarray
    columns: np.ndarray

    @property
    def images_shape(self) -> tuple[int, int, int]:
        return (self.channels, self.rows.shape[1], self.columns.shape[1])

    @property
    def acts_shape(self) -> tuple[int, int, int]:
        return (self.channels, self.rows.shape[0], self.columns.shape[0])

    @property
    def transposed(self) -> Resampling:
        """From the gradient of acts to that of images."""
        return Resampling(self.channels, self.rows.T, self.columns.T)


def picked(places: Iterable[int], length: int) -> np.ndarray:
    """Pixel i comes from pixel places[i] of `length`."""
    return np.eye(length)[list(places)]


def gaussian(length: int, size: int, stdev: float) -> np.ndarray:
    """Pixel i comes from the `size` (odd) pixels around i, which fade with their distance.

    The weights exp(-distance^2 / (2 stdev^2)) are divided by their sum. Pixels that do not exist
    count as zero.
    """
    distances = np.arange(size) - size // 2
    weights = np.exp(-((distances / stdev) ** 2) / 2)
    shifted = [np.eye(length, k=int(distance)) for distance in distances]
    return np.tensordot(weights / weights.sum(), shifted, axes=1)


def bilinear(length: int, outputs: int, scale: float) -> np.ndarray:
    """Pixel i comes from place i * scale of the image, between two pixels; centre on centre.

    Places are clamped to 0 .. length - 1.01.
    """
    places = np.arange(outputs) * scale + (length - outputs * scale) / 2
    places = np.clip(places, 0, max(0, length - 1.01))
    left = places.astype(int)
    right = np.minimum(left + 1, length - 1)
    matrix, i = np.zeros((outputs, length)), np.arange(outputs)
    matrix[i, left] = 1 - (places - left)
    matrix[i, right] += places - left
    return matrix


@dataclass(frozen=True)
class RandomScale:
    """Shrinks square images by a random factor and cuts a random square out of them.

    Attributes:
        size, target: side of the images and of what is put out.
        max_scale: largest factor.
    """

    channels: int
    size: int
    target: int
    max_scale: float

    @property
    def fixed(self) -> Resampling:
        """The form for tests: always the largest factor, and the middle."""
        along = bilinear(self.size, self.target, self.max_scale)
        return Resampling(self.channels, along, along)

    def drawn(self, uniform: Sequence[float]) -> Resampling:
        """The form for training.

        The image is resized to target + k pixels. The larger it is the more squares can be cut
        out of it, so (k + 1)^2 is the chance of k; as in cuda-convnet, k runs up to what size
        itself exceeds its smallest size by. The factor is any that gives target + k, at least 1.

        Args:
            uniform: four random numbers in [0, 1): for k, the factor, and the square's row and
                column.
        """
        smallest = int(self.size / self.max_scale)
        chances = np.cumsum(np.arange(1.0, self.size - smallest + 2) ** 2)
        k = int(np.searchsorted(chances / chances[-1], uniform[0]))
        resized = self.target + k
        largest, least = self.size / resized, max(1.0, self.size / (resized + 1))
        if resized == self.size:
            whole = np.eye(self.size)
        else:
            whole = bilinear(self.size, resized, least + uniform[1] * (largest - least))
        y, x = (int(number * (k + 1)) for number in uniform[2:])
        return Resampling(self.channels, whole[y : y + self.target], whole[x : x + self.target])
