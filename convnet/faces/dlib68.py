"""Faces and their 68 landmarks by dlib: the geometry of OpenFace, exactly.

dlib's detector of frontal faces is in its package; the landmarks take a file that is not:
shape_predictor_68_face_landmarks.dat. Kazemi and Sullivan, "One millisecond face alignment with an
ensemble of regression trees" (2014).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from convnet.errors import ConvnetError
from convnet.faces.landmarks import Faces
from data_providers.errors import DataError

#: The picture is doubled once, as OpenFace does: the detector's smallest face has 80 pixels.
DOUBLED = 1


class Dlib:
    """The detector, with a file of landmarks.

    Raises:
        ConvnetError: dlib is not installed.
        DataError: the file cannot be read, or names other landmarks than 68.
    """

    def __init__(self, file: Path) -> None:
        try:
            import dlib
        except ImportError as error:
            raise ConvnetError(
                f"{file}: landmarks of dlib take dlib: pip install 'cudaconvnet[dlib]' ({error})"
            ) from error
        self._detector = dlib.get_frontal_face_detector()
        try:
            self._predictor = dlib.shape_predictor(str(file))
        except RuntimeError as error:
            raise DataError(f"{file}: not landmarks of dlib: {error}") from error
        nothing = np.zeros((8, 8), np.uint8)
        count = self._predictor(nothing, dlib.rectangle(0, 0, 7, 7)).num_parts
        if count != 68:
            raise DataError(f"{file}: expected 68 landmarks, found {count}")

    def detect(self, picture: Image.Image) -> Faces:
        """The faces in an RGB picture."""
        pixels = np.asarray(picture)
        boxes, scores, _ = self._detector.run(pixels, DOUBLED, 0.0)
        points = [
            [(part.x, part.y) for part in self._predictor(pixels, box).parts()] for box in boxes
        ]
        sides = [(box.left(), box.top(), box.right() + 1, box.bottom() + 1) for box in boxes]
        return Faces(
            np.array(sides, float).reshape(-1, 4),
            np.array(scores),
            np.array(points, float).reshape(-1, 68, 2),
        )
