"""What is written for cuda-convnet2 is what it would have stored itself."""

from __future__ import annotations

import pickletools
from dataclasses import replace

import numpy as np
import pytest

from convnet import cli
from convnet.api import read_graph
from convnet.checkpoint import Checkpoint, TrainingState, load_checkpoint, save_checkpoint
from convnet.config.reader import Source
from convnet.convert import convert_checkpoint
from convnet.errors import CheckpointError
from convnet.layer_types.elementwise import DropoutLayer
from convnet.layer_types.registry import LAYER_TYPES
from convnet.legacy.write import v2_pickle
from data_providers.pickles import parse_pickle
from tests.helpers import (
    CLASSIFIER,
    DATA,
    EVERYTHING,
    NEW_LAYER,
    SHAPES,
    layer,
    make_net,
    parameter_file,
)
from tests.legacy.nets import everything
from tests.legacy.old import old_checkpoint, write_old

# All that the original knows.
ORIGINAL = EVERYTHING.replace(NEW_LAYER, layer("b1", "neuron", "c3", neuron="relu"))

# Choices of the original's engine, and texts that it evaluates.
OWN = {"usesActs", "outputFilter", "sumWidth", "inputLayers", "neuron", "id"}


def written(checkpoint: Checkpoint) -> dict:
    graph = read_graph(checkpoint.definition, checkpoint.parameters, checkpoint.data_shapes)
    return parse_pickle(v2_pickle(checkpoint, graph), "new", records=["python_util.options"])


@pytest.fixture
def net():
    return everything(2)


@pytest.fixture
def content(net, tmp_path):
    return written(load_checkpoint(write_old(tmp_path / "3.2", old_checkpoint(net))))


def test_fields_are_those_of_the_original(net, content):
    layers = content["model_state"]["layers"]
    assert layers.keys() == net.layers.keys()
    for name, expected in net.layers.items():
        for field in expected.keys() - OWN:
            np.testing.assert_equal(layers[name][field], expected[field], f"{name}: {field}")
        if "neuron" in expected and expected["type"] == "neuron":
            assert layers[name]["neuron"]["type"] == expected["neuron"]["type"]
            assert layers[name]["neuron"]["params"] == expected["neuron"]["params"]
    assert [layer["id"] for layer in layers.values()] == list(range(len(layers)))


def test_layers_refer_to_each_other(content):
    layers = content["model_state"]["layers"]
    assert layers["fc2"]["inputLayers"][0] is layers["fc1_neuron"]
    assert layers["conv3"]["weights"][0] is layers["conv2"]["weights"][0]
    assert layers["conv3"]["weightsInc"][0] is layers["conv2"]["weightsInc"][0]


def test_orders_of_matrices(content):
    layers = content["model_state"]["layers"]
    assert layers["fc1"]["weights"][0].flags.f_contiguous
    assert not layers["fc1"]["weights"][0].flags.c_contiguous
    assert layers["conv1"]["weights"][0].flags.c_contiguous
    assert layers["local1"]["weights"][0].flags.c_contiguous


def test_state_and_options(content):
    model = content["model_state"]
    assert (model["epoch"], model["batchnum"]) == (3, 2)
    assert model["train_outputs"][1] == ({"logprob": [16.0, 1.0, 0.5]}, 8)
    options = content["op"]["options"]
    epochs = options["num_epochs"]
    assert (epochs["value"], epochs["value_given"], epochs["set_once"]) == (7, True, False)
    assert (epochs["letter"], epochs["prefixed_letter"]) == ("epochs", "--epochs")
    assert epochs["parser"] == "python_util.options.IntegerOptionParser"
    assert options["train_batch_range"]["value"] == [1, 2, 3, 4]
    assert options["test_one"]["value"] == 1
    assert options["inner_size"]["set_once"]
    assert "save_file_override" not in options  # empty: the original has its own default


def test_names_in_the_pickle(net, tmp_path):
    checkpoint = load_checkpoint(write_old(tmp_path / "3.2", old_checkpoint(net)))
    graph = read_graph(checkpoint.definition, checkpoint.parameters, checkpoint.data_shapes)
    names = {
        argument
        for opcode, argument, _ in pickletools.genops(v2_pickle(checkpoint, graph))
        if opcode.name == "GLOBAL"
    }
    kinds = ("Boolean", "Float", "Integer", "Range", "String")
    assert names == {
        "numpy.core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
        "python_util.options OptionsParser",
        "python_util.options Option",
        *(f"python_util.options {kind}OptionParser" for kind in kinds),
    }


def checkpoint_of(definition: str, extra: str = "", shapes=SHAPES) -> Checkpoint:
    """Of a net with initial weights, before its first batch."""
    return Checkpoint(
        {
            n: v.astype(np.float32)
            for n, v in make_net(definition, extra, shapes=shapes).state().items()
        },
        Source("net.cfg", definition),
        Source("params.cfg", parameter_file(definition, extra)),
        list(shapes),
        [],
        {},
        TrainingState(1, 1),
    )


def test_all_layer_types_come_back(tmp_path):
    """Every kind of layer, on square images: written, read, equal."""
    ours = checkpoint_of(ORIGINAL, shapes=((2, 7, 7), (1, 1, 1)))
    path = tmp_path / "1.1"
    graph = read_graph(ours.definition, ours.parameters, ours.data_shapes)
    path.write_bytes(v2_pickle(ours, graph))
    theirs = load_checkpoint(path)
    back = read_graph(theirs.definition, theirs.parameters, theirs.data_shapes)
    assert [(x.name, x.type_name, x.shape) for x in back.values()] == [
        (x.name, x.type_name, x.shape) for x in graph.values()
    ]
    for name, layer_ in graph.items():
        for key, value in layer_.values.items():
            if key in ("neuron", "weightSource") and layer_.type_name != "neuron":
                continue  # a layer of its own; by name and index
            found = back[name].values[key]
            if key in ("coeffs", "end") and not value:
                continue  # written out
            assert found == value or np.allclose(found, value, rtol=1e-12), (name, key)
        assert [p.name for p in back[name].parameters] == [p.name for p in layer_.parameters]
    for name, values in ours.weights.items():
        np.testing.assert_array_equal(theirs.weights[name], values)


def test_images_that_are_not_square():
    definition = DATA + layer("top", "pool", "data", channels=2, sizeX=2, stride=2, pool="max")
    with pytest.raises(CheckpointError) as caught:
        written(checkpoint_of(definition + CLASSIFIER))
    expected = "Layer 'top': images of 5x7 pixels; cuda-convnet2 knows square ones only"
    assert str(caught.value) == expected
    definition = DATA + layer("top", "conv", "data", channels=2, filters=2, filterSize=2)
    with pytest.raises(CheckpointError, match="'top': images of 5x7 pixels; cuda-convnet2 knows"):
        written(checkpoint_of(definition + CLASSIFIER))


def test_pooling_of_ours():
    """The whole image is a window of its side; lengths are unknown to the original."""
    for kind, side in (("avg", 5), ("l2", None)):
        top = layer("top", "pool", "data", channels=2, sizeX=0, stride=1, pool=kind)
        ours = checkpoint_of(DATA + top + CLASSIFIER, shapes=((2, 5, 5), (1, 1, 1)))
        if side:
            stored = written(ours)["model_state"]["layers"]["top"]
            assert (stored["sizeX"], stored["outputsX"], stored["outputs"]) == (side, 1, 2)
            continue
        with pytest.raises(CheckpointError) as caught:
            written(ours)
        expected = "Layer 'top': pool=l2: cuda-convnet2 has no such pooling"
        assert str(caught.value) == expected


@pytest.mark.parametrize("key", ["sizeY", "outputsY"])
def test_pooling_windows_that_are_not_square(key):
    top = layer("top", "pool", "data", channels=2, sizeX=3, stride=1, pool="max", **{key: 2})
    with pytest.raises(CheckpointError) as caught:
        written(checkpoint_of(DATA + top + CLASSIFIER, shapes=((2, 5, 5), (1, 1, 1))))
    expected = "cuda-convnet2's pooling windows are square, with equal rows and columns"
    assert str(caught.value) == f"Layer 'top': {expected}"


@pytest.mark.parametrize("key", ["filterSizeY", "paddingY", "modulesY"])
def test_filters_that_are_not_square(key):
    keys = {"channels": 2, "filters": 2, "filterSize": 4, "padding": 1, key: 3}
    definition = DATA + layer("top", "conv", "data", **keys) + CLASSIFIER
    with pytest.raises(CheckpointError) as caught:
        written(checkpoint_of(definition, shapes=((2, 5, 5), (1, 1, 1))))
    expected = "cuda-convnet2's filters are square, with equal padding on all sides"
    assert str(caught.value) == f"Layer 'top': {expected}"


class NewLayer(DropoutLayer):
    type_name = "new"


def test_a_type_that_the_original_lacks(tmp_path, monkeypatch):
    monkeypatch.setitem(LAYER_TYPES, "new", NewLayer)
    definition = DATA + layer("top", "new", "data") + CLASSIFIER
    save_checkpoint(tmp_path, checkpoint_of(definition))
    with pytest.raises(CheckpointError) as caught:
        convert_checkpoint(tmp_path, tmp_path / "out", "v2")
    expected = "Layer 'top': cuda-convnet2 has no layers of type 'new'"
    assert str(caught.value) == f"{tmp_path / '1.1.safetensors'}: {expected}"
    assert not (tmp_path / "out").exists()


def test_a_layer_without_biases():
    definition = DATA + layer("top", "fc", "data", outputs=2, biases=0) + CLASSIFIER
    with pytest.raises(CheckpointError) as caught:
        written(checkpoint_of(definition))
    assert str(caught.value) == "Layer 'top': biases=0: cuda-convnet2's layers have biases"


def test_a_cost_without_all_labels():
    definition = DATA + layer("top", "fc", "data", outputs=2) + CLASSIFIER + "missing=1\n"
    with pytest.raises(CheckpointError) as caught:
        written(checkpoint_of(definition))
    expected = "Layer 'cost': missing=1: cuda-convnet2's images all have labels"
    assert str(caught.value) == expected


def test_weights_that_do_not_fit(net, tmp_path, capsys):
    net["fc1"]["biases"] = np.zeros((1, 4), np.float32)
    path = write_old(tmp_path / "3.2", old_checkpoint(net))
    assert cli.main(["convert", f"--load-file={path}", f"--out={tmp_path / 'out'}"]) == 1
    assert capsys.readouterr().err == (
        f"error: {path}: weights do not belong to this net: 'fc1.biases' has shape (1, 4); "
        "expected (1, 5)\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written(net, tmp_path):
    write_old(tmp_path / "3.2", old_checkpoint(net))
    for form in ("v2", "safetensors"):
        with pytest.raises(CheckpointError, match="cannot write the checkpoint: Not a directory"):
            convert_checkpoint(tmp_path, tmp_path / "3.2", form)


def test_crops_of_version_1(tmp_path):
    """cuda-convnet2 has no such provider, but crops of the same size."""
    ours = checkpoint_of(ORIGINAL, shapes=((2, 7, 7), (1, 1, 1)))
    ours.options |= {"data_provider": "cifar-cropped", "crop_border": 1}
    (tmp_path / "2.3").write_bytes(
        v2_pickle(ours, read_graph(ours.definition, ours.parameters, ours.data_shapes))
    )
    options = load_checkpoint(tmp_path).options
    assert (options["data_provider"], options["inner_size"]) == ("cifar", 7)
    assert "crop_border" not in options


def test_in_the_middle_of_a_batch(tmp_path):
    """The original has no such state: it would go on with the next batch."""
    ours = checkpoint_of(ORIGINAL, shapes=((2, 7, 7), (1, 1, 1)))
    ours.state = TrainingState(2, 3, minibatch=2, partial={"cost": [1.0, 2.0, 3.0]})
    (tmp_path / "2.3").write_bytes(
        v2_pickle(ours, read_graph(ours.definition, ours.parameters, ours.data_shapes))
    )
    assert load_checkpoint(tmp_path).state == TrainingState(2, 3)


def test_converting_removes_nothing(tmp_path):
    checkpoint = checkpoint_of(ORIGINAL)
    for batch in (1, 2, 3):
        state = replace(checkpoint.state, batch=batch)
        save_checkpoint(tmp_path / str(batch), replace(checkpoint, state=state))
    for batch in (3, 1, 2):
        convert_checkpoint(tmp_path / str(batch), tmp_path / "all", "safetensors")
    assert len(list((tmp_path / "all").iterdir())) == 3


def test_random_connections():
    pytest.importorskip("convnet.layer_types.sparse", reason="no random connections yet")
    keys = {"channels": 8, "groups": 4, "filters": 1, "filterSize": 1, "randSparse": "true"}
    definition = DATA + layer("top", "conv", "data", **keys) + CLASSIFIER
    with pytest.raises(CheckpointError) as caught:
        written(checkpoint_of(definition, shapes=((8, 5, 5), (1, 1, 1))))
    expected = "Layer 'top': randSparse: cuda-convnet2 has no random connections"
    assert str(caught.value) == expected
