"""The one error of this package."""

from __future__ import annotations


class DataError(Exception):
    """Data that is missing, damaged or does not fit; the text is one line for the user.

    It says where (file, batch or option), what was expected, what was found and what to do.
    """

    def __init__(self, text: str) -> None:
        # Texts quote file names and other libraries' errors, which can have several lines.
        super().__init__(" ".join(text.splitlines()))
