"""What is run by hand on a machine with a GPU: `make test-gpu` and `make bench-gpu`."""

from __future__ import annotations

import platform
import shutil
import subprocess
import time
from importlib.metadata import distributions
from pathlib import Path

from convnet.api import make_ops
from convnet.errors import DeviceError

ROOT = Path(__file__).parents[2]
PACKAGES = ("cupy", "numpy", "nvidia-cuda-nvrtc", "torch")  # beginnings of names


def why_not(backend: str) -> str:
    """Why the backend cannot be used here; empty if it can."""
    try:
        make_ops(backend)
    except DeviceError as error:
        return str(error)
    return ""


def machine(backend: str) -> list[str]:
    """Lines that say what the results of a report belong to."""
    found = [(d.name, d.version) for d in distributions() if d.name.startswith(PACKAGES)]
    query = "--query-gpu=name,driver_version,memory.total"
    return [
        f"date: {time.strftime('%Y-%m-%d %H:%M')}",
        f"commit: {_output('git', 'describe', '--always', '--dirty')}",
        f"backend: {backend}",
        f"GPU, driver, memory: {_output('nvidia-smi', query, '--format=csv,noheader')}",
        f"Python {platform.python_version()}, {', '.join(' '.join(f) for f in sorted(found))}",
    ]


def gpu_name() -> str:
    """Of the first GPU, as its driver calls it."""
    query = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return query.partition("\n")[0]


def _output(*command: str) -> str:
    if not shutil.which(command[0]):
        return f"{command[0]} is not installed"
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return (done.stdout or done.stderr).strip()
