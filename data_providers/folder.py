"""The provider `folder`: pictures in a tree class/picture.*"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_providers.base import Shape
from data_providers.images import ImageProvider, mean_image
from data_providers.pictures import PictureFiles, find_pictures, read_images, read_picture
from data_providers.shuffle import stratified_order


class PictureTree:
    """Labelled pictures of one size, decoded when asked for.

    shape: (3, height, width); all pictures have this size, or are brought to `size`.
    labels: int32 (pictures,), the classes being numbered in the order of their names.
    """

    def __init__(self, pictures: PictureFiles, size: int = 0) -> None:
        """Raises: DataError if the first picture cannot be read."""
        self.size = size
        self.files = pictures.files
        self.labels = pictures.labels
        self.label_names = pictures.label_names
        first = read_picture(self.files[0], str(self.files[0]))
        width, height = (size, size) if size else first.size
        self.shape: Shape = 3, height, width

    def pixels(self, indices: Sequence[int] | NDArray[np.intp]) -> NDArray[np.uint8]:
        """Pictures as planar RGB, (3 * height * width, len(indices)), 0..255.

        Raises: DataError naming a picture that cannot be decoded or has another size.
        """
        _, height, width = self.shape
        files = [self.files[index] for index in indices]
        size = width, height
        images = read_images(files, size, scaled=self.size > 0, like=self.files[0])
        planar = images.transpose(3, 1, 2, 0).reshape(-1, len(files))
        return np.ascontiguousarray(planar)


class FolderStore:
    """Cuts a picture tree into numbered batches from 1; an `ImageStore`.

    The order is always the same: were it drawn with the run's seed, another seed would mix
    training and test pictures of a resumed run.
    """

    def __init__(self, root: Path, size: int, batch_size: int) -> None:
        self.tree = PictureTree(find_pictures(root), size)
        self.shape = self.tree.shape
        self.label_names = self.tree.label_names
        order = stratified_order(self.tree.labels, seed=0)
        starts = range(0, order.size, batch_size)
        self.batches = {i: order[s : s + batch_size] for i, s in enumerate(starts, start=1)}
        self.numbers = tuple(self.batches)

    def mean(self) -> NDArray[np.float32]:
        """The mean of batch 1: a fair sample that does not depend on the batch range."""
        pixels, _ = self.read(1)
        return mean_image(pixels)

    def read(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        cases = self.batches[number]
        return self.tree.pixels(cases), self.tree.labels[cases]


class FolderProvider(ImageProvider):
    """Pictures of a tree class/picture.*, in batches of 1000 (--batch-size), class-balanced."""

    understands = ImageProvider.understands | {"image_size", "batch_size"}

    def open_store(self) -> FolderStore:
        return FolderStore(self.path, self.options.image_size, self.options.batch_size or 1000)
