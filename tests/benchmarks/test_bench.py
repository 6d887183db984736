"""The comparison with PyTorch runs, in a tiny size; PyTorch itself only where it is installed."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.benchmarks.bench import NETS, ROOT, report


@pytest.mark.parametrize(
    "net", ["quick", *(pytest.param(n, marks=pytest.mark.slow) for n in NETS if n != "quick")]
)
def test_bench_runs(net: str) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.bench", "--tiny", "--repeats=1"]
    run = subprocess.run(
        [*command, f"--net={net}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in run.stdout.splitlines() if line.startswith(f"{net} ")]
    ours = [row for row in rows if row[3] == "convnet"]
    assert [row[:3] for row in ours] == [[net, "2", "training"], [net, "2", "testing"]]
    assert all(float(figure) > 0 for row in ours for figure in row[4:9])


def test_growth_runs() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.growth", "--tiny", "--repeats=1"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows = [line.split() for line in run.stdout.splitlines()[3:]]
    assert [row[:2] for row in rows][:5] == [
        ["batch", "1"], ["batch", "2"], ["batch", "4"], ["batch", "8"], ["side", "8"],
    ]  # fmt: skip
    assert {row[0] for row in rows} == {"batch", "side", "channels", "threads"}
    assert all(float(figure) > 0 for row in rows for figure in row[2:4])


def test_an_unknown_net_is_named() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.bench", "--net=resnet"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert "no net 'resnet'; there are quick, 11pct, alexnet, vgg11, resnet50" in run.stderr


def test_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    def side(name: str, *times: float) -> Any:
        both = {"training": list(times), "testing": list(times)}
        return SimpleNamespace(name=name, times=both, close=lambda: "100")

    sides = [side("convnet", 1, 2, 4), side("torch a", 9, 3, 5), side("torch b", 7, 6, 8)]
    report("quick", NETS["quick"], sides)
    ours, *others = capsys.readouterr().out.splitlines()[:3]
    assert ours.endswith(" 2000.0    1000.0    4000.0      64.0    100   2.50   3.00")
    assert [row.split()[5] for row in others] == ["5000.0", "7000.0"]
