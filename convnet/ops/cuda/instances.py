"""Constants to compile each file of kernels with where no net says them.

`python -m convnet kernels` compiles kernels/NAME.cu once with each of the sets of constants of
INSTANCES[NAME]. A file that is not named here is compiled once, without any.
"""

from __future__ import annotations

Constants = dict[str, int | float]

INSTANCES: dict[str, list[Constants]] = {}
