"""The providers of faces: pictures of people, to be told from each other."""

from __future__ import annotations

import io
import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from data_providers.base import DataProvider
from data_providers.byte_images import ByteImages, Matrix
from data_providers.errors import DataError
from data_providers.face_sampling import Cases, by_person, cut, deal, draw_groups
from data_providers.face_sets import read_attributes
from data_providers.face_sources import attributes_file, face_parts
from data_providers.jitter import Jitter
from data_providers.jpeg_batches import ColourPca
from data_providers.pictures import read_picture
from data_providers.shuffle import stratified_order

BATCH_SIZE = 1000
#: A pixel p becomes (p - GREY) / RANGE, as most nets for faces have it.
GREY, RANGE = 127.5, 128.0
# So many pictures tell how colours differ.
COLOUR_SAMPLE = 500


class FaceProvider(DataProvider):
    """Pictures of people: a tree PERSON/picture.* or a pack, or such parts train and val (or test).

    Matrix 0 holds the pictures, (pixel - 127.5) / 128, with --scalar-mean in place of 127.5 if it
    is given; 1 the people; then one for each column of attributes.csv, -1 for what is not known.

    The training range names pictures: those of these batches of 1000 (--batch-size), cut from a
    fixed shuffle. Each epoch deals them anew. With --people-per-batch P and --images-per-person K
    a batch holds groups instead, one after the other, each of K different pictures of P people;
    all who have K pictures in the range are equally likely.

    Training pictures are turned, shifted and zoomed (--jitter), cropped at a random place
    (--inner-size), mirrored with probability 1/2 (--mirror) and changed in colour (--color-noise).
    Test pictures are cropped at the centre, and each comes once. Those of a part of their own come
    in the order of the people.
    """

    understands = frozenset(
        {"inner_size", "mirror", "scalar_mean", "color_noise", "image_size", "batch_size"}
        | {"people_per_batch", "images_per_person", "jitter"}
    )

    def open(self) -> Collection[int]:
        options = self.options
        train_faces, test_faces = face_parts(self.path)
        apart = self.test and test_faces is not None
        self.faces = test_faces if self.test and test_faces else train_faces
        self.label_names = self.faces.label_names
        width, height = self._picture(0).size
        self.size = height, width
        side = options.inner_size
        if side > min(height, width):
            raise DataError(
                f"{self.path}: --inner-size {side} does not fit pictures of {height}x{width} pixels"
            )
        self.inner = (side, side) if side else (height, width)
        attributes = read_attributes(attributes_file(self.path), self.faces)
        self.labels = np.stack([self.faces.labels.astype(np.float32), *attributes.values()])
        self.shapes = ((3, *self.inner), *[(1, 1, 1)] * len(self.labels))
        grey = options.scalar_mean if options.scalar_mean >= 0 else GREY
        self.mean = np.full(self.shapes[0], grey, np.float32)
        # The same for every seed: another would mix training and test pictures of a resumed run.
        order = stratified_order(self.faces.labels, seed=0)
        in_order = by_person(np.arange(order.size), self.faces.labels)
        self.batch_size = options.batch_size or BATCH_SIZE
        self.batches = cut(np.concatenate(in_order) if apart else order, self.batch_size)
        self._check_groups()
        self.noise = 0.0 if self.test else options.color_noise
        if self.noise:
            self.pca = ColourPca.of_pictures(self._pixels(order[:COLOUR_SAMPLE]))
        return self.batches.keys()

    def _check_groups(self) -> None:
        people, images = self.options.people_per_batch, self.options.images_per_person
        if (people > 0) != (images > 0):
            raise DataError(
                f"--people-per-batch {people} --images-per-person {images}: give both or none"
            )
        if people and not self.test and len(self._people) < people:
            raise DataError(
                f"{self.faces.where}: expected at least {people} people (--people-per-batch) with"
                f" {images} pictures each (--images-per-person) in the training range, found"
                f" {len(self._people)}; ask for fewer"
            )

    @cached_property
    def _chosen(self) -> list[Cases]:
        """The batches of the range, as far as they exist."""
        return [self.batches[number] for number in self.batch_range if number in self.batches]

    @cached_property
    def _people(self) -> list[Cases]:
        """The pictures of each person who has enough of them in the range for a group."""
        pool = np.concatenate([*self._chosen, np.zeros(0, np.intp)])
        everyone = by_person(pool, self.faces.labels[pool])
        return [cases for cases in everyone if cases.size >= self.options.images_per_person]

    def _cases(self, number: int, epoch: int, rng: np.random.Generator) -> Cases:
        """The pictures of a batch, in order."""
        people, images = self.options.people_per_batch, self.options.images_per_person
        if self.test:
            cases = np.sort(self.batches[number])
            return np.concatenate(by_person(cases, self.faces.labels[cases]))
        if people:
            groups = max(self.batch_size // (people * images), 1)
            return draw_groups(self._people, people, images, groups, rng)
        dealt = deal(self._chosen, self.rng(0, epoch))  # no batch has the number 0
        return dealt[self.batch_range.index(number)]

    def load(self, number: int, epoch: int) -> list[Matrix]:
        options, rng = self.options, self.rng(number, epoch)
        cases = self._cases(number, epoch, rng)
        down, right = (n - m for n, m in zip(self.size, self.inner, strict=True))
        places = np.tile(np.array([down // 2, right // 2, 0], np.int32), (cases.size, 1))
        colours = np.zeros((cases.size, 3), np.float32)
        jitters = None
        # Drawn for all pictures at once, so that they do not depend on which thread comes when.
        if not self.test:
            places[:, 0] = rng.integers(0, down, cases.size, endpoint=True)
            places[:, 1] = rng.integers(0, right, cases.size, endpoint=True)
            places[:, 2] = (rng.random(cases.size) < 0.5) & options.mirror
            if self.noise:
                colours = self.pca.noise(self.noise, cases.size, rng)
            if options.jitter:
                jitters = Jitter.draw(options.jitter, cases.size, rng)
        pixels = self._pixels(cases, jitters)
        scale = 1 / (RANGE * (1 + self.noise))
        labels = np.ascontiguousarray(self.labels[:, cases])
        return [ByteImages(pixels, places, self.mean, colours, scale), *labels[:, np.newaxis]]

    def _pixels(self, cases: Cases, jitters: list[Jitter] | None = None) -> NDArray[np.uint8]:
        """Whole pictures, (cases, height, width, 3), each changed as its jitter says."""
        pixels = np.empty((cases.size, *self.size, 3), np.uint8)

        def fill(row: int) -> None:
            index = int(cases[row])
            picture = self._picture(index)
            height, width = self.size
            if picture.size != (width, height):
                raise DataError(
                    f"{self.faces.where}: {self.faces.names[index]}: expected {width}x{height}"
                    f" pixels as in {self.faces.names[0]}, found {picture.width}x{picture.height};"
                    f" give --image-size to scale all pictures"
                )
            image = np.asarray(picture)
            pixels[row] = jitters[row].apply(image) if jitters else image

        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode") as pool:
            for _ in pool.map(fill, range(cases.size)):
                pass
        return pixels

    def _picture(self, index: int) -> Image.Image:
        """A picture as RGB, scaled to cover --image-size and cut, if that is given."""
        name = f"{self.faces.where}: {self.faces.names[index]}"
        side = self.options.image_size
        picture = read_picture(io.BytesIO(self.faces.content(index)), name)
        if side:
            return ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)
        return picture
