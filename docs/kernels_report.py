"""Writes docs/kernels-report.md: `python -m docs.kernels_report [NET]`.

Takes what `pip install 'cudaconvnet[inspect]'` brings. With the name of a net, such as
cifar10-11pct, it compiles the kernels that this net asks for, in a few minutes; without, those of
all nets that come with the program.
"""

from __future__ import annotations

import sys
from pathlib import Path

from convnet.inspection.instances import shipped_instances
from convnet.inspection.report import compile_all, faults, summary_rows
from convnet.ops.cuda.nvrtc import version
from docs.generate import table

PAGE = Path(__file__).with_name("kernels-report.md")
TEXT = """\
# What the kernels take

<!-- Written by `python -m docs.kernels_report{argument}`. -->

Compiled by NVRTC {version} and disassembled, for {nets}; not run on a GPU.
For each architecture the most registers of a thread, and the least occupancy: the warps that a
multiprocessor holds, of those that it could hold. `local`: bytes of a thread's registers and arrays
that lie in memory. `shared`: bytes of a block. `products`: multiply-adds among the instructions of
the main loop, from the instance with fewest to that with most.
`python -m convnet kernels report` shows each instance.

{rows}

Faults, as [kernels.md](kernels.md#machine-code) defines them: {faults}.
"""


def page(net: str) -> str:
    """The text, for all nets if `net` is empty."""
    chosen = [i for i in shipped_instances() if not i.name or i.name.startswith(net)]
    compiled = list(compile_all(chosen, with_code=True))
    header, *rows = summary_rows(compiled)
    return TEXT.format(
        argument=f" {net}".rstrip(),
        version=version(),
        nets=f"the net {net}" if net else "all nets that come with the program",
        rows=table(header, rows),
        faults="; ".join(fault for c in compiled for fault in faults(c)) or "none",
    )


if __name__ == "__main__":
    PAGE.write_text(page(*sys.argv[1:] or [""]))
