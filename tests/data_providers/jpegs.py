"""Small data sets of JPEGs, in the safe format and as cuda-convnet2 wrote them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from data_providers.formats import JPEG, Index, write_index, write_tensors
from data_providers.jpeg_batches import ColourPca, JpegBatch
from tests.data_providers.helpers import python2_array, python2_dict, python2_list

NAMES = ("ant", "bee", "cat", "dog")
SIDE = 8


def picture(seed: int, size=(SIDE, SIDE), grey=False) -> Image.Image:
    """A smooth random picture of so many pixels (width, height)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    smooth = coarse.resize(size, Image.Resampling.BICUBIC)
    return smooth.convert("L") if grey else smooth


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def pixels(jpeg: bytes) -> np.ndarray:
    """(height, width, 3)"""
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def jpeg_batch(cases: int, seed: int, labels=None) -> JpegBatch:
    """Random JPEGs; every fourth is wider, every other fourth higher than square; some are grey."""
    sizes = [(SIDE + 3 * (i % 4 == 1), SIDE + 5 * (i % 4 == 2)) for i in range(cases)]
    jpegs = [
        encoded(picture(100 * seed + i, size, grey=i % 3 == 2)) for i, size in enumerate(sizes)
    ]
    labels = labels or [[i % 4] for i in range(cases)]
    return JpegBatch(jpegs, [np.array(y, np.int32) for y in labels])


MEAN = np.random.default_rng(5).uniform(90, 150, (3 * SIDE * SIDE, 1)).astype(np.float32)
PCA = ColourPca(
    np.array([20, 37, 122], np.float32),
    np.linalg.qr(np.random.default_rng(6).standard_normal((3, 3)))[0].astype(np.float32),
)


def jpeg_folder(folder: Path, batches: dict[int, JpegBatch]) -> Path:
    """Writes batches in the safe format."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {
        number: write_tensors(
            folder / f"data_batch_{number}.safetensors", batch.tensors(), len(batch.jpegs)
        )
        for number, batch in batches.items()
    }
    mean = {"mean": MEAN, "pca_deviations": PCA.deviations, "pca_directions": PCA.directions}
    mean_entry = write_tensors(folder / "mean.safetensors", mean, 1)
    write_index(folder, Index("test", "test", NAMES, (3, SIDE, SIDE), mean_entry, entries, JPEG))
    return folder


def python2_bytes(content: bytes) -> bytes:
    return b"T" + struct.pack("<i", len(content)) + content


def python2_lists(items: list[list[int]]) -> bytes:
    return b"](" + b"".join(map(python2_list, items)) + b"e"


def pickled_jpeg_folder(
    folder: Path, batches: dict[int, JpegBatch], parts: int = 1, **meta: bytes
) -> Path:
    """Writes batches as make-data.py of cuda-convnet2: data_batch_7/data_batch_7.0, .1, ...

    Args: meta: further items of batches.meta, as opcodes; they replace those of the same name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "data_mean": python2_array(MEAN),
        "num_vis": b"J" + struct.pack("<i", MEAN.size),
        "batch_size": b"K\x07",
        "label_names": python2_list(NAMES),
        "color_pca": python2_array(PCA.deviations) + python2_array(PCA.directions) + b"\x86",
    }
    (folder / "batches.meta").write_bytes(python2_dict(content | meta))
    for number, batch in batches.items():
        (folder / f"data_batch_{number}").mkdir()
        for part, cases in enumerate(np.array_split(np.arange(len(batch.jpegs)), parts)):
            jpegs = b"".join(python2_bytes(bytes(batch.jpegs[case])) for case in cases)
            raw = {
                "data": b"](" + jpegs + b"e",
                "labels": python2_lists([batch.labels[case].tolist() for case in cases]),
            }
            path = folder / f"data_batch_{number}" / f"data_batch_{number}.{part}"
            path.write_bytes(python2_dict(raw))
    return folder
