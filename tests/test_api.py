"""The Python interface, used as its documentation shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import convnet
from convnet.api import make_ops, read_graph, restore
from convnet.checkpoint import Checkpoint, TrainingState, save_checkpoint
from convnet.config.reader import Source
from convnet.errors import CheckpointError, ConfigError, OptionError, Problems
from tests.helpers import SHAPES, between, layer, make_batch, parameter_file

DEFINITION = between(layer("top", "fc", "below", outputs=5, initW=0.2, neuron="tanh[1,1]"))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A definition file and a parameter file."""
    definition, parameters = tmp_path / "layers.cfg", tmp_path / "params.cfg"
    definition.write_text(DEFINITION)
    parameters.write_text(parameter_file(DEFINITION))
    return definition, parameters


def checkpoint_of(net: convnet.Net, **changes: object) -> Checkpoint:
    values = {
        "weights": net.state(),
        "definition": Source("layers.cfg", DEFINITION),
        "parameters": Source("params.cfg", parameter_file(DEFINITION)),
        "data_shapes": list(SHAPES),
        "label_names": [],
        "options": {"seed": 5},
        "state": TrainingState(epoch=1, batch=2),
    }
    return Checkpoint(**values | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_build_and_train_in_a_loop_of_ones_own(files: tuple[Path, Path], backend: str) -> None:
    net = convnet.build(*files, data_shapes=SHAPES, batch_size=4, backend=backend, seed=3)
    images, labels = make_batch()
    steps, costs = 20, []
    for step in range(steps):
        clock = convnet.Clock(seed=3, minibatch=step, progress=step / steps)
        costs.append(net.train_step([images, labels], clock)["cost"][0] / 4)
    assert costs[-1] < costs[0] / 2

    net.keep("probs", "below")
    logprob, wrong, _ = net.forward([images, labels])["cost"]
    probs = net.activity("probs").reshape(3, 4)
    right = probs[labels[0].astype(int), range(4)]
    assert logprob == pytest.approx(-np.log(right).sum(), rel=1e-5)
    assert wrong == (probs.argmax(axis=0) != labels[0]).sum()
    assert net.activity("below").shape == (4, 5, 7, 4)


def test_paths_may_be_texts_or_sources(files: tuple[Path, Path]) -> None:
    definition, parameters = files
    by_path = convnet.build(definition, parameters, data_shapes=SHAPES, backend="reference")
    by_text = convnet.build(str(definition), str(parameters), data_shapes=SHAPES)
    by_source = convnet.build(
        Source("a", definition.read_text()), Source("b", parameters.read_text()), data_shapes=SHAPES
    )
    for other in (by_text, by_source):
        for name, values in by_path.state().items():
            np.testing.assert_array_equal(values, other.state()[name])
    assert by_path.ops.dtype == np.float64
    assert by_text.ops.dtype == np.float32


def test_seed_decides_the_weights(files: tuple[Path, Path]) -> None:
    one, same, other = (
        convnet.build(*files, data_shapes=SHAPES, seed=seed).get_weights("top.weights.0")
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


def test_mistakes_of_the_files_are_told_together(files: tuple[Path, Path]) -> None:
    definition, parameters = files
    definition.write_text(DEFINITION.replace("outputs=5", "outputs=0").replace("[probs]", "[p]"))
    with pytest.raises(convnet.ConvnetError) as caught:
        convnet.build(*files, data_shapes=SHAPES)
    assert isinstance(caught.value, ConfigError)
    lines = str(caught.value).splitlines()
    assert len(lines) >= 3
    assert all(line.startswith((f"{definition}:", f"{parameters}:")) for line in lines)


def test_lenient(files: tuple[Path, Path]) -> None:
    definition, _ = files
    definition.write_text(DEFINITION.replace("outputs=5", "outputs=5\ndroupout=1"))
    with pytest.raises(ConfigError):
        convnet.build(*files, data_shapes=SHAPES)
    convnet.build(*files, data_shapes=SHAPES, lenient=True)
    problems = Problems()
    read_graph(*files, SHAPES, lenient=True, problems=problems)
    (warning,) = problems.warnings
    assert warning.startswith(f"{definition}:")
    assert "unknown parameter 'droupout'" in warning


def test_backends() -> None:
    assert [make_ops(name).name for name in ("cpu", "reference", "emulated")] == [
        *("cpu", "reference", "cuda (emulated)")
    ]
    with pytest.raises(OptionError) as caught:
        make_ops("gpu")
    assert str(caught.value) == (
        "backend must be 'cpu', 'reference', 'emulated', 'cuda', 'pycuda', or 'cuda:N' for GPU N; "
        "found 'gpu'"
    )


def test_precisions() -> None:
    with pytest.raises(OptionError, match="--precision must be one of fp32, tf32, bf16; found '8'"):
        make_ops("emulated", "8")
    with pytest.raises(OptionError, match="--precision bf16 is arithmetic of a GPU"):
        make_ops("reference", "bf16")


def test_load_a_checkpoint(files: tuple[Path, Path], tmp_path: Path) -> None:
    net = convnet.build(*files, data_shapes=SHAPES, batch_size=4)
    net.train_step(make_batch())
    path = save_checkpoint(tmp_path / "run", checkpoint_of(net))
    for where in (path, path.parent, str(path)):
        loaded = convnet.load(where, batch_size=4, keep=["top"])
        assert loaded.seed == 5
        for name, values in net.state().items():
            np.testing.assert_array_equal(values, loaded.state()[name])
    went_on, resumed = (n.train_step(make_batch(seed=1))["cost"] for n in (net, loaded))
    np.testing.assert_array_equal(went_on, resumed)
    assert loaded.activity("top").shape == (5, 1, 1, 4)


def test_load_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint file or run directory"):
        convnet.load(tmp_path / "nowhere")


def test_weights_of_another_net_in_a_checkpoint(files: tuple[Path, Path]) -> None:
    net = convnet.build(*files, data_shapes=SHAPES)
    weights = net.state()
    del weights["top.biases"]
    with pytest.raises(CheckpointError) as caught:
        restore(checkpoint_of(net, weights=weights), batch_size=4, name="1.2.safetensors")
    assert str(caught.value) == (
        "1.2.safetensors: weights do not belong to this net: without 'top.biases'"
    )


def test_restore_for_data_of_another_shape(files: tuple[Path, Path]) -> None:
    """The layer files decide whether the weights still fit."""
    net = convnet.build(*files, data_shapes=SHAPES)
    with pytest.raises(CheckpointError, match=r"'top\.weights\.0' has shape"):
        restore(checkpoint_of(net), batch_size=4, data_shapes=((2, 7, 7), (1, 1, 1)))
