"""Picture files: finding them in a tree of classes, and reading them as RGB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from data_providers.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".webp"})
# Only these decoders are tried, whatever the file says it is: others call external programs.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
# Tiny-ImageNet's own archive tells the classes of its test pictures in this file.
ANNOTATIONS = "val_annotations.txt"


@dataclass(frozen=True)
class PictureFiles:
    """Labelled picture files.

    labels: int32 (files,), the classes being numbered in the order of their names
    """

    files: tuple[Path, ...]
    labels: NDArray[np.int32]
    label_names: tuple[str, ...]

    @classmethod
    def of(cls, classes: Iterable[tuple[str, Iterable[Path]]]) -> PictureFiles:
        """From pairs of a class and its files, in order."""
        named = [(name, tuple(files)) for name, files in classes]
        sizes = [len(files) for _, files in named]
        labels = np.repeat(np.arange(len(named), dtype=np.int32), sizes)
        every = tuple(file for _, files in named for file in files)
        return cls(every, labels, tuple(name for name, _ in named))


def find_pictures(root: Path) -> PictureFiles:
    """The pictures below a folder whose sub-folders are the classes: CLASS/picture.*.

    Also in the two forms of Tiny-ImageNet's archive: CLASS/images/picture.*, and images/picture.*
    beside a table of their classes.

    Raises: DataError if `root` holds no sub-folder with a picture.
    """
    if (root / ANNOTATIONS).is_file():
        return _annotated_pictures(root)
    folders = sorted(entry for entry in _entries(root) if entry.is_dir())
    classes = [(folder.name, _pictures(folder) or _inner_pictures(folder)) for folder in folders]
    found = PictureFiles.of((name, files) for name, files in classes if files)
    if not found.files:
        raise DataError(f"{root}: expected pictures as CLASS/NAME.jpg (or .png ...), found none")
    return found


def find_parts(source: Path) -> tuple[PictureFiles, PictureFiles | None]:
    """The training and the test pictures below `source`; the latter None where they are one tree.

    They are told apart by folders train/ and test/ or val/, each a tree of the same classes.

    Raises: DataError if the classes differ, or there are no pictures.
    """
    test = next((p for name in ("test", "val") if _is_tree(p := source / name)), None)
    if test is None or not (source / "train").is_dir():
        return find_pictures(source), None
    train_files, test_files = find_pictures(source / "train"), find_pictures(test)
    expected, found = train_files.label_names, test_files.label_names
    if expected != found:
        raise DataError(f"{test}: expected label_names {expected} as in train, found {found}")
    return train_files, test_files


def read_picture(file: Path | BinaryIO, name: str, at_least: int = 0) -> Image.Image:
    """A picture as 8-bit RGB, turned as its EXIF data say; transparent parts become white.

    Args:
        name: says in errors which picture it is.
        at_least: the size needed; a JPEG more than twice as large may be read at a half, a quarter
            or an eighth of its size, which is faster. 0 = read it as it is.
    Raises: DataError if it cannot be decoded.
    """
    try:
        with Image.open(file, formats=FORMATS) as picture:
            if at_least:
                picture.draft(None, (at_least, at_least))
            return _as_rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError as error:  # whose text has an address in memory
        raise DataError(f"{name}: not a readable picture: not {', '.join(FORMATS)}") from error
    except Exception as error:  # decoders raise nearly anything for a damaged file
        raise DataError(f"{name}: not a readable picture: {error}") from error


def read_images(
    files: Sequence[Path], size: tuple[int, int], *, scaled: bool, like: Path
) -> NDArray[np.uint8]:
    """Pictures of one size as uint8 (files, height, width, 3), RGB.

    Args:
        size: width and height.
        scaled: whether those of another size are scaled and cropped at the centre.
        like: says in errors whose size it is.
    Raises: DataError naming a picture that cannot be decoded or has another size.
    """
    width, height = size
    images = np.empty((len(files), height, width, 3), np.uint8)
    for image, file in zip(images, files, strict=True):
        picture = read_picture(file, str(file))
        if scaled:
            picture = ImageOps.fit(picture, size, Image.Resampling.BICUBIC)
        if picture.size != size:
            raise DataError(
                f"{file}: expected {width}x{height} pixels as in {like}, found"
                f" {picture.width}x{picture.height}; give a size to scale all pictures to"
            )
        image[:] = np.asarray(picture)
    return images


def grey(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma of RGB images: (images, height, width, 3) to (images, height, width, 1)."""
    luma = [np.asarray(Image.fromarray(image).convert("L")) for image in images]
    return np.stack(luma)[..., np.newaxis]


def _as_rgb(picture: Image.Image) -> Image.Image:
    """8-bit RGB; transparent parts become white, 16-bit grey is scaled down."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {picture.mode} have no fixed range; save it with 8 bits")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


def _is_tree(folder: Path) -> bool:
    """Whether a folder holds pictures with their classes.

    A folder test/ without classes is common; that of Tiny-ImageNet has them in a folder images/.
    """
    if not folder.is_dir():
        return False
    classes = (entry for entry in _entries(folder) if entry.is_dir() and entry.name != "images")
    return (folder / ANNOTATIONS).is_file() or any(classes)


def _annotated_pictures(root: Path) -> PictureFiles:
    """The pictures that a table lists, each line a file below images/ and its class."""
    table = root / ANNOTATIONS
    text = table.read_text(encoding="utf-8", errors="replace")
    rows = sorted(line.split() for line in text.splitlines())
    counts = Counter(row[1] for row in rows if len(row) > 1)
    if not counts or any(len(row) < 2 for row in rows):
        raise DataError(f"{table}: expected lines of a file name and a class")
    return PictureFiles.of(
        (name, (root / "images" / Path(row[0]).name for row in rows if row[1] == name))
        for name in sorted(counts)
    )


def _inner_pictures(folder: Path) -> list[Path]:
    inner = folder / "images"
    return _pictures(inner) if inner.is_dir() else []


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in _entries(folder) if p.suffix.lower() in SUFFIXES)


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: cannot read it: {error.strerror}") from error
