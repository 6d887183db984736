"""Drawn faces, which a detector takes for real ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SKINS = [(214, 170, 140), (150, 105, 80), (235, 200, 175), (190, 140, 110)]
#: The parts that detectors name, from the middle of the face in units of its half width.
PARTS = np.array([(-0.36, -0.17), (0.36, -0.17), (0, 0.3), (-0.3, 0.62), (0.3, 0.62)])


def drawn(
    faces: Sequence[tuple[float, float, float]] = ((60, 60, 36),),
    size: tuple[int, int] = (120, 120),
    skin: tuple[int, int, int] = SKINS[0],
) -> Image.Image:
    """A picture of faces, each given by the x and y of its middle and its half width in pixels."""
    fine = 4
    picture = Image.new("RGB", (size[0] * fine, size[1] * fine), (90, 110, 140))
    pen = ImageDraw.Draw(picture)
    dark = tuple(value * 3 // 4 for value in skin)
    for x, y, radius in faces:
        for dx, dy, half_width, half_height, colour in [
            (0, -0.15, 0.95, 1.2, (50, 35, 25)),  # hair
            (0, 0.08, 0.8, 1.05, skin),
            *((side * 0.36, -0.35, 0.2, 0.05, (60, 40, 30)) for side in (-1, 1)),
            *((side * 0.36, -0.17, 0.17, 0.09, (235, 230, 225)) for side in (-1, 1)),
            *((side * 0.36, -0.17, 0.08, 0.09, (40, 30, 25)) for side in (-1, 1)),
            (0, 0.12, 0.09, 0.25, dark),  # nose
            (-0.08, 0.3, 0.05, 0.04, (110, 70, 60)),
            (0.08, 0.3, 0.05, 0.04, (110, 70, 60)),
            (0, 0.62, 0.32, 0.1, (165, 70, 70)),  # mouth
            (0, 0.61, 0.3, 0.02, (90, 30, 30)),
        ]:
            corners = [
                (x + radius * (dx - half_width), y + radius * (dy - half_height)),
                (x + radius * (dx + half_width), y + radius * (dy + half_height)),
            ]
            pen.ellipse([(fine * a, fine * b) for a, b in corners], fill=colour)
    small = picture.resize(size, Image.Resampling.LANCZOS)
    return small.filter(ImageFilter.GaussianBlur(1))


def photographs(root: Path, people: Sequence[str] = ("ann", "bob"), count: int = 3) -> None:
    """Writes `count` JPEG pictures of each person, who differ in colour, place and size."""
    for number, name in enumerate(people):
        (root / name).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            face = (55 + 5 * k, 62 + 3 * number, 32 + 4 * k)
            picture = drawn([face], skin=SKINS[number % len(SKINS)])
            picture.save(root / name / f"{k}.jpg", quality=90)
