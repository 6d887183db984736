"""Compiling kernels without a GPU; what needs NVRTC is left out where it is not installed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest

from convnet import cli
from convnet.errors import DeviceError
from convnet.inspection import instances
from convnet.inspection import report as inspection
from convnet.inspection.instances import Instance, kernel_names
from convnet.inspection.machine_code import Code
from convnet.inspection.report import ARCHITECTURES, Compiled, compile_all, faults, summary_rows
from convnet.ops.cuda import nvrtc
from convnet.ops.cuda.nvrtc import Resources
from tests.inspection.helpers import SOURCES, needs_disassembler, needs_nvrtc

KERNELS = list(kernel_names("good", SOURCES))
THREADS = dict.fromkeys(KERNELS, 64)
GOOD = [Instance("good", f"TILE={tile}", {"TILE": tile}, THREADS) for tile in (8, 16)]
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
MATMUL, VOTES = nvrtc._resources(LOG)
CODE = {
    "matmul": Code(Counter({"FFMA": 40, "LDG": 8, "LDG.128": 8}), Counter({"FFMA": 3, "LDS": 1})),
    "votes": Code(Counter(), Counter()),
}
MADE = Compiled(GOOD[1], 90, b"code", [replace(MATMUL, spills=0, stack=0), VOTES], CODE)


@pytest.fixture(autouse=True)
def own_kernels(monkeypatch):
    monkeypatch.setattr(inspection, "find_folder", lambda name: SOURCES)
    monkeypatch.setattr(instances, "find_folder", lambda name: SOURCES)
    bad = [Instance("bugs"), Instance("too_large")]
    monkeypatch.setattr(instances, "shipped_instances", lambda: [*GOOD, *bad])


def stand_in(monkeypatch, *results):
    monkeypatch.setattr(inspection, "compile_all", lambda *_, with_code: results)


def test_what_the_compiler_says():
    assert Resources("matmul", registers=32, spills=20, stack=16, shared=2112) == MATMUL
    assert Resources("votes", registers=12, spills=0, stack=0, shared=0) == VOTES
    assert nvrtc._mistakes(LOG + "bad.cu(3): error\n") == "bad.cu(3): error"


def test_list(capsys):
    assert cli.main(["kernels", "list"]) == 0
    assert "good TILE=8: square_add, matmul, row_sums" in capsys.readouterr().out


def test_table_of_kernels(monkeypatch, capsys):
    stand_in(monkeypatch, MADE)
    assert cli.main(["kernels", "report"]) == 0
    header, matmul, votes = map(str.split, capsys.readouterr().out.splitlines())
    assert header[1:] == [
        *("kernel", "arch", "registers", "spills", "stack", "threads", "shared", "blocks"),
        *("warps", "limit", "LDG.128", "LDGSTS.128", "LDS.128", "FFMA", "HMMA", "LDL", "STL"),
        "products",
    ]
    resources = ["32", "0", "0", "64", "2112", "32", "100%", "warps"]
    found = ["8", "-", "-", "40", "-", "-", "-", "75%"]
    assert matmul == ["good", "TILE=16", "matmul", "sm_90", *resources, *found]
    assert votes[-1] == "-"


def test_summary():
    other = replace(MADE, instance=GOOD[0], kernels=[replace(MATMUL, registers=40)])
    precise = Instance("good", "tf32", {"PRECISION": 1}, THREADS)
    newer = replace(MADE, instance=precise, arch=100, kernels=MADE.kernels[:1])
    assert summary_rows([MADE, other, newer]) == [
        ("file", "kernel", "instances", "sm_90", "sm_100", "local", "shared", "copies", "products"),
        ("good", "matmul", "2", "40, 75%", "-", "36", "2112", "8 to 8", "75% to 75%"),
        ("good", "votes", "1", "12, 100%", "-", "0", "0", "-", "-"),
        ("good", "matmul tf32", "1", "-", "32, 100%", "0", "2112", "8 to 8", "75% to 75%"),
    ]


CONVOLUTION = Instance("convolution", "a", {"IMAGE_QUADS": 1}, {"matmul": 1024})
PRECISE = Instance("convolution", "b", {"IMAGE_QUADS": 0, "PRECISION": 1}, {"matmul": 64})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kernels": [MATMUL]}, ["20 bytes of registers spill", "16 bytes of stack"]),
        (
            {"code": {"matmul": Code(Counter({"LDL": 1}), Counter())}},
            ["it reads or writes local memory"],
        ),
        ({"instance": CONVOLUTION}, ["no LDGSTS.128"]),
        ({"instance": CONVOLUTION, "arch": 75}, []),
        (
            {"instance": CONVOLUTION, "arch": 75, "kernels": [Resources("matmul", 72, 0, 0, 0)]},
            ["no multiprocessor holds a block of 1024 threads with 72 registers and 0 bytes"],
        ),
        ({"instance": PRECISE}, ["no HMMA"]),
        ({}, []),
    ],
)
def test_faults(changes, says, monkeypatch):
    monkeypatch.setitem(inspection.PRODUCTS, "convolution", ["matmul"])
    made = replace(MADE, **({"kernels": MADE.kernels[:1]} | changes))
    where = f"{made.instance}: matmul for sm_{made.arch}"
    assert faults(made) == [f"{where}: {what}" for what in says]


def test_faults_end_the_report(monkeypatch, capsys):
    stand_in(monkeypatch, replace(MADE, kernels=[replace(MATMUL, stack=0), VOTES]))
    assert cli.main(["kernels", "report"]) == 1
    said = capsys.readouterr()
    assert said.err == ("error: good TILE=16: matmul for sm_90: 20 bytes of registers spill\n")
    assert len(said.out.splitlines()) == 3


def test_machine_code_goes_to_files(monkeypatch, tmp_path, capsys):
    stand_in(monkeypatch, MADE)
    assert cli.main(["kernels", "compile", "--out", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "good-TILE=16-sm_90.cubin").read_bytes() == b"code"
    assert capsys.readouterr().out == "sm_90  2 kernels of good TILE=16\n"


def test_kernels_of_one_net(monkeypatch, capsys):
    monkeypatch.undo()
    net = ["--layer-def", "layers/layers-mnist-quick.cfg", "--input-shape", "1x28x28"]
    assert cli.main(["kernels", "list", *net, "--mini", "6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "convolution conv2: fprop, dgrad, wgrad" in lines
    files = {line.replace(":", "").split()[0] for line in lines}
    assert files == {"convolution", "costs", "elementwise", "pooling", "sums"}  # that it uses


def test_no_compiler(monkeypatch):
    monkeypatch.setattr(nvrtc, "WHEELS", ())
    monkeypatch.setattr(nvrtc, "find_library", lambda name: None)
    nvrtc._load.cache_clear()
    with pytest.raises(
        DeviceError, match="NVRTC, NVIDIA's compiler, is not installed; pip install"
    ):
        list(compile_all(GOOD))
    nvrtc._load.cache_clear()


@needs_nvrtc
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_tests_own_kernels_are_cuda(arch):
    """What the emulated device runs is what NVIDIA's compiler takes."""
    for result in compile_all([*GOOD, Instance("bugs")], [arch]):
        assert result.cubin.startswith(b"\x7fELF")
        assert all(kernel.registers > 0 for kernel in result.kernels)
        if result.instance.constants:
            assert {kernel.kernel for kernel in result.kernels} == set(KERNELS)


@needs_nvrtc
@needs_disassembler
def test_code_of_the_tests_own_kernels():
    (result,) = compile_all(GOOD[1:], [90], with_code=True)
    assert result.code.keys() == {kernel.kernel for kernel in result.kernels}
    assert result.code["matmul"].product_share > 0.1
    assert result.code["reverse_ahead"].counts["LDGSTS"] > 0


@needs_nvrtc
def test_all_that_does_not_compile_is_told(capsys):
    assert cli.main(["kernels", "compile", "--arch", "sm_80,sm_90"]) == 1
    errors = capsys.readouterr().err
    for arch in (80, 90):
        assert f"error: too_large.cu does not compile for sm_{arch} with -std=c++17" in errors
    assert len(re.findall("uses too much shared data", errors)) == 2
