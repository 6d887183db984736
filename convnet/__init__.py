"""Train convolutional nets that are written in two small layer files."""

from convnet.api import build, load
from convnet.errors import ConvnetError
from convnet.net import Net
from convnet.plan import Clock
from convnet.updates import Updates
from convnet.version import __version__

__all__ = ["Clock", "ConvnetError", "Net", "Updates", "__version__", "build", "load"]
