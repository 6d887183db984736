"""Constants to compile each file of kernels with where no net says them.

`python -m convnet kernels` compiles kernels/NAME.cu once with each of the sets of constants of
INSTANCES[NAME]. A file that is not named here is compiled once, without any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from convnet.geometry import Pool, Window
from convnet.ops.cuda.convolution_ops import Plan
from convnet.ops.cuda.windows_ops import pool_constants

Constants = Mapping[str, int | float]

# Layers of the shipped nets: every kind of tile, stride, groups, local filters, one pixel.
_PLANS = (
    Plan(Window(1, 28, 28, 16, 5, padding=2), local=False),
    Plan(Window(64, 12, 12, 64, 5, padding=2), local=False),
    Plan(Window(64, 6, 6, 64, 3, padding=1), local=True),
    Plan(Window(3, 224, 224, 96, 11, stride=4), local=False),
    Plan(Window(96, 27, 27, 256, 5, padding=2, groups=2), local=False),
    Plan(Window(9216, 1, 1, 4096, 1), local=False),
    Plan(Window(128, 1, 1, 10, 1), local=False),
)

INSTANCES: dict[str, Sequence[Constants]] = {
    # A full minibatch, and a last one whose images are no multiple of four.
    "convolution": [plan.constants(N) for plan in _PLANS for N in (128, 127)],
    "pooling": [pool_constants(Pool(64, 24, 24, 3, 2))],
}
