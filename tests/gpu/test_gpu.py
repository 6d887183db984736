"""The programs for machines with a GPU, on the emulated device and without any."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from convnet.geometry import Window
from convnet.plan import Call, new_buffer
from convnet.profile import Timing
from convnet.roofline import FP32, GPUS, Gpu
from tests.gpu import ROOT, bench, run_tests
from tests.helpers import emulated_ops


@pytest.mark.parametrize("module", ["run_tests", "bench"])
def test_without_a_gpu(module: str, tmp_path: Path) -> None:
    if not run_tests.why_not("cuda"):
        pytest.skip("there is a GPU")
    command = [sys.executable, "-m", f"tests.gpu.{module}", "--out", str(tmp_path / "report")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("skipped: the GPU is used through CuPy, which is missing")
    assert not (tmp_path / "report").exists()


def test_report_of_tests(tmp_path: Path) -> None:
    steps = {
        "good": [sys.executable, "-c", "import os; print(os.environ['CONVNET_TEST_BACKEND'])"],
        "bad": [sys.executable, "-c", "print('why'); raise SystemExit(1)"],
        "absent": ["no-such-program"],
    }
    out = tmp_path / "new" / "report.txt"
    assert run_tests.run(steps, "emulated", out) == 1
    lines = out.read_text().splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["date", "commit", "backend"]
    assert lines[-4:] == [
        "good: passed, 0 s: emulated",
        "bad: failed, 0 s: why",
        "why",
        "absent: skipped, 0 s: no-such-program is not installed",
    ]
    del steps["bad"]
    assert run_tests.run(steps, "emulated", out) == 0


def test_a_step_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tests, "LIMIT", 0.1)
    steps = {"slow": [sys.executable, "-c", "import time; time.sleep(60)"]}
    assert run_tests.run(steps, "emulated", tmp_path / "report.txt") == 1
    assert "slow: too slow, 0 s: stopped after 0.1 s" in (tmp_path / "report.txt").read_text()


def test_the_steps_find_tests() -> None:
    for command in list(run_tests.STEPS.values())[:2]:
        done = subprocess.run(
            [*command, "--collect-only"], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA A100-SXM4-40GB", GPUS["a100"]),
        ("NVIDIA H100 80GB HBM3", GPUS["h100"]),
        ("NVIDIA H100 PCIe", None),  # slower
        ("NVIDIA GeForce RTX 4090", None),
        ("nvidia-smi is not installed", None),
    ],
)
def test_peaks_of_a_gpu(name: str, gpu: Gpu | None) -> None:
    assert bench.find_gpu(name) == gpu


def test_shares_of_the_roofline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that a GPU of 2 TFLOP/s and 100 GB/s needs, of that which was taken."""
    g, gpu = Window(8, 6, 6, 16, 3), bench.parse_peak("2,100")
    images, acts = new_buffer("x", g.images_shape), new_buffer("y", g.acts_shape)
    filters = new_buffer("w", g.conv_filters_shape, per_case=False)
    given = {"g": g, "images": images, "filters": filters, "acts": acts}
    conv, neuron = Call("conv_fprop", given, layer="conv"), Call("dropout", {"acts": acts})
    size = 4 * (128 * 8 * 6 * 6 + 8 * 9 * 16 + 128 * 16 * 4 * 4)
    timings = [
        Timing(conv, 4 * size / 1e11, 0, 0),
        Timing(neuron, 4 * 128 * 16 * 4 * 4 / 1e11, 0, 0),
    ]
    monkeypatch.setattr(bench, "profile", lambda *_: timings)
    net = SimpleNamespace(batch_size=128)
    header, *rows = bench.call_rows(net, gpu, 1)  # type: ignore[arg-type]
    assert header == ("layer", "operation", "us", "of roofline")
    assert rows[0][:2] == ("conv", "conv_fprop")
    assert [row[3] for row in rows] == ["25%", "100%"]
    assert bench.call_rows(net, None, 1)[0] == header[:3]  # type: ignore[arg-type]
    gpu.flops[FP32] = 2 * 16 * 16 * 8 * 9 * 128 / timings[0].seconds  # now these bound
    assert bench.call_rows(net, gpu, 1)[1][3] == "100%"  # type: ignore[arg-type]


@pytest.mark.slow
def test_bench_runs(tmp_path: Path) -> None:
    emulated_ops()  # or skips
    out = tmp_path / "report.txt"
    command = [sys.executable, "-m", "tests.gpu.bench", "--backend=emulated", "--net=quick"]
    command += ["--tiny", "--repeats=1", "--peak=1,1", f"--out={out}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == out.read_text()
    rows = [line.split() for line in done.stdout.splitlines()]
    ours = [row for row in rows if row[3:4] == ["convnet"]]
    assert [row[:3] for row in ours] == [["quick", "2", kind] for kind in ("training", "testing")]
    assert ["conv1", "conv_fprop"] in [row[:2] for row in rows]
    assert all(row[-1].endswith("%") for row in rows if row[1:2] == ["conv_fprop"])
