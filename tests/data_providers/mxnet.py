"""Files of ArcFace's data sets, built byte by byte from the description of their formats."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

MAGIC = 0xCED7230A


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 3), (10 * number, 0, 0)).save(file, "PNG")
    return file.getvalue()


def part(content: bytes, flag: int = 0) -> bytes:
    padding = b"\0" * (-len(content) % 4)
    return struct.pack("<II", MAGIC, flag << 29 | len(content)) + content + padding


def content(labels: float | list[float], image: bytes = b"") -> bytes:
    """With one label in the header, or a list of them after it."""
    if not isinstance(labels, list):
        return struct.pack("<IfQQ", 0, labels, 7, 0) + image
    return struct.pack(f"<IfQQ{len(labels)}f", len(labels), 0, 7, 0, *labels) + image


def write(folder: Path, records: dict[int, bytes], name: str = "train") -> Path:
    """Records by key, each the bytes of its parts."""
    offset, lines = 0, []
    for key, record in records.items():
        lines.append(f"{key}\t{offset}\n")
        offset += len(record)
    (folder / f"{name}.rec").write_bytes(b"".join(records.values()))
    (folder / f"{name}.idx").write_text("".join(lines))
    return folder / f"{name}.rec"


def arcface(folder: Path) -> Path:
    """Two people with two and one pictures, and what ArcFace's files have besides.

    Record 0 tells that images are 1-3 and people 4-5, which tell that theirs are 1-2 and 3.
    """
    records = {
        0: part(content([4.0, 6.0])),
        1: part(content(0.0, picture(1))),
        2: part(content([0.0, 1.0], picture(2))),
        3: part(content(5.0, picture(3))),
        4: part(content([1.0, 3.0])),
        5: part(content([3.0, 4.0])),
    }
    folder.mkdir(exist_ok=True)
    (folder / "property").write_text("6,112,112\n")
    return write(folder, records)


def python2_pairs(pictures: Sequence[bytes], same: Sequence[bool]) -> bytes:
    """The opcodes with which Python 2 wrote a tuple of lists of strings and booleans."""
    strings = b"".join(b"T" + struct.pack("<i", len(p)) + p for p in pictures)
    flags = b"".join(b"\x88" if one else b"\x89" for one in same)
    return b"\x80\x02](" + strings + b"e](" + flags + b"e\x86."
