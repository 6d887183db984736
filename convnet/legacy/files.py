"""Finds the original's checkpoint files and reads what is in them: plain, gzip or zip."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
import zlib
from pathlib import Path
from typing import IO

from convnet.errors import CheckpointError

MAX_BYTES = 4 * 2**30
"""Twice the largest nets of the original; keeps a small file from unpacking into all memory."""

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
# How a pickle of a dict begins, in protocol 2 and in the older ones.
PICKLES = (b"\x80", b"}", b"(d")

ENTRY = "data"  # of the zip files that v1 wrote with --zip-save


def files_of_the_original(directory: Path) -> list[Path]:
    """Its checkpoints `<epoch>.<batch>` in a run directory, in the order of these numbers."""
    found = {p: re.fullmatch(r"(\d{1,18})\.(\d{1,18})", p.name) for p in directory.glob("*.*")}
    numbers = {p: (int(match[1]), int(match[2])) for p, match in found.items() if match}
    return sorted(numbers, key=numbers.__getitem__)


def is_of_the_original(path: Path) -> bool:
    """Whether a file begins as the original's checkpoints do; it can have any name."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError:
        return False  # whoever reads it tells why
    return head.startswith((GZIP, ZIP, *PICKLES)) and path.suffix != ".safetensors"


def read_pickle(path: Path) -> bytes:
    """The pickle in a checkpoint file, unpacked.

    Raises:
        CheckpointError: it cannot be read or unpacked, or is too large.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
            file.seek(0)
            if head.startswith(GZIP):
                with gzip.open(file) as unpacked:
                    return _limited(unpacked, path)
            if head == ZIP:
                with zipfile.ZipFile(file) as archive, archive.open(ENTRY) as unpacked:
                    return _limited(unpacked, path)
            return _limited(file, path)
    except KeyError:
        raise CheckpointError(
            f"{path}: a zip file without the entry '{ENTRY}', so not a checkpoint"
        ) from None
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path}: cannot read the checkpoint: {reason}") from None


def _limited(file: IO[bytes] | gzip.GzipFile, path: Path) -> bytes:
    content = io.BytesIO()
    while chunk := file.read(2**20):
        content.write(chunk)
        if content.tell() > MAX_BYTES:
            raise CheckpointError(
                f"{path}: more than {MAX_BYTES} bytes unpacked; no net of the original is so large"
            )
    return content.getvalue()
