"""What goes wrong with the tools for faces."""

from __future__ import annotations

from tests.errors import command

FACES = [
    command(
        "faces inof data",
        "faces: no tool 'inof'; did you mean info?",
        "correct the word",
    ),
]
