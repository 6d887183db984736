"""Small data sets and shorthands of these tests."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from data_providers.formats import Batch, write_data_set


def matrices(provider, number, epoch):
    """A batch as numpy arrays, also what is loaded as bytes."""
    return [np.asarray(matrix) for matrix in provider.load(number, epoch)]


def random_batch(shape, cases, classes, seed, training=True):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (int(np.prod(shape)), cases), dtype=np.uint8)
    labels = rng.integers(0, classes, cases).astype(np.int32)
    return Batch(pixels, labels, training)


def prepared(folder: Path, shape=(3, 7, 9), cases: Sequence[int] = (5, 4, 3)) -> list[Batch]:
    """Writes batches of random images, the last one for testing, and returns them."""
    batches = [
        random_batch(shape, n, 4, seed=i, training=i + 1 < len(cases)) for i, n in enumerate(cases)
    ]
    write_data_set(
        folder,
        batches,
        shape=shape,
        label_names=("a", "b", "c", "d"),
        recipe="test",
        source="random numbers",
        report=lambda line: None,
    )
    return batches


def write_idx(path: Path, values: np.ndarray) -> None:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    content = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def idx_folder(folder: Path, train: int = 7, test: int = 4, classes: int = 3) -> dict:
    """Writes the four files of a tiny MNIST of 4 x 5 pixels and returns their arrays by part."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for part, cases in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (cases, 4, 5), dtype=np.uint8)
        labels = (np.arange(cases) % classes).astype(np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
        parts[part] = images, labels
    return parts


def picture_tree(root: Path, classes=("cat", "dog"), count: int = 3, size=(6, 5)) -> None:
    """Writes `count` PNG pictures a class, each of one colour that tells the class and number."""
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            colour = (label * 100 % 256, number * 10, 7)
            Image.new("RGB", size, colour).save(root / name / f"{number}.png")


def zipped(name: str, content: bytes) -> bytes:
    """A zip file with one entry."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def python2_array(values: np.ndarray) -> bytes:
    """The pickle opcodes with which Python 2 and its numpy wrote an array (protocol 2)."""
    shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in values.shape) + b"t"
    code = values.dtype.str[1:].encode()
    order = b"|" if values.dtype.itemsize == 1 else b"<"
    data = values.tobytes()
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01"
        + shape
        + b"cnumpy\ndtype\nU"
        + bytes([len(code)])
        + code
        + b"K\x00K\x01\x87R(K\x03U\x01"
        + order
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T"
        + struct.pack("<i", len(data))
        + data
        + b"tb"
    )


def python2_dict(items: dict[str, bytes]) -> bytes:
    """A Python 2 pickle of a dict whose values are given as opcodes."""
    pairs = b"".join(b"U" + bytes([len(k)]) + k.encode() + v for k, v in items.items())
    return b"\x80\x02}(" + pairs + b"u."


def python2_list(items: Sequence[int | str]) -> bytes:
    def item(value: int | str) -> bytes:
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        return b"U" + bytes([len(value)]) + value.encode()

    return b"](" + b"".join(map(item, items)) + b"e"


def colmajor_folder(folder: Path, batches: dict[int, Batch], names=("a", "b", "c", "d")) -> None:
    """Writes batches.meta and data_batch_<n> as Python 2 pickles, a column per case."""
    folder.mkdir(parents=True, exist_ok=True)
    dimension = next(iter(batches.values())).pixels.shape[0]
    mean = np.mean([b.pixels.mean(axis=1) for b in batches.values()], axis=0)
    meta = {
        "label_names": python2_list(names),
        "num_vis": b"J" + struct.pack("<i", dimension),
        "data_mean": python2_array(mean.astype(np.float32).reshape(-1, 1)),
    }
    (folder / "batches.meta").write_bytes(python2_dict(meta))
    for number, batch in batches.items():
        content = {
            "batch_label": b"U\x04some",
            "data": python2_array(batch.pixels),
            "labels": python2_list(batch.labels.tolist()),
        }
        (folder / f"data_batch_{number}").write_bytes(python2_dict(content))
