"""The errors that users meet: each is one clear text without a traceback.

A text says where (file and line, layer, option or batch), what was expected, what was found
and, where it is not obvious, what to do.
"""

from __future__ import annotations


class ConvnetError(Exception):
    """Base of every error that a user's input can cause; the command line prints its text."""


class ConfigError(ConvnetError):
    """Mistakes in the layer files, one line each."""


class OptionError(ConvnetError):
    """A wrong or missing command-line option, or one that cannot be changed on resume."""


class ShapeError(ConvnetError):
    """Sizes that do not fit together, or arrays of another shape than the net expects."""


class BatchError(ConvnetError):
    """A batch of data that does not fit the net: wrong size, dtype or labels."""


class CheckpointError(ConvnetError):
    """A checkpoint that cannot be read, written, or that belongs to another net."""


class NonFiniteError(ConvnetError):
    """A NaN or infinity turned up; names the first layer in which it did."""


class DivergedError(ConvnetError):
    """The cost of a training rises and rises."""


class DeviceError(ConvnetError):
    """A GPU that is missing or cannot do what is asked, or a kernel that fails on it."""


class Problems:
    """Collects mistakes, each once, so that all of them can be reported together.

    >>> problems = Problems()
    >>> problems.add("layers.cfg:3", "Layer 'conv1': unknown key 'stridee'")
    >>> bool(problems)
    True
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def add(self, where: str, text: str) -> None:
        self._collect(self.errors, where, text)

    def warn(self, where: str, text: str) -> None:
        self._collect(self.warnings, where, text)

    def _collect(self, lines: list[str], where: str, text: str) -> None:
        line = f"{where}: {text}" if where else text
        if line not in lines:
            lines.append(line)

    def __bool__(self) -> bool:
        return bool(self.errors)

    def raise_if_any(self) -> None:
        """Raises: ConfigError with one line per mistake, if there are any."""
        if self.errors:
            raise ConfigError("\n".join(self.errors))
