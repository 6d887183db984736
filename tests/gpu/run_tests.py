"""Runs the tests of all kernels, and the runs with known costs, on a GPU: `make test-gpu`.

    python -m tests.gpu.run_tests [--out runs/test-gpu.txt]

Where NVIDIA's compute-sanitizer is installed, a few of them once more below it. What was run, on
which machine, and how it ended stands in the file. Without a GPU it says why, and that is no error.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.gpu import ROOT, machine, why_not

PYTEST = [sys.executable, "-m", "pytest"]
# Those that take the emulated device run on the GPU, see tests/helpers.py.
KERNELS = ["tests/ops", "-k", "emulated or test_cuda_ops or test_launches or gpu"]
GOLDEN = ["tests/test_golden.py", "tests/test_emulated_nets.py", "-k", "emulated or ten_steps"]
SMALL = ["tests/ops/test_pool.py", "tests/ops/test_softmax.py", "tests/test_golden.py"]
STEPS = {
    "kernels": [*PYTEST, *KERNELS, "-m", "slow or not slow"],
    "known costs": [*PYTEST, *GOLDEN, "-m", "slow or not slow"],
    **{
        f"compute-sanitizer {tool}": [
            *("compute-sanitizer", "--tool", tool, "--error-exitcode", "99"),
            *(*PYTEST, *SMALL, "-k", "emulated"),
        ]
        for tool in ("memcheck", "racecheck")
    },
}
LIMIT = 240  # seconds for each of the two long steps; the whole takes less than ten minutes
SANITIZER_LIMIT = 50


def run(steps: Mapping[str, Sequence[str]], backend: str, out: Path) -> int:
    """Runs the steps and writes the report; the exit status, 1 if one of them failed."""
    out.parent.mkdir(parents=True, exist_ok=True)
    failed = False
    with out.open("w") as report:

        def tell(line: str) -> None:
            print(line, flush=True)
            print(line, file=report, flush=True)

        for line in machine(backend):
            tell(line)
        for name, command in steps.items():
            start = time.monotonic()
            result, output = _run(command, backend)
            failed |= result not in ("passed", "skipped")
            last = (output.strip().splitlines() or [""])[-1]
            tell(f"{name}: {result}, {time.monotonic() - start:.0f} s: {last}")
            if result == "failed":
                report.write(output)
    return int(failed)


def _run(command: Sequence[str], backend: str) -> tuple[str, str]:
    """How a step ended, and what it printed."""
    if not shutil.which(command[0]):
        return "skipped", f"{command[0]} is not installed"
    environment = os.environ | {"CONVNET_TEST_BACKEND": backend}
    limit = SANITIZER_LIMIT if command[0] == "compute-sanitizer" else LIMIT
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return "too slow", f"stopped after {limit} s"
    return ("failed" if done.returncode else "passed"), done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "test-gpu.txt")
    options = parser.parse_args()
    if reason := why_not("cuda"):
        print(f"skipped: {reason}")
        return 0
    return run(STEPS, "cuda", options.out)


if __name__ == "__main__":
    sys.exit(main())
