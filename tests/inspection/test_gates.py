"""The machine code of all kernels of all shipped nets: nothing spills, copies are wide.

All instances but those of nets for faces (L2 pooling alone) for two architectures, and those of one
net of every other kind of layer for the others; on sm_90 the tensor cores have but those of three
nets, to save time.
`python -m convnet kernels report` looks at all for all, which takes several times as long.
"""

from __future__ import annotations

import pytest

from convnet.inspection.instances import Instance, kernel_names, shipped_instances
from convnet.inspection.report import ARCHITECTURES, compile_all, faults
from tests.inspection.helpers import needs_disassembler, needs_nvrtc

WHOLE = (80, 90)
SAMPLE = "cifar10-11pct"
L2_POOLING = "face-nn4-small2"  # no other net has it
ON_TENSOR_CORES = ("imagenet-1gpu", "imagenet-resnet50", "imagenet-vgg11")

pytestmark = [pytest.mark.slow, needs_nvrtc, needs_disassembler]


def is_chosen(instance: Instance, arch: int) -> bool:
    if arch < instance.least_arch:
        return False
    if instance.name.startswith(L2_POOLING):
        return instance.file == "pooling"
    if arch == 90 and instance.least_arch:
        return instance.name.startswith(ON_TENSOR_CORES)
    return arch in WHOLE or instance.name.startswith(SAMPLE) or not instance.name


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_machine_code(arch: int) -> None:
    noted = shipped_instances(lambda net: net == L2_POOLING or not net.startswith("face"))
    chosen = [i for i in noted if is_chosen(i, arch)]
    found: list[str] = []
    kernels: set[tuple[str, str]] = set()
    for result in compile_all(chosen, [arch], with_code=True):
        found += faults(result)
        kernels |= {(result.instance.file, k.kernel) for k in result.kernels}
    assert found == []
    files = {i.file for i in chosen}
    assert kernels == {(file, name) for file in files for name in kernel_names(file)}
