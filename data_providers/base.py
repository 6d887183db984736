"""What every data provider is: a numbered set of batches, each some float32 matrices.

To write one, subclass `DataProvider`, set `shapes` and `label_names` in `open`, return there the
batch numbers that exist, and make matrices in `load`; docs/data.md has a whole example.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from data_providers.byte_images import ByteImages, Matrix
from data_providers.errors import DataError

Shape = tuple[int, int, int]

NOT_NEGATIVE = (
    *("inner_size", "crop_border", "color_noise", "image_size", "batch_size"),
    *("people_per_batch", "images_per_person", "jitter"),
)


@dataclass(frozen=True)
class ProviderOptions:
    """The command-line options that concern the data; each provider refuses what it cannot do.

    inner_size:     side of the square crop, in pixels; 0 = whole images
    multiview_test: test on ten crops of each image instead of one
    mirror:         mirror each cropped training image with probability 1/2
    scalar_mean:    >= 0: subtracted from every pixel instead of the mean image
    crop_border:    pixels that a crop leaves out at each side of an image
    color_noise:    scale of random changes of the colours of training images; 0 = none
    image_size:     side to which pictures of a folder are scaled and cropped; 0 = as they are
    batch_size:     cases per batch, where the provider cuts the batches; 0 = its default
    seed:           of everything random
    people_per_batch, images_per_person: how many people with how many pictures make a group, of
                    which the training batches consist; 0 and 0 = no groups
    jitter:         training pictures are turned by up to so many degrees, zoomed and shifted by up
                    to so many percent; 0 = not at all
    """

    inner_size: int = 0
    multiview_test: bool = False
    mirror: bool = True
    scalar_mean: float = -1.0
    crop_border: int = 4
    color_noise: float = 0.0
    image_size: int = 0
    batch_size: int = 0
    seed: int = 0
    people_per_batch: int = 0
    images_per_person: int = 0
    jitter: float = 0.0


class DataProvider(ABC):
    """Batches of data by number.

    shapes:      (channels, height, width) of each matrix of a batch; (1, 1, 1) for labels
    label_names: names of the classes; empty where there are no labels
    num_views:   a test batch holds this many views of its cases, one view after the other:
                 all cases of view 0, then all cases of view 1, ...; `load_view` gives one
    """

    #: Names of the fields of ProviderOptions that this class obeys; others are refused.
    understands: ClassVar[frozenset[str]] = frozenset({"seed"})

    shapes: tuple[Shape, ...]
    label_names: tuple[str, ...] = ()
    num_views: int = 1

    def __init__(
        self, path: Path, batch_range: Sequence[int], options: ProviderOptions, *, test: bool
    ) -> None:
        """Opens the data and checks that every batch of `batch_range` exists.

        Raises: DataError for an empty range, a missing batch, an option that this provider does
        not understand, or data that `open` cannot read.
        """
        self.path = path
        self.batch_range = tuple(batch_range)
        self.options = options
        self.test = test
        self._check_options()
        existing = self.open()
        if not getattr(self, "shapes", None):
            raise DataError(f"{type(self).__name__}.open must set shapes, one for each matrix")
        if not self.batch_range:
            raise DataError(f"{path}: the {self._role} range is empty; name at least one batch")
        missing = [] if existing is None else sorted(set(self.batch_range) - set(existing))
        if missing and existing is not None:
            raise DataError(
                f"{path}: no batch {number_ranges(missing)} for the {self._role} range"
                f" {number_ranges(self.batch_range)}; there is {number_ranges(existing)}"
            )

    @abstractmethod
    def open(self) -> Collection[int] | None:
        """Sets `shapes` (and `label_names`, `num_views`) from the data's description.

        Returns: the numbers of the batches that exist, or None where any number does.
        """

    @abstractmethod
    def load(self, number: int, epoch: int) -> Sequence[Matrix]:
        """One batch: C-contiguous float32 matrices (dimension, cases), one per entry of `shapes`.

        Images may be ByteImages. Labels count `label_names` from 0. A pure function of its
        arguments and the options: equal arguments give equal bits, whatever was loaded before. So a
        resumed run sees the data of one that never stopped, and batches can be loaded in a
        background thread.
        """

    def load_view(self, number: int, view: int) -> Sequence[Matrix]:
        """One view of a test batch, as `load(number, 1)` holds it among the others.

        Tests use this. A provider that makes several views should override it, so that only one
        is in memory.

        Raises: DataError if the views have not all the same number of cases.
        """
        matrices = self.load(number, 1)
        if self.num_views == 1:
            return matrices
        cases, more = divmod(matrices[0].shape[1], self.num_views)
        if more:
            raise DataError(
                f"{self.path}: batch {number}: expected {self.num_views} views of its cases, found"
                f" {matrices[0].shape[1]} columns"
            )
        return [matrix[:, view * cases : (view + 1) * cases] for matrix in matrices]

    def prepare(self, files: Sequence[Path]) -> ByteImages:
        """Pictures from elsewhere as the images of matrix 0 of a test batch, one view of each.

        Raises: DataError if this provider makes no images of picture files, a picture cannot be
        decoded, or it has another size than those of the data.
        """
        raise DataError(
            f"{self.path}: the provider {type(self).__name__} makes no images of single pictures;"
            " name a run on pictures (provider folder, batches ...)"
        )

    def plottable(self, images: Matrix) -> NDArray[np.float32]:
        """Images of matrix 0 as they are looked at: their bytes, or scaled together to 0..1.

        Args: images: columns of matrix 0 of a batch, (dimension, cases).
        Returns: (cases, height, width, channels), each number in 0..1.
        """
        if isinstance(images, ByteImages):
            return np.divide(images.crops(), 255, dtype=np.float32)
        low, high = images.min(), images.max()
        scaled: NDArray[np.float32] = (images - low) / (high - low if high > low else 1)
        return scaled.reshape(*self.shapes[0], -1).transpose(3, 1, 2, 0)

    def rng(self, number: int, epoch: int) -> np.random.Generator:
        """The random numbers of one batch in one epoch: the same at every call."""
        return np.random.default_rng([self.options.seed % 2**64, epoch, number])

    @property
    def _role(self) -> str:
        return "test" if self.test else "training"

    def _check_options(self) -> None:
        for field in fields(self.options):
            value = getattr(self.options, field.name)
            option = "--" + field.name.replace("_", "-")
            if value != field.default and field.name not in self.understands | {"seed"}:
                raise DataError(
                    f"{type(self).__name__} does not understand {option}; leave it out, or give"
                    f" {option} {field.default:g} where a checkpoint brings another value"
                )
            if field.name in NOT_NEGATIVE and value < 0:
                raise DataError(f"{option} {value}: expected 0 or more")


def infer_shape(dimension: int) -> Shape:
    """The shape of `dimension` values: three square planes, else one, else no image at all."""
    for channels in (3, 1):
        side = math.isqrt(dimension // channels)
        if channels * side * side == dimension:
            return channels, side, side
    return dimension, 1, 1


def number_ranges(numbers: Iterable[int]) -> str:
    """Batch numbers as users write them.

    >>> number_ranges([1, 2, 3, 7])
    '1-3,7'
    """
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs) or "none"
