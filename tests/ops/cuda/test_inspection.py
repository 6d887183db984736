"""Compiling kernels without a GPU; what needs NVRTC is left out where it is not installed."""

from __future__ import annotations

import re

import pytest

from convnet import cli
from convnet.errors import DeviceError
from convnet.ops.cuda import inspection, nvrtc
from convnet.ops.cuda.inspection import Compiled, Instance
from convnet.ops.cuda.nvrtc import Resources
from tests.ops.cuda.helpers import SOURCES

TILES = {f"TILE={tile}": {"TILE": tile} for tile in (8, 16)}
LOG = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'matmul' for 'sm_90'
ptxas info    : Function properties for matmul
ptxas         .     16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 2112 bytes smem, 368 bytes cmem[0]
ptxas info    : Compile time = 16.699 ms
ptxas info    : Compiling entry function 'votes' for 'sm_90'
ptxas info    : Function properties for votes
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 12 registers, used 0 barriers
ptxas info    : Compile time = 17.180 ms
"""


def missing() -> str:
    """Why nothing can be compiled here."""
    try:
        nvrtc.version()
    except DeviceError as error:
        return str(error)
    return ""


needs_nvrtc = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture(autouse=True)
def own_kernels(monkeypatch):
    monkeypatch.setattr(inspection, "find_folder", lambda name: SOURCES)
    for file in tuple(inspection.INSTANCES):
        monkeypatch.delitem(inspection.INSTANCES, file)
    monkeypatch.setitem(inspection.INSTANCES, "good", TILES)


def test_what_the_compiler_says():
    assert nvrtc._resources(LOG) == [
        Resources("matmul", registers=32, spills=20, stack=16, shared=2112),
        Resources("votes", registers=12, spills=0, stack=0, shared=0),
    ]
    assert nvrtc._mistakes(LOG + "bad.cu(3): error\n") == "bad.cu(3): error"


def test_instances():
    names = ["accesses", "bugs", "good TILE=8", "good TILE=16", "too_large"]
    assert list(map(str, inspection.instances())) == names
    with pytest.raises(DeviceError, match=r"absent.cu: no such file of kernels"):
        inspection.instances(table={"absent": {"": {}}})


def test_names_of_kernels(tmp_path):
    (tmp_path / "some.cu").write_text(
        'extern "C" __global__ void one(int) {}\n'
        'extern "C" __global__ void __launch_bounds__(N * (2 + 1)) two(int) {}\n'
        'extern "C" __global__ __launch_bounds__(64)\nvoid three(int) {}\n'
    )
    assert inspection.kernel_names("some", tmp_path) == ["one", "two", "three"]


def test_the_shipped_kernels_are_all_listed(monkeypatch):
    monkeypatch.undo()
    for instance in inspection.instances():
        assert inspection.kernel_names(instance.file)


def test_list(capsys):
    assert cli.main(["kernels", "list"]) == 0
    assert "good TILE=8: square_add, matmul, row_sums" in capsys.readouterr().out


def test_table_of_resources(monkeypatch, capsys):
    kernels = nvrtc._resources(LOG)
    made = Compiled(Instance("good", "TILE=16", TILES["TILE=16"]), 90, b"", kernels)
    monkeypatch.setattr(inspection, "compile_all", lambda *_: [made])
    assert cli.main(["kernels", "report"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "file          kernel   arch  registers  spills  stack  shared",
        "good TILE=16  matmul  sm_90         32      20     16    2112",
        "good TILE=16  votes   sm_90         12       0      0       0",
    ]


def test_machine_code_goes_to_files(monkeypatch, tmp_path, capsys):
    made = Compiled(
        Instance("good", "TILE=16", TILES["TILE=16"]), 90, b"code", nvrtc._resources(LOG)
    )
    monkeypatch.setattr(inspection, "compile_all", lambda *_: [made])
    assert cli.main(["kernels", "compile", "--out", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "good-TILE=16-sm_90.cubin").read_bytes() == b"code"
    assert capsys.readouterr().out == "sm_90  2 kernels of good TILE=16\n"


def test_no_compiler(monkeypatch):
    monkeypatch.setattr(nvrtc, "WHEELS", ())
    monkeypatch.setattr(nvrtc, "find_library", lambda name: None)
    nvrtc._load.cache_clear()
    with pytest.raises(
        DeviceError, match="NVRTC, NVIDIA's compiler, is not installed; pip install"
    ):
        list(inspection.compile_all([Instance("good", "", {})]))
    nvrtc._load.cache_clear()


@needs_nvrtc
@pytest.mark.parametrize("arch", inspection.ARCHITECTURES)
def test_the_tests_own_kernels_are_cuda(arch):
    """What the emulated device runs is what NVIDIA's compiler takes."""
    chosen = [i for i in inspection.instances() if i.file != "too_large"]
    for result in inspection.compile_all(chosen, [arch]):
        assert result.cubin.startswith(b"\x7fELF")
        assert all(kernel.registers > 0 for kernel in result.kernels)
    names = {kernel.kernel for kernel in result.kernels}
    assert names == set(inspection.kernel_names("good"))


@needs_nvrtc
@pytest.mark.slow
@pytest.mark.parametrize("arch", inspection.ARCHITECTURES)
def test_the_shipped_kernels_compile(arch, monkeypatch):
    monkeypatch.undo()
    for result in inspection.compile_all(inspection.instances(), [arch]):
        names = {kernel.kernel for kernel in result.kernels}
        assert names == set(inspection.kernel_names(result.instance.file))


@needs_nvrtc
def test_all_that_does_not_compile_is_told(capsys):
    assert cli.main(["kernels", "report", "--arch", "sm_80,sm_90"]) == 1
    errors = capsys.readouterr().err
    for arch in (80, 90):
        assert f"error: too_large.cu does not compile for sm_{arch} with -std=c++17" in errors
    assert len(re.findall("uses too much shared data", errors)) == 2
