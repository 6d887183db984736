"""Runs the Python of the documentation, and reads its layer files."""

import os
import subprocess
import sys

import numpy as np
import pytest

from convnet.api import read_graph
from convnet.config.layers import read_layer_files
from convnet.config.reader import Source, read_sections
from convnet.errors import Problems
from convnet.geometry import Shape
from convnet.graph import build_graph
from convnet.layer_types.registry import LAYER_TYPES
from convnet.net import Net
from convnet.ops.reference import ReferenceOps
from convnet.plan import Clock
from tests.docs.pages import ROOT, blocks, make_workspace

DATA = [Shape(3, 5, 5), Shape(1)]


@pytest.mark.parametrize("page", ["README.md", "docs/kernels.md", "docs/python.md"])
def test_python_of_a_page(page, tmp_path, monkeypatch):
    make_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)
    if page == "docs/kernels.md":
        assert names["driver"].download(names["out"])[-1] == 198
    if page == "docs/python.md":
        assert 0 <= names["wrong"] <= names["cases"] == 6
        assert names["features"].shape == names["dE_dfeatures"].shape == (128, 1, 1, 6)
        assert np.abs(names["dE_dW"]).max() > 0
        assert names["predictions"].shape == (10,)


def test_walk_through_of_a_layer_of_ones_own(tmp_path):
    layer, check, program = blocks("docs/add-a-layer.md", "python")
    definition, parameters = blocks("docs/add-a-layer.md", "ini")
    files = {
        "scale_layer.py": layer,
        "check.py": check,
        "my_convnet.py": program,
        "layers.cfg": definition,
        "params.cfg": parameters,
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    def run(*words):
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    done = run("check.py")
    assert done.returncode == 0, done.stderr
    assert "hidden.weights.0" in done.stdout
    both = ("--layer-def", "layers.cfg", "--layer-params", "params.cfg")
    done = run("my_convnet.py", "check", *both, "--input-shape", "3x5x5")
    assert "scaled         scale" in done.stdout, done.stderr
    # The layer is in the net that is checked: its factor reaches the gradient below it.
    assert run("my_convnet.py", "--check-grads", "1", "--data-provider", "dummy-cn-75", *both)
    (tmp_path / "params.cfg").write_text(parameters.replace("factor = 0.5", "facto = 0.5"))
    done = run("my_convnet.py", "check", *both, "--input-shape", "3x5x5")
    assert done.returncode == 1
    assert "did you mean 'factor'?" in done.stderr


def test_layer_files_of_the_layers_page():
    definition, parameters = blocks("docs/layers.md", "ini")
    specs = read_layer_files(
        Source("layers.cfg", definition), Source("params.cfg", parameters), LAYER_TYPES
    )
    graph = build_graph(specs, DATA)
    assert list(graph) == ["data", "labels", "fc10", "probs", "logprob"]
    assert specs[2].values["momW"] == (0.9,)
    assert str(specs[2].values["epsB"]) == "exp[base=0.01;tgtFactor=100.0]"


@pytest.mark.parametrize(
    ("head", "names"),
    [(0, ["arcface"]), (1, ["logprob", "center"]), (2, ["triplet"]), (3, ["age", "people"])],
)
def test_nets_of_the_page_on_metric_learning(head, names):
    trunk, rates, *heads = blocks("docs/metric-learning.md", "ini")
    definition, parameters = heads[2 * head : 2 * head + 2]
    assert len(heads) == 8
    graph = read_graph(
        Source("layers.cfg", trunk + "\n" + definition),
        Source("params.cfg", rates + "\n" + parameters),
        [(3, 5, 5), (1, 1, 1), (1, 1, 1)],
    )
    net = Net(graph, ReferenceOps(np.float64), batch_size=8)
    images = np.random.default_rng(0).standard_normal((75, 8)).astype(np.float32)
    labels = ([0, 0, 0, 1, 1, 2, 2, 9], [3, -1, -1, 4, 0, -1, 6, 1])
    matrices = [images, *(np.array([row], np.float32) for row in labels)]
    first = net.train_step(matrices)
    assert list(first) == names
    for step in range(1, 4):
        costs = net.train_step(matrices, Clock(minibatch=step))
    assert all(np.isfinite(values).all() for values in costs.values())


def test_toml_of_the_layers_page():
    (text,) = blocks("docs/layers.md", "toml")
    problems = Problems()
    sections = read_sections(Source("layers.toml", text, toml=True), problems)
    assert not problems
    values = {key: entry.value for key, entry in sections["conv1"].entries.items()}
    assert values["inputs"] == "data"
    assert values["filtersize"] == "5"
