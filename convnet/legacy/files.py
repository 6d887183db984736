"""Finds the original's checkpoint files."""

from __future__ import annotations

import re
from pathlib import Path

# How a file begins: packed with gzip, or with zip, or a pickle of a dict of protocol 2 or older.
BEGINNINGS = (b"\x1f\x8b", b"PK\x03\x04", b"\x80", b"}", b"(d")


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
    return head.startswith(BEGINNINGS) and path.suffix != ".safetensors"
