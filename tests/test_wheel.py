"""What users install: the wheel, built from the source distribution, in a new environment."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from convnet.version import __version__

ROOT = Path(__file__).resolve().parents[1]
NOT_SOURCE = (".*", "__pycache__", "*.egg-info", "build", "dist", "data", "runs")

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command; its errors too where it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    # A copy, for a build leaves files in the source tree, which a later build would pick up.
    source = tmp_path_factory.mktemp("build") / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    run(sys.executable, "-m", "build", "--no-isolation", cwd=source)
    return next((source / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of a new environment with the wheel and what it requires, no more."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return python


@pytest.fixture
def installed_layers(python, tmp_path) -> Path:
    code = "from convnet.resources import find_folder; print(find_folder('layers'))"
    return Path(run(python, "-c", code, cwd=tmp_path).strip())


def shipped(folder: str) -> set[str]:
    return {path.name for path in (ROOT / folder).iterdir()}


def test_wheel_has_all_modules_and_data_and_nothing_beside_them(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"cudaconvnet-{__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"convnet", "data_providers", info}
    modules = [
        path
        for top in ("convnet", "data_providers")
        for pattern in ("*.py", "*.cfg", "*.cpp", "*.h")
        for path in (ROOT / top).rglob(pattern)
    ]
    assert {str(path.relative_to(ROOT)) for path in modules} <= names
    assert {"convnet/py.typed", "data_providers/py.typed"} <= names
    for folder in ("kernels", "layers"):
        prefix = f"convnet/_{folder}/"
        inside = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        assert inside == shipped(folder)


def test_installed_program_tells_its_version(python, tmp_path):
    assert run(python, "-m", "convnet", "--version", cwd=tmp_path) == f"cudaconvnet {__version__}\n"
    assert run(python.parent / "convnet", "--version", cwd=tmp_path).endswith(f"{__version__}\n")


def test_installed_program_finds_its_folders(python, installed_layers, tmp_path):
    assert installed_layers.is_relative_to(python.parents[1])
    assert {path.name for path in installed_layers.iterdir()} == shipped("layers")
    code = "from convnet.resources import find_folder; print(find_folder('kernels'))"
    kernels = Path(run(python, "-c", code, cwd=tmp_path).strip())
    assert {path.name for path in kernels.iterdir()} == shipped("kernels")


def test_installed_program_checks_and_trains_a_shipped_net(python, installed_layers, tmp_path):
    definition = installed_layers / "layers-mnist-quick.cfg"
    parameters = installed_layers / "layer-params-mnist-quick.cfg"
    files = ("--layer-def", definition, "--layer-params", parameters)
    program = (python, "-m", "convnet")
    table = run(*program, "check", *files, "--input-shape", "1x28x28", cwd=tmp_path)
    assert "conv1" in table
    data = ("--data-provider", "dummy-cn-784", "--train-range", "1-2", "--test-range", "3")
    length = ("--epochs", "1", "--test-freq", "2", "--save-file", "run")
    output = run(*program, *data, *length, *files, cwd=tmp_path)
    assert "Saved checkpoint to run/1.2.safetensors" in output
    run(*program, "show", "--load-file", "run", "--out", "run.png", cwd=tmp_path)
    assert (tmp_path / "run.png").stat().st_size > 1000
