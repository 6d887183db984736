"""Small changes of pictures in training: turned, shifted and zoomed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Jitter:
    """Turns a picture anticlockwise about its centre, enlarges it, and shifts it.

    turn:        in degrees
    zoom:        the factor by which it grows
    right, down: as parts of the shorter side
    """

    turn: float = 0.0
    zoom: float = 1.0
    right: float = 0.0
    down: float = 0.0

    @classmethod
    def draw(cls, scale: float, cases: int, rng: np.random.Generator) -> list[Jitter]:
        """Turns up to `scale` degrees, and zooms and shifts up to `scale` percent, uniformly."""
        drawn = rng.uniform(-scale, scale, (cases, 4)).tolist()
        return [cls(turn, 1 + zoom / 100, x / 100, y / 100) for turn, zoom, x, y in drawn]

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The picture (height, width, channels) changed, bilinear; its borders are drawn out."""
        height, width = pixels.shape[:2]
        side = min(height, width)
        right, down = self.right * side, self.down * side
        cos, sin = (f(math.radians(self.turn)) / self.zoom for f in (math.cos, math.sin))
        # Where the corners come from, at most so far outside.
        reach = abs(cos) + abs(sin) - 1
        margin = math.ceil(max(reach, 0) * max(height, width) / 2 + max(abs(right), abs(down))) + 1
        wide = np.pad(pixels, [(margin, margin), (margin, margin), (0, 0)], "edge")
        # What is seen at (x, y) comes from the inverse of the change.
        x, y = width / 2 + right, height / 2 + down
        across = (cos, -sin, width / 2 + margin - cos * x + sin * y)
        along = (sin, cos, height / 2 + margin - sin * x - cos * y)
        changed = Image.fromarray(wide).transform(
            (width, height), Image.Transform.AFFINE, (*across, *along), Image.Resampling.BILINEAR
        )
        return np.asarray(changed)
