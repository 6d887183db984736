"""Constants to compile each file of kernels with where no net says them.

`python -m convnet kernels` compiles kernels/NAME.cu once with each of the sets of constants of
INSTANCES[NAME], which go by names. A file that is not named here is compiled once, without any.
"""

from __future__ import annotations

from collections.abc import Mapping

from convnet.geometry import Pool, Window
from convnet.ops.cuda.convolution_ops import Plan
from convnet.ops.cuda.driver import Constant
from convnet.ops.cuda.windows_ops import pool_constants
from convnet.ops.cuda.winograd_ops import point_constants

Constants = Mapping[str, Constant]

MULTIPROCESSORS = 108  # of an A100, for the choice of tiles

# Layers of the shipped nets: every kind of tile, stride, groups, local filters, one pixel; full
# minibatches, and a last one whose images are no multiple of four.
_LAYERS = {
    "mnist-conv1-of-127": (Window(1, 28, 28, 16, 5, padding=2), False, 127),
    "cifar10-conv2": (Window(64, 12, 12, 64, 5, padding=2), False, 128),
    "cifar10-local3": (Window(64, 6, 6, 64, 3, padding=1), True, 128),
    "imagenet-conv1": (Window(3, 224, 224, 96, 11, stride=4), False, 128),
    "imagenet-conv2": (Window(96, 27, 27, 256, 5, padding=2, groups=2), False, 128),
    "imagenet-fc6": (Window(9216, 1, 1, 4096, 1), False, 128),
}

# The same for Winograd's method: three kinds of tiles, both sizes of filters.
_WINOGRAD = {
    "vgg11-conv2": Window(64, 112, 112, 128, 3, padding=1),
    "vgg11-conv4": Window(256, 56, 56, 256, 3, padding=1),
    "5x5": Window(128, 28, 28, 256, 5, padding=2),
}

INSTANCES: dict[str, Mapping[str, Constants]] = {
    "convolution": {
        name: Plan(g, local, N, MULTIPROCESSORS).constants
        for name, (g, local, N) in _LAYERS.items()
    },
    "winograd": {name: point_constants(g, 128, MULTIPROCESSORS) for name, g in _WINOGRAD.items()},
    "pooling": {"3x3": pool_constants(Pool(64, 24, 24, 3, 2))},
}
