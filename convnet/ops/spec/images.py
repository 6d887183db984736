"""Resampling and colours of images: arguments, shapes and formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, runtime_checkable

import numpy as np

from convnet.ops.roles import In, Out
from convnet.resampling import Resampling

ChannelMatrix = tuple[tuple[float, ...], ...]

# f(t) of CIE Lab is a power above LAB_BEND, and a straight line below.
LAB_BEND, LAB_POWER = 0.0088564517, 0.3333
LAB_SLOPE, LAB_START = 7.787037, 0.13793103


@runtime_checkable
class ByteImages(Protocol):
    """Images on the host that are still bytes: C-contiguous arrays, each crop inside its image.

    They stand for a float32 matrix, which `numpy.asarray` makes of them; see
    data_providers/byte_images.py.

    Attributes:
        pixels: uint8 (N, rows, columns, C).
        places: int32 (N, 3): top and left of a crop, 1 if it is mirrored, else 0.
        mean: float32 (C, H, W).
        colours: float32 (N, C).
    """

    @property
    def pixels(self) -> np.ndarray: ...
    @property
    def places(self) -> np.ndarray: ...
    @property
    def mean(self) -> np.ndarray: ...
    @property
    def colours(self) -> np.ndarray: ...
    @property
    def scale(self) -> float: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, key: tuple[slice, Any], /) -> ByteImages: ...
    def __array__(self) -> np.ndarray: ...


# What an array is filled with: numbers of its size, or images that become such.
Source = np.ndarray | ByteImages


class ImageOps(ABC):
    """This part of Ops; ByteImages become numbers by `upload_images`, see device.py."""

    @abstractmethod
    def resample_fprop(self, g: Resampling, images: In, acts: Out) -> None:
        """acts = g.rows images g.columns^T, channel by channel. Shapes: see Resampling."""

    @abstractmethod
    def resample_bprop(
        self, g: Resampling, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        """images_grad = g.rows^T acts_grad g.columns."""

    @abstractmethod
    def mix_channels(self, matrix: ChannelMatrix, images: In, acts: Out, add: bool = False) -> None:
        """acts = matrix images, pixel by pixel: (C,H,W,N) -> (D,H,W,N) with matrix (D, C).

        With the transposed matrix it is its own backward pass.
        """

    @abstractmethod
    def lab_curve_fprop(self, offset: float, inputs: In, acts: Out) -> None:
        """acts = f(inputs) - offset, where f(t) = t^LAB_POWER if t > LAB_BEND, else
        LAB_SLOPE t + LAB_START: what lies between XYZ and Lab. In place.
        """

    @abstractmethod
    def lab_curve_bprop(
        self, inputs: In, acts_grad: In, inputs_grad: Out, add: bool = False
    ) -> None:
        """inputs_grad = acts_grad * f'(inputs). In place on acts_grad."""
