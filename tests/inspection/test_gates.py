"""The machine code of all kernels of all shipped nets: nothing spills, copies are wide.

All instances for two architectures, and those of one net of every kind of layer for the others.
`python -m convnet kernels report` looks at all for all, in ten minutes.
"""

from __future__ import annotations

import pytest

from convnet.inspection.instances import kernel_names, shipped_instances
from convnet.inspection.report import ARCHITECTURES, compile_all, faults
from tests.inspection.helpers import needs_disassembler, needs_nvrtc

WHOLE = (80, 90)
SAMPLE = "cifar10-11pct"

pytestmark = [pytest.mark.slow, needs_nvrtc, needs_disassembler]


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_machine_code(arch: int) -> None:
    chosen = [
        i for i in shipped_instances() if arch in WHOLE or i.name.startswith(SAMPLE) or not i.name
    ]
    found: list[str] = []
    kernels: set[tuple[str, str]] = set()
    for result in compile_all(chosen, [arch], with_code=True):
        found += faults(result)
        kernels |= {(result.instance.file, k.kernel) for k in result.kernels}
    assert found == []
    files = {i.file for i in chosen}
    assert kernels == {(file, name) for file in files for name in kernel_names(file)}
