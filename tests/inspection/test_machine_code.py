"""Counts of instructions, on a listing as nvdisasm writes it, shortened."""

from __future__ import annotations

from collections import Counter

import pytest

from convnet.errors import DeviceError
from convnet.inspection import machine_code
from convnet.inspection.machine_code import disassemble, find_disassembler, read_listing
from tests.inspection.helpers import needs_disassembler

LISTING = """\
\t.headerflags\t@"EF_CUDA_SM90 EF_CUDA_VIRTUAL_SM(EF_CUDA_SM90)"
//--------------------- .text.product            --------------------------
\t.section\t.text.product,"ax",@progbits
.text.product:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/              @!P0 BRA `(.L_x_3) ;
.L_x_1:
        /*0020*/                   LDGSTS.E.BYPASS.128 [R5], desc[UR6][R2.64], P1 ;
        /*0030*/                   LDGSTS.E [R5+0x10], desc[UR6][R2.64] ;
        /*0040*/               @P2 LDG.E.128.CONSTANT R4, desc[UR6][R2.64] ;
.L_x_2:
        /*0050*/                   LDS.128 R8, [R20] ;
        /*0060*/                   FFMA R0, R8, R9, R0 ;
        /*0070*/                   FFMA R1, R8, R10, R1 ;
        /*0080*/              @!P3 BRA `(.L_x_2) ;
        /*0090*/              @UP1 BRA `(.L_x_1) ;
.L_x_3:
        /*00a0*/                   FFMA R0, R8, R9, R0 ;
        /*00b0*/                   STL.64 [R1], R2 ;
.L_x_4:
        /*00c0*/                   BRA `(.L_x_4);
.text.plain:
        /*0000*/                   EXIT ;
.L_x_5:
        /*0010*/                   BRA `(.L_x_5);
"""


def test_counts():
    kernels = read_listing(LISTING)
    assert list(kernels) == ["product", "plain"]
    counts = kernels["product"].counts
    assert counts["LDGSTS"] == 2
    assert [counts[f"{name}.128"] for name in ("LDGSTS", "LDG", "LDS", "STL")] == [1, 1, 1, 0]
    assert (counts["FFMA"], counts["STL"], counts["LDL"], counts["BRA"]) == (3, 1, 0, 4)


def test_the_main_loop_is_the_inmost_with_most_products():
    kernels = read_listing(LISTING)
    assert kernels["product"].loop == Counter({"FFMA": 2, "LDS": 1, "LDS.128": 1, "BRA": 1})
    assert kernels["product"].product_share == 0.5
    assert kernels["plain"].product_share == 0


def test_no_disassembler(monkeypatch):
    monkeypatch.setattr(machine_code, "WHEELS", "absent")
    monkeypatch.setattr(machine_code.shutil, "which", lambda name: None)
    with pytest.raises(DeviceError, match=r"nvdisasm, .* is not installed; pip install 'cuda"):
        find_disassembler()


@needs_disassembler
def test_no_machine_code():
    with pytest.raises(DeviceError, match="nvdisasm failed: "):
        disassemble(b"no machine code")
