"""Runs of the original go on here: training, testing, features and pictures, from its files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convnet import cli
from convnet.api import read_graph
from convnet.checkpoint import Checkpoint, load_checkpoint
from data_providers.base import ProviderOptions
from data_providers.registry import create
from tests.legacy.nets import compute, everything
from tests.legacy.old import OldNet, old_checkpoint, write_old
from tests.reference import logreg_cost
from tests.train.helpers import as_arguments, assert_same, write_batches

SHAPE = (4, 8, 8)
VERSIONS = pytest.mark.parametrize("version", [1, 2])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_batches(folder, SHAPE, cases=8)
    return folder


@pytest.fixture
def run(tmp_path, version) -> tuple[OldNet, Path]:
    """A net, and the run directory with its checkpoint of epoch 3, batch 2."""
    net = everything(version)
    write_old(tmp_path / "run" / "3.2", old_checkpoint(net))
    return net, tmp_path / "run"


def convnet(*command: str, **options: object) -> int:
    return cli.main([*command, *as_arguments(options)])


def provided(data: Path, number: int) -> list[np.ndarray]:
    """Images minus the mean, and labels, as the provider makes them for a test."""
    provider = create("cifar", data, [number], ProviderOptions(), test=True)
    return provider.load(number, 1)


@VERSIONS
def test_training_goes_on(version, run, data, capsys):
    _, folder = run
    assert convnet(load_file=folder, data_path=data, epochs=3) == 0
    output = capsys.readouterr().out
    assert "3.3 (83.33%)..." in output
    assert "3.4 (91.67%)..." in output
    assert "warning:" not in output
    assert sorted(p.name for p in folder.iterdir()) == ["3.2", "3.4.safetensors", "log.jsonl"]
    state = load_checkpoint(folder).state
    assert (state.epoch, state.batch) == (3, 4)
    assert len(state.train_outputs) == 12
    assert state.test_times == [5, 10, 12]
    # A second time the new file is the one to go on from.
    assert convnet(load_file=folder, data_path=data, epochs=4) == 0
    assert load_checkpoint(folder).state.epoch == 4
    assert (folder / "3.2").exists()


@VERSIONS
def test_the_first_update_has_the_stored_momentum(version, run, data):
    """W + momentum * inc - rate * decay * W - rate * gradient: with rate 0 only momentum acts."""
    net, folder = run
    parameters = folder.parent / "params.cfg"
    names = [name for name, layer in net.layers.items() if "weights" in layer]
    text = "".join(f"[{n}]\nepsW=1e-30\nepsB=1e-30\nmomW=0.5\nmomB=0.5\n" for n in names)
    text += "[rnorm1]\nscale=0.7\npow=0.75\n[cmrnorm1]\nscale=0.01\npow=0.5\n"
    parameters.write_text(text + "[logprob]\ncoeff=1\n")
    # One batch of 8 images in minibatches of 8 is one update.
    options = {"data_path": data, "layer_params": parameters, "mini": 8, "epochs": 3}
    assert convnet(load_file=folder, train_range="1-3", **options) == 0
    weights = load_checkpoint(folder).weights
    for name in names:
        before, increment = net[name]["biases"], net[name]["biasesInc"]
        np.testing.assert_array_equal(weights[f"{name}.biases.inc"], increment / 2)
        np.testing.assert_array_equal(weights[f"{name}.biases"], before + increment / 2)


@VERSIONS
def test_a_converted_checkpoint_goes_on_in_the_same_way(version, run, data, capsys):
    _, folder = run
    copy = folder.parent / "copy"
    assert convnet("convert", load_file=folder, out=copy) == 0
    (file,) = copy.iterdir()
    assert file.name == "3.2.safetensors"
    assert f"Wrote {file}: 17 layers with " in capsys.readouterr().out
    assert_same(load_checkpoint(copy), load_checkpoint(folder))
    for path in (folder, copy):
        assert convnet(load_file=path, data_path=data, epochs=3) == 0
    assert_same(load_checkpoint(copy), load_checkpoint(folder))


@VERSIONS
def test_a_save_file_that_is_an_old_run_goes_on(version, run, data):
    _, folder = run
    assert convnet(save_file=folder, data_path=data, epochs=3) == 0
    assert load_checkpoint(folder).state.batch == 4


@VERSIONS
def test_testing(version, run, data, capsys):
    net, folder = run
    options = {"load_file": folder / "3.2", "data_path": data, "test_only": 1, "test_range": 6}
    assert convnet(**options) == 0
    images, labels = provided(data, 6)
    expected = logreg_cost(labels, compute(net, images)["probs"], 1)
    logprob, error = re.findall(r"logprob:  ([\d.]+), ([\d.]+), ", capsys.readouterr().out)[0]
    assert float(logprob) == pytest.approx(expected[0] / 8, rel=1e-5)
    assert float(error) == expected[1] / 8


@VERSIONS
def test_features(version, run, data):
    net, folder = run
    out = folder.parent / "features"
    options = {"load_file": folder, "data_path": data, "test_range": 5}
    assert convnet(write_features="fc1", feature_path=out, **options) == 0
    images, _ = provided(data, 5)
    with np.load(out / "data_batch_5.npz") as content:
        right = compute(net, images)["fc1_neuron"]
        np.testing.assert_allclose(content["features"], right.T, rtol=1e-4, atol=1e-6)


@VERSIONS
def test_pictures(version, run):
    _, folder = run
    assert convnet("show", load_file=folder, out=folder / "run.png") == 0
    assert (folder / "run.png").stat().st_size > 1000


# --- into the original's format -------------------------------------------------------------


def same_net(first: Checkpoint, second: Checkpoint) -> None:
    """The same graph and parameters; sections of neurons may have become layers."""
    graphs = [
        read_graph(c.definition, c.parameters, c.data_shapes, lenient=True) for c in (first, second)
    ]
    keys = ("weightSource", "neuron", "end")  # written in another way, or by name
    described = [
        {
            name: (
                layer.type_name,
                layer.shape,
                [other.name for other in layer.inputs],
                [p.name for p in layer.parameters],
                {k: v for k, v in layer.values.items() if k not in keys},
                str(getattr(layer, "neuron", "")),
            )
            for name, layer in graph.items()
        }
        for graph in graphs
    ]
    assert described[0] == described[1]


@VERSIONS
def test_written_for_the_original_and_read_again(version, run, data, capsys):
    _, folder = run
    assert convnet(load_file=folder, data_path=data, epochs=3) == 0
    back = folder.parent / "back"
    assert convnet("convert", load_file=folder, out=back, format="v2") == 0
    assert [p.name for p in back.iterdir()] == ["3.4"]
    assert f"Wrote {back / '3.4'}: 17 layers with " in capsys.readouterr().out
    ours, theirs = load_checkpoint(folder), load_checkpoint(back)
    same_net(ours, theirs)
    # All but when tests were made, which the original does not store.
    for part in ("epoch", "batch", "train_outputs", "test_outputs"):
        assert getattr(theirs.state, part) == getattr(ours.state, part)
    assert_same(replace(theirs, state=ours.state), ours)
    assert theirs.data_shapes == ours.data_shapes
    kept = ("data_provider", "train_range", "test_range", "mini", "epochs", "test_freq")
    assert {k: theirs.options[k] for k in kept} == {k: ours.options[k] for k in kept}
    assert convnet(load_file=back, data_path=data, epochs=4) == 0
    assert load_checkpoint(back).state.epoch == 4
