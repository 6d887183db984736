"""What the two sides of the comparison have in common: a process that takes steps when asked.

Each side runs in a process of its own, so that pools of threads do not mix and memory can be told
apart. It prints its version; then, for each line `training` or `testing` on its input, the seconds
that such a step took, and those of the processor; and when its input ends the most memory that it
held, in MiB.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable


def serve(version: str, steps: dict[str, Callable[[], object]]) -> None:
    """Answers the requests; `steps` has a function for each kind of step."""
    print(version, flush=True)
    for line in sys.stdin:
        start = time.perf_counter(), time.process_time()
        steps[line.strip()]()
        print(time.perf_counter() - start[0], time.process_time() - start[1], flush=True)
    scale = 2**20 if sys.platform == "darwin" else 2**10
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // scale)
