"""Files stay short enough to read, and say nothing about the machine they were written on."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_LINES = 450
MAX_BYTES = 2**20

# A letter in brackets keeps each pattern from matching itself.
FORBIDDEN = {
    "a path of one machine": r"(?<![\w.])/(?:wor[k]|tm[p]|roo[t]|hom[e])/\w",
    "a host of a package registry": r"pyp[i]\.org|pythonhoste[d]\.org|debia[n]\.org|npmj[s]\.org",
    "a typographic quote": "[\u2018-\u201f\u00ab\u00bb]",
}


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """All files of the project, relative to its root."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so the project's files are not known")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    paths = [Path(name) for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if (ROOT / path).is_file()]


def test_files_are_short(files):
    lines = {p: (ROOT / p).read_text().count("\n") for p in files if p.suffix == ".py"}
    packages = Counter()
    for path, count in lines.items():
        packages[path.parent] += count
    for package, count in sorted(packages.items()):
        print(f"{count:6} lines in {package}")
    assert [f"{path}: {count}" for path, count in lines.items() if count > MAX_LINES] == []
    assert [str(path) for path in files if (ROOT / path).stat().st_size > MAX_BYTES] == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_has(files, what):
    found = []
    for path in files:
        content = (ROOT / path).read_bytes()
        if b"\0" in content:  # a picture, say
            continue
        found += [f"{path}: {m.group()}" for m in re.finditer(FORBIDDEN[what], content.decode())]
    assert found == []
