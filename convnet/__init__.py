"""Train convolutional nets that are written in two small layer files."""

from convnet.version import __version__

__all__ = ["__version__"]
