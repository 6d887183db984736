"""--gpu: the GPU if there is one, else the CPU, which says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from convnet.api import choose_backend, make_ops
from convnet.errors import DeviceError
from convnet.ops.cuda import cupy_driver, pycuda_driver
from convnet.ops.cuda.emulated.driver import EmulatedDriver
from tests.helpers import emulated_ops
from tests.train.helpers import Workplace


def no_gpu(device: int) -> None:
    raise DeviceError(f"there is no GPU {device}")


def test_without_a_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cupy_driver, "CupyDriver", no_gpu)
    assert Workplace(tmp_path).train("run", epochs=1, gpu="1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "warning: --gpu: running on the CPU, as there is no GPU 1"
    assert any(line.startswith("Running on the CPU; ") for line in lines)


def test_with_a_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emulated device in its place. It learns what the CPU does."""
    emulated_ops()  # or skips
    place = Workplace(tmp_path)
    assert place.train("cpu", epochs=1) == 0
    assert "Running on the CPU; " in capsys.readouterr().out
    monkeypatch.setattr(cupy_driver, "CupyDriver", lambda device: EmulatedDriver())
    assert place.train("gpu", epochs=1, gpu="0") == 0
    assert "Running on the GPU (cuda:0, fp32); " in capsys.readouterr().out
    cpu, gpu = (place.checkpoint(run).weights for run in ("cpu", "gpu"))
    for name, values in cpu.items():
        assert gpu[name] == pytest.approx(values, rel=0, abs=1e-5), name


def test_with_a_gpu_in_another_precision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on keeps it."""
    emulated_ops()  # or skips
    place = Workplace(tmp_path)
    monkeypatch.setattr(cupy_driver, "CupyDriver", lambda device: EmulatedDriver())
    assert place.train("run", epochs=1, gpu="0", precision="bf16") == 0
    assert "Running on the GPU (cuda:0, bf16); " in capsys.readouterr().out
    assert place.train("run", epochs=2) == 0
    assert "Running on the GPU (cuda:0, bf16); " in capsys.readouterr().out


def test_a_gpu_without_that_precision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cupy_driver, "CupyDriver", lambda device: EmulatedDriver(arch=75))
    assert Workplace(tmp_path).train("run", epochs=1, gpu="0", precision="tf32") == 1
    assert capsys.readouterr().err == (
        "error: tf32 needs a GPU of compute capability 8.0 or higher; this one has 7.5: choose "
        "--precision fp32\n"
    )


@pytest.mark.parametrize(
    ("gpu", "chosen"), [([], "cpu"), ([0], "cuda:0"), ([-1], "cuda:0"), ([2, 3], "cuda:2")]
)
def test_which(gpu: list[int], chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cupy_driver, "CupyDriver", lambda device: EmulatedDriver())
    assert choose_backend(gpu) == (chosen, "")


@pytest.mark.parametrize(
    ("backend", "driver", "device"),
    [("cuda", "CupyDriver", 0), ("cuda:3", "CupyDriver", 3), ("pycuda:1", "PycudaDriver", 1)],
)
def test_make_ops_needs_a_gpu(
    backend: str, driver: str, device: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = cupy_driver if driver == "CupyDriver" else pycuda_driver
    monkeypatch.setattr(module, driver, no_gpu)
    with pytest.raises(DeviceError, match=f"there is no GPU {device}"):
        make_ops(backend)
