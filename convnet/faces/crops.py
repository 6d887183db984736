"""Cutting faces out, so that their parts come to lie where those of all others do.

A crop has a template: where some parts of the face shall be. A transform that takes the landmarks
of a picture there is found, and the picture is sampled through it. Coordinates are x and y of
pixels; the middle of the first pixel is at 0, 0. "Left" is the left side of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageOps

from data_providers.errors import DataError

Floats = NDArray[np.floating[Any]]


def similarity(source: ArrayLike, target: ArrayLike) -> Floats:
    """The rotation, scaling and shift that take points nearest to others: the least squares.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns"
    (1991); mirroring is not allowed.

    Args:
        source, target: (points, 2), at least two points that differ.
    Returns:
        (2, 3): a point p goes to matrix[:, :2] @ p + matrix[:, 2].
    Raises:
        DataError: all source points are the same.
    """
    x, y = np.asarray(source, np.float64), np.asarray(target, np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    variance = ((x - x_mean) ** 2).sum(axis=1).mean()
    if variance < 1e-12:
        raise DataError("the landmarks are all the same point")
    u, lengths, v = np.linalg.svd((y - y_mean).T @ (x - x_mean) / len(x))
    signs = np.array([1, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    linear = (u * signs) @ v * ((lengths * signs).sum() / variance)
    return np.column_stack([linear, y_mean - linear @ x_mean])


def affine(source: ArrayLike, target: ArrayLike) -> Floats:
    """The affine transform that takes three points exactly to three others, as `similarity`.

    Raises:
        DataError: the source points are on a line.
    """
    x, y = np.asarray(source, np.float64), np.asarray(target, np.float64)
    try:
        return np.linalg.solve(np.column_stack([x, np.ones(3)]), y).T
    except np.linalg.LinAlgError:
        raise DataError("the three landmarks of this crop are on a line") from None


@dataclass(frozen=True)
class Crop:
    """A way of cutting a face out.

    fit:    makes the transform
    height: of the result in pixels, unless another is asked for
    width:  as a part of the height
    parts:  for pictures with 5 and with 68 landmarks each: the landmarks whose mean is a part
    template: for the same, where these parts shall be, (parts, 2), as parts of the height
    """

    fit: Callable[[Floats, Floats], Floats]
    height: int
    parts: dict[int, tuple[tuple[int, ...], ...]]
    template: dict[int, Floats]
    width: float = 1

    def size(self, height: int = 0) -> tuple[int, int]:
        """Width and height of the result; 0 = as they commonly are."""
        height = height or self.height
        return round(self.width * height), height

    def transform(self, landmarks: ArrayLike, height: int = 0) -> Floats:
        """The transform (2, 3) from the picture to the result.

        Args:
            landmarks: (5, 2), both eyes, the tip of the nose, both corners of the mouth, of two the
                left one first; or (68, 2) in the order of iBUG 300-W, which dlib uses too.
        Raises:
            DataError: another number of landmarks, or they are on a line.
        """
        points = np.asarray(landmarks, np.float64)
        if len(points) not in self.parts:
            raise DataError(f"expected 5 or 68 landmarks, found {len(points)}")
        source = np.array([points[list(part)].mean(axis=0) for part in self.parts[len(points)]])
        return self.fit(source, self.template[len(points)] * self.size(height)[1])


def cut_out(picture: Image.Image, transform: Floats, size: tuple[int, int]) -> Image.Image:
    """The picture through a transform of `Crop`, bilinear, black where there is no picture.

    A picture that shrinks to less than half is made smaller by a whole number first, each pixel the
    mean of a square, for bilinear sampling would leave pixels out.
    """
    scale = np.sqrt(abs(np.linalg.det(transform[:, :2])))
    factor = int(max(1, min(1 / scale, *picture.size)))
    if factor > 1:
        picture = picture.reduce(factor)
    # Pillow wants the way back, and puts the corner of the first pixel at 0, 0, not its middle.
    linear = np.linalg.inv(transform[:, :2])
    shift = 0.5 - linear @ (transform[:, 2] + 0.5)
    back = np.column_stack([linear, shift]) / factor
    return picture.transform(
        size, Image.Transform.AFFINE, tuple(back.ravel()), Image.Resampling.BILINEAR
    )


def middle(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The largest part of a picture with these proportions around its middle, at this size."""
    return ImageOps.fit(picture, size, Image.Resampling.BILINEAR)


#: For 5 landmarks and for the same parts among 68.
_FIVE: dict[int, tuple[tuple[int, ...], ...]] = {
    5: ((0,), (1,), (2,), (3,), (4,)),
    68: (tuple(range(36, 42)), tuple(range(42, 48)), (30,), (48,), (54,)),
}

# Of insightface, for 112 x 112 pixels.
_ARCFACE = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)

# Corners of the eyes (right outer, right inner, left outer, left inner) and the base of the nose,
# from dlib's get_face_chip_details(); and where the five parts are in the same mean face.
_DLIB = np.array(
    [
        (0.85957, 0.21350),
        (0.64606, 0.22897),
        (0.12058, 0.21373),
        (0.33409, 0.22906),
        (0.49011, 0.62780),
    ]
)
_DLIB_FIVE = np.array(
    [(0.2255, 0.2160), (0.7548, 0.2160), (0.4901, 0.5156), (0.2541, 0.7802), (0.7261, 0.7802)]
)
#: dlib leaves so much around its mean face, as a part of it.
_PADDING = 0.25

# The mean face of OpenFace (align_dlib.py) reaches from 0 to 1. The five parts are those of dlib's
# mean face, by the affine transform that takes the corners of the eyes and the base of the nose of
# one to those of the other (they stay within 0.002).
_INNER = np.array([(0.363785, 0.177947), (0.618963, 0.172778), (0.500204, 0.750584)])
_OUTER = np.array([(0.194157, 0.169267), (0.788859, 0.158171), (0.494951, 0.514441)])
_EYES_MOUTH = np.array([(0.2780, 0.1690), (0.7050, 0.1611), (0.4962, 0.6437)])
_EYES_NOSE = np.array([(0.2780, 0.1690), (0.7050, 0.1611), (0.4940, 0.4192)])


def _arcface(height: int, width: int, left: int = 0) -> Crop:
    """The template of insightface in a crop that begins `left` pixels further left than its own."""
    template = np.add(_ARCFACE, (left, 0)) / height
    return Crop(similarity, height, _FIVE, {5: template, 68: template}, width / height)


CROPS = {
    "arcface": _arcface(112, 112),
    "arcface-112x96": _arcface(112, 96, left=-8),
    "arcface-128": _arcface(128, 128, left=8),
    "openface-inner": Crop(
        affine,
        96,
        {5: ((0,), (1,), (3, 4)), 68: ((39,), (42,), (57,))},
        {5: _EYES_MOUTH, 68: _INNER},
    ),
    "openface-outer": Crop(
        affine,
        96,
        {5: ((0,), (1,), (2,)), 68: ((36,), (45,), (33,))},
        {5: _EYES_NOSE, 68: _OUTER},
    ),
    "dlib": Crop(
        similarity,
        224,
        {5: _FIVE[5], 68: ((45,), (42,), (36,), (39,), (33,))},
        {n: (t + _PADDING) / (1 + 2 * _PADDING) for n, t in ((5, _DLIB_FIVE), (68, _DLIB))},
    ),
}
