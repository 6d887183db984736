"""A device that runs the CUDA kernels on the host, for machines without a GPU and for checks.

`driver` is the front, `build` compiles kernels by g++, `launch` starts them. The rest is C++:
device.h is the language as the kernels see it, runtime.cpp runs threads, races.cpp and
sanitize.cpp are the checks, counts.cpp counts accesses to memory. See docs/kernels.md.
"""

from convnet.ops.cuda.emulated.driver import EmulatedDriver

__all__ = ["EmulatedDriver"]
