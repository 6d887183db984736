"""Writes docs/kernels-report.md: `python -m docs.kernels_report [NET ...]`.

Takes what `pip install 'cudaconvnet[inspect]'` brings. With names of nets, such as cifar10-11pct,
it compiles the kernels that these ask for, in some minutes each; without, those of all nets that
come with the program. Files with constants must be used by one of them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from convnet.inspection.instances import shipped_instances
from convnet.inspection.report import compile_all, faults, summary_rows
from convnet.ops.cuda.nvrtc import version
from docs.generate import table

PAGE = Path(__file__).with_name("kernels-report.md")
TEXT = """\
# What the kernels take

<!-- Written by `python -m docs.kernels_report{arguments}`. -->

Compiled by NVRTC {version} and disassembled, for {nets}; not run on a GPU.
For each architecture the most registers of a thread, and the least occupancy: the warps that a
multiprocessor holds, of those that it could hold. `local`: bytes of a thread's registers and arrays
that lie in memory. `shared`: bytes of a block. `copies`: those of 128 bits from global memory
(`LDGSTS.128`, before sm_80 `LDG.128`), from the instance with fewest to that with most; 0 where
images are no multiple of four. `products`: multiply-adds among the instructions of the main loop,
likewise; they are `FFMA` or, in tf32 and bf16, `HMMA`, which is 1024 or 2048 of them at once.
`python -m convnet kernels report` shows each instance.

{rows}

Faults, as [kernels.md](kernels.md#machine-code) defines them: {faults}.
"""


def page(nets: Sequence[str]) -> str:
    """The text, for all nets if `nets` is empty."""
    chosen = shipped_instances(lambda net: not nets or net in nets)
    compiled = list(compile_all(chosen, with_code=True))
    header, *rows = summary_rows(compiled)
    return TEXT.format(
        arguments="".join(f" {net}" for net in nets),
        version=version(),
        nets=", ".join(nets) or "all nets that come with the program",
        rows=table(header, rows),
        faults="; ".join(fault for c in compiled for fault in faults(c)) or "none",
    )


if __name__ == "__main__":
    PAGE.write_text(page(sys.argv[1:]))
