"""Imports go one way: read from the sources, so that a shortcut shows."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(p for top in ("convnet", "data_providers") for p in (ROOT / top).rglob("*.py"))

# Each part of the package (a file, or a folder with what is below it) and the parts that it may
# import: only such as stand above it here.
MAY_IMPORT = {
    "errors": "",
    "version": "",
    "neurons": "",
    "precision": "",
    "resources": "errors",
    "geometry": "errors",
    "resampling": "",
    "config": "errors neurons",
    "ops": "errors geometry neurons precision resampling resources",
    "plan": "neurons ops",
    "fusion": "neurons plan",
    "program": "fusion ops plan",
    "layer_types": "config errors geometry neurons ops plan resampling",
    "replicas": "errors layer_types",
    "graph": "config errors geometry layer_types replicas",
    "shapes": "config errors geometry graph layer_types",
    "updates": "",
    "recording": "errors graph layer_types plan program replicas updates",
    "runner": "ops plan program",
    "lasting": "errors graph layer_types ops recording runner",
    "memory": "errors plan runner",
    "nonfinite": "graph layer_types ops plan recording runner",
    "net": "errors graph lasting layer_types memory nonfinite ops plan recording runner updates",
    "options": "errors precision version",
    "state": "config",
    # Of the original's checkpoints.
    "legacy": "config errors geometry graph layer_types neurons options state data_providers",
    "checkpoint": "config errors legacy options state",
    "initial": "checkpoint errors layer_types net",
    "api": "checkpoint config errors geometry graph initial layer_types net ops precision "
    "resources shapes updates",
    "__init__": "api errors net plan updates version",
    "convert": "api checkpoint errors legacy",
    "transform": "config errors graph layer_types",
    "inspection": "api errors graph layer_types net ops plan precision resources runner",
    "report": "errors geometry graph layer_types options data_providers",
    "profile": "layer_types net ops plan",
    "roofline": "geometry ops plan precision profile",
    "verification": "errors data_providers",
    "train": "api checkpoint config errors graph layer_types net nonfinite options plan report "
    "resources transform updates verification data_providers",
    "show": "api checkpoint errors layer_types net options report train",
    "faces": "api checkpoint errors layer_types net ops options report show train "
    "verification data_providers",
    "cli": "api convert errors faces graph inspection layer_types net ops options precision "
    "profile recording report roofline show train data_providers",
    "__main__": "cli",
}

# Where alone a thing may be used, as beginnings of paths.
ONLY_IN = {
    "numba": ["convnet/ops/cpu/"],
    "llvmlite": ["convnet/ops/cpu/"],
    "cupy": ["convnet/ops/cuda/"],
    "pycuda": ["convnet/ops/cuda/"],
    "matplotlib": ["convnet/show/"],
    "rich": ["convnet/report.py"],
    "argparse": ["convnet/cli.py", "convnet/options.py", "convnet/show/cli.py", "convnet/faces/"],
    "dlib": ["convnet/faces/"],
    # Files are never executed: data_providers/pickle_machine.py reads pickles, and calls nothing.
    "pickle": [],
    "configparser": [],
    "torch": [],
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part_of(module: str) -> str:
    """`ops` for convnet.ops.cpu.conv; the package itself for others."""
    first, *rest = module.split(".")
    if first != "convnet":
        return first
    return rest[0] if rest else "__init__"


def imports(path: Path) -> Iterator[str]:
    """Dotted names of the modules that a file imports, at its head or in a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: relative import"
            module = node.module or ""
            # `from convnet import report` imports a module, or a name of __init__.
            if module == "convnet":
                parts = (f"convnet.{alias.name}" for alias in node.names)
                yield from (part if part_of(part) in MAY_IMPORT else module for part in parts)
            else:
                yield module


def test_the_table_goes_one_way() -> None:
    above = {"data_providers"}
    for part, allowed in MAY_IMPORT.items():
        assert set(allowed.split()) <= above, part
        above.add(part)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_imports(path: Path) -> None:
    part = part_of(name(path).removesuffix(".py").replace("/", "."))
    ours = {"convnet", "data_providers"}
    imported = {part_of(m) for m in imports(path) if m.split(".")[0] in ours} - {part}
    allowed = set() if part == "data_providers" else set(MAY_IMPORT[part].split())
    assert imported <= allowed, f"{part} may import {sorted(allowed)}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_packages_stay_in_their_place(path: Path) -> None:
    for module in imports(path):
        places = ONLY_IN.get(module.split(".")[0])
        assert places is None or name(path).startswith(tuple(places)), module


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_only_the_outermost_parts_print(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    if name(path) not in ("convnet/cli.py", "convnet/report.py"):
        assert not names & {"print", "input"}
        assert not attributes & {"stdout", "stderr"} or "subprocess" in names
    assert not names & {"eval", "exec", "__import__"}


def run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_importing_the_package_is_cheap() -> None:
    """Nobody waits for a compiler or a drawing library who does not use it."""
    heavy = ("numba", "llvmlite", "matplotlib", "PIL", "rich", "data_providers")
    code = f"import sys, convnet; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    assert run_python(code).split() == []


def test_command_line_starts_without_compiler() -> None:
    heavy = ("numba", "llvmlite", "matplotlib")
    code = f"import sys, convnet.cli; print(*sorted(set({heavy!r}) & set(sys.modules)))"
    assert run_python(code).split() == []


def test_typed() -> None:
    """Who imports the packages can check types against them."""
    for package in ("convnet", "data_providers"):
        assert (ROOT / package / "py.typed").exists()
