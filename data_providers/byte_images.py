"""Images that stay bytes until they are where the net runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_providers.errors import DataError


@dataclass(frozen=True, eq=False)
class ByteImages:
    """Stands for a float32 matrix (channels * height * width, cases) and takes a quarter of it.

    The number of channel c, row y, column x and case n is

        ((pixels[n, top + y, left + u, c] - mean[c, y, x]) + colours[n, c]) * scale

    in float32, rounded after each operation, with (top, left, mirrored) = places[n] and u = x, or
    width - 1 - x if mirrored. A net computes it as it uploads the images. `shape`, `ndim`, `dtype`,
    `[:, cases]` and `numpy.asarray` are as of the matrix.

    pixels:  uint8 (cases, rows, columns, channels), C-contiguous
    places:  int32 (cases, 3): where the crop begins, and 1 if it is mirrored, else 0
    mean:    float32 (channels, height, width)
    colours: float32 (cases, channels)

    Raises: DataError if the arrays are others, or a crop does not lie in its image.
    """

    pixels: NDArray[np.uint8]
    places: NDArray[np.int32]
    mean: NDArray[np.float32]
    colours: NDArray[np.float32]
    scale: float = 1.0

    def __post_init__(self) -> None:
        cases, rows, columns, channels = self.pixels.shape
        height, width = self.mean.shape[1:]
        arrays = (self.pixels, self.places, self.mean, self.colours)
        found = [(array.dtype.name, array.shape) for array in arrays]
        expected = [
            ("uint8", (cases, rows, columns, channels)),
            ("int32", (cases, 3)),
            ("float32", (channels, height, width)),
            ("float32", (cases, channels)),
        ]
        if found != expected or not all(array.flags.c_contiguous for array in arrays):
            raise DataError(
                f"ByteImages: expected C-contiguous pixels, places, mean, colours {expected};"
                f" found {found}"
            )
        fits = (self.places >= 0) & (self.places <= (rows - height, columns - width, 1))
        if not fits.all():
            case = int(fits.all(axis=1).argmin())
            raise DataError(
                f"ByteImages: case {case}: expected a crop of {height}x{width} within"
                f" {rows}x{columns} pixels, mirrored 0 or 1; found {self.places[case].tolist()}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        return self.mean.size, len(self.pixels)

    @property
    def ndim(self) -> int:
        return 2

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def __getitem__(self, key: tuple[slice, slice | NDArray[np.intp]]) -> ByteImages:
        """Some of the cases: images[:, cases]."""
        every_row, cases = key
        if every_row != slice(None):
            raise IndexError("of ByteImages only cases can be taken: images[:, cases]")
        return ByteImages(
            self.pixels[cases], self.places[cases], self.mean, self.colours[cases], self.scale
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The matrix, made anew."""
        crops = self.crops().transpose(3, 1, 2, 0)
        numbers = np.subtract(crops, self.mean[..., np.newaxis], order="C")
        numbers += self.colours.T[:, np.newaxis, np.newaxis]
        numbers *= np.float32(self.scale)
        return numbers.reshape(self.shape).astype(dtype or np.float32, copy=False)

    def crops(self) -> NDArray[np.uint8]:
        """What is seen of the images, (cases, height, width, channels)."""
        _, height, width = self.mean.shape
        top, left, mirrored = self.places.T[..., np.newaxis]
        across = np.arange(width)
        y, x = top + np.arange(height), left + np.where(mirrored, across[::-1], across)
        cases = np.arange(len(self.pixels))[:, np.newaxis, np.newaxis]
        seen: NDArray[np.uint8] = self.pixels[cases, y[:, :, np.newaxis], x[:, np.newaxis]]
        return seen


#: What `load` gives for each entry of `shapes`.
Matrix = NDArray[np.float32] | ByteImages
