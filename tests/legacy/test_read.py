"""A checkpoint of the original gives the net, the weights and the state that it holds."""

from __future__ import annotations

import gzip
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import convnet
from convnet.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from convnet.geometry import Window
from convnet.legacy.read import times_of_tests
from data_providers.pickle_writer import Class, Instance, write_pickle
from tests import reference
from tests.data_providers.helpers import zipped
from tests.legacy.nets import CLASSES, compute, everything
from tests.legacy.old import OldNet, old_checkpoint, old_options, write_old

VERSIONS = pytest.mark.parametrize("version", [1, 2])


@pytest.fixture
def old(tmp_path):
    return tmp_path / "3.2"


@VERSIONS
def test_the_net_computes_what_the_stored_weights_imply(version, old):
    net = everything(version)
    write_old(old, old_checkpoint(net))
    layers = [name for name, layer in net.layers.items() if layer["outputs"] > 1]
    rng = np.random.default_rng(5)
    images = rng.standard_normal((256, 3), np.float32)
    labels = rng.integers(0, CLASSES, (1, 3)).astype(np.float32)
    loaded = convnet.load(old, batch_size=3, backend="reference", keep=layers)
    costs = loaded.forward([images, labels])
    expected = compute(net, images)
    for name in layers:
        # The name of a layer with a neuron stands for the values after it.
        right = expected[net.linked.get(name, name)]
        np.testing.assert_allclose(
            loaded.activity(name).reshape(-1, 3), right.reshape(-1, 3), 1e-9, 1e-12, err_msg=name
        )
    top = 2 if version == 2 else 1
    np.testing.assert_allclose(
        costs["logprob"], reference.logreg_cost(labels, expected["probs"], top), 1e-9
    )


@VERSIONS
def test_weights_and_increments_are_those_stored(version, old):
    net = everything(version)
    weights = load_checkpoint(write_old(old, old_checkpoint(net))).weights
    expected = {}
    for name, layer in net.layers.items():
        for i, source in enumerate(layer.get("weightSource", [])):
            if not source:
                expected[f"{name}.weights.{i}"] = layer["weights"][i]
                expected[f"{name}.weights.{i}.inc"] = layer["weightsInc"][i]
        if "weights" in layer:
            expected |= {f"{name}.biases": layer["biases"]}
            expected |= {f"{name}.biases.inc": layer["biasesInc"]}
    assert weights.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(weights[name], values, err_msg=name, strict=True)
        assert weights[name].flags.c_contiguous


@VERSIONS
def test_the_state(version, old):
    state = load_checkpoint(write_old(old, old_checkpoint(everything(version)))).state
    assert (state.epoch, state.batch, state.minibatch, state.partial) == (3, 2, 0, {})
    # Sums over the 8 images of a batch; v1 stored means, and no top-k error.
    third = 1 / 32 if version == 2 else 1 / 16
    assert state.train_outputs == [
        ({"logprob": [8.0 * k, 8 * k / 16, 8 * k * third]}, 8) for k in range(1, 11)
    ]
    assert state.test_outputs[1] == ({"logprob": [168.0, 168 / 16, 168 * third]}, 8)
    assert state.test_times == [5, 10]


@pytest.mark.parametrize(
    ("trained", "tests", "every", "times"),
    [
        (10, 2, 5, [5, 10]),
        (10, 0, 5, []),
        (12, 2, 5, [7, 12]),
        (10, 4, 5, [2, 5, 7, 10]),
        (10, 2, 0, [5, 10]),
        (0, 2, 5, [0, 0]),
        (3, 3, 1, [1, 2, 3]),
    ],
)
def test_when_the_tests_were_made(trained, tests, every, times):
    assert times_of_tests(trained, tests, every) == times


def test_outputs_of_unknown_costs_are_left_out(old):
    outputs = [({"logprob": [1.0, 2.0, 3.0], "gone": [1.0]}, 4)]
    state = load_checkpoint(
        write_old(old, old_checkpoint(everything(2), train_outputs=outputs))
    ).state
    assert state.train_outputs == [({"logprob": [1.0, 2.0, 3.0]}, 4)]


COMMON = {
    "data_path": "/nowhere/cifar-10", "data_provider": "cifar", "save_path": "/nowhere/tmp",
    "train_range": [1, 2, 3, 4], "test_range": [5, 6], "mini": 4, "epochs": 7, "test_freq": 5,
    "test_one": True, "multiview_test": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("version", "changes", "expected"),
    [
        (1, {}, COMMON),
        (2, {}, COMMON | {"inner_size": 0, "scalar_mean": -1.0}),
        (2, {"inner_size": 24, "scalar_mean": 127.5, "save_file_override": "run"},
         COMMON | {"inner_size": 24, "scalar_mean": 127.5, "save_file": "run"}),
        (1, {"crop_border": 3}, COMMON),  # it does not concern the provider
        (1, {"dp_type": "cifar-cropped", "crop_border": 3},
         COMMON | {"data_provider": "cifar-cropped", "crop_border": 3}),
        (1, {"dp_type": "cifar-cropped", "crop_border": "x"},
         COMMON | {"data_provider": "cifar-cropped"}),
        (1, {"minibatch_size": "x", "test_batch_range": [1, "x"], "num_epochs": -1,
             "testing_freq": [[]], "data_path": 3, "dp_type": np.zeros(3)},
         {k: v for k, v in COMMON.items()
          if k not in ("mini", "test_range", "epochs", "test_freq", "data_path",
                       "data_provider")}),
    ],
)  # fmt: skip
def test_options(version, changes, expected, old):
    content = old_checkpoint(everything(version)) | {"op": old_options(version, **changes)}
    options = load_checkpoint(write_old(old, content)).options
    later = {"color_noise", "conserve_mem", "logreg_name", "max_filesize"}
    assert {k: v for k, v in options.items() if k not in later} == expected


def test_options_that_are_missing_altogether(old):
    content = old_checkpoint(everything(2))
    del content["op"]
    loaded = load_checkpoint(write_old(old, content))
    assert loaded.options == {}
    assert loaded.state.test_times == [5, 10]


def test_shapes_of_the_data(old):
    net = OldNet(2)
    net.data("pixels", 0, 4 * 6 * 6)
    net.data("labels", 1, 1)
    net.data("tags", 3, 12)
    net.data("part", 4, 5, start=7, end=12)
    net.data("rest", 4, 9)
    net.pool("pool", "pixels", 4, 3, 3)
    net.add("all", "concat", "pool tags part rest", outputs=4 * 4 + 12 + 5 + 9)
    net.fc("fc", "all", 2)
    net.add("probs", "softmax", "fc")
    net.logreg("cost", "labels probs")
    loaded = load_checkpoint(write_old(old, old_checkpoint(net)))
    assert loaded.data_shapes == [(4, 6, 6), (1, 1, 1), (1, 1, 1), (3, 2, 2), (3, 2, 2)]
    assert convnet.load(old, batch_size=2).parameters["fc.weights.0"].shape == (42, 2)


def test_the_first_revisions_of_the_first_version(old):
    """No lists for layers with one input, neurons inside their layer, `sizeX` of a norm."""
    net = OldNet(1)
    net.data("data", 0, 3 * 6 * 6)
    net.data("labels", 1, 1)
    net.conv("conv", "data", [3], 4, [3], [1])
    net.norm("norm", "rnorm", "conv", 4, 3, 0.5, 0.75)
    net.fc("fc", "norm", CLASSES)
    net.add("probs", "softmax", "fc")
    net.logreg("logprob", "labels probs")
    images = np.random.default_rng(0).standard_normal((108, 2)).astype(np.float32)
    net.neuron("conv", "tanh[1.5,0.5]")  # of the same net in the later form, for its outputs
    later = dict(net.layers)
    later["norm"]["inputLayers"] = [later["conv_neuron"]]
    net.layers = {n: later[n] for n in ("data", "labels", "conv", "conv_neuron")} | later
    expected = compute(net, images)["probs"]
    del net.layers["conv_neuron"]
    conv, norm = net["conv"], net["norm"]
    for field in (
        "channels", "filterSize", "padding", "stride", "groups", "imgSize", "initW", "epsW", "momW",
        "wc", "weights", "weightsInc", "randSparse",
    ):  # fmt: skip
        conv[field] = conv[field][0]
    for field in ("weightSource", "weightSourceLayerIndices", "weightSourceMatrixIndices"):
        del conv[field]
    del conv["biasesInc"], conv["initB"]
    conv["neuron"] = {"type": "tanh", "params": {"a": 1.5, "b": 0.5}}
    norm["sizeX"] = norm.pop("size")
    for layer in net.layers.values():
        layer.pop("inputLayers", None)
    loaded = convnet.load(
        write_old(old, old_checkpoint(net)), batch_size=2, backend="reference", keep=["probs"]
    )
    loaded.forward([images, np.zeros((1, 2), np.float32)])
    np.testing.assert_allclose(loaded.activity("probs").reshape(3, 2), expected, 1e-9)
    np.testing.assert_array_equal(loaded.state()["conv.biases.inc"], np.zeros((4, 1)))


def test_random_connections(old):
    """Group g of the filters sees the channels that v1 stored for it, in their order."""
    pytest.importorskip("convnet.layer_types.sparse", reason="no random connections yet")
    net = OldNet(1)
    net.data("data", 0, 8 * 5 * 5)
    net.data("labels", 1, 1)
    net.conv("conv", "data", [8], 3, [3], [1], groups=4)
    net.fc("fc", "conv", CLASSES)
    net.add("probs", "softmax", "fc")
    net.logreg("logprob", "labels probs")
    connections = [3, 1, 0, 2, 7, 5, 4, 6, 1, 0, 6, 7, 2, 3, 5, 4]
    weights = np.random.default_rng(0).standard_normal((4 * 9, 12)).astype(np.float32)
    conv = net["conv"]
    conv |= {"randSparse": [True], "filterChannels": [4], "overSample": [2]}
    conv |= {"filterConns": [[np.int64(channel) for channel in connections]]}
    conv |= {"weights": [weights], "weightsInc": [np.zeros_like(weights)]}
    images = np.random.default_rng(1).standard_normal((8, 5, 5, 2)).astype(np.float32)
    loaded = convnet.load(
        write_old(old, old_checkpoint(net)), batch_size=2, backend="reference", keep=["conv"]
    )
    loaded.forward([images.reshape(-1, 2), np.zeros((1, 2), np.float32)])
    g = Window(16, 5, 5, filters=12, filter_size=3, padding=1, groups=4)
    sums = reference.conv_fprop(g, images[connections].astype(float), weights.astype(float))
    right = reference.biased(sums, conv["biases"].astype(float))
    np.testing.assert_allclose(loaded.activity("conv"), right, 1e-9, 1e-12)


def test_weights_in_double_precision(old):
    net = everything(1)
    net["fc1"]["weights"][0] = net["fc1"]["weights"][0].astype(">f8")
    found = load_checkpoint(write_old(old, old_checkpoint(net))).weights["fc1.weights.0"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, net["fc1"]["weights"][0])


# --- files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped("data", content)])
def test_packed_files(pack, old):
    content = old_checkpoint(everything(1))
    expected = load_checkpoint(write_old(old, content))
    packed = old.with_name("packed")
    packed.write_bytes(pack(write_pickle(content)))
    found = load_checkpoint(packed)
    assert found.definition.text == expected.definition.text
    np.testing.assert_array_equal(found.weights["fc1.biases"], expected.weights["fc1.biases"])


@pytest.mark.parametrize("protocol", [2, 4])
@VERSIONS
def test_pickles_of_python_itself(version, protocol, old, monkeypatch):
    """With modules in place of the original's; the classes of Python 3 are new style."""
    content = old_checkpoint(everything(version))
    expected = load_checkpoint(write_old(old, content))
    made: dict[str, type] = {}

    def real(value):
        if isinstance(value, Class):
            if value.name not in made:
                made[value.name] = type(value.name, (), {"__module__": value.module})
            module = sys.modules.get(value.module) or types.ModuleType(value.module)
            monkeypatch.setitem(sys.modules, value.module, module)
            monkeypatch.setattr(module, value.name, made[value.name], raising=False)
            return made[value.name]
        if isinstance(value, Instance):
            thing = object.__new__(real(value.of))
            thing.__dict__.update({k: real(v) for k, v in value.attributes.items()})
            return thing
        if isinstance(value, dict):
            return {k: real(v) for k, v in value.items()}
        return [real(item) for item in value] if isinstance(value, list) else value

    monkeypatch.setitem(sys.modules, "python_util", types.ModuleType("python_util"))
    real_content = {"model_state": content["model_state"], "op": real(content["op"])}
    old.write_bytes(pickle.dumps(real_content, protocol))
    found = load_checkpoint(old)
    assert found.options == expected.options
    assert found.state == expected.state
    assert found.definition == expected.definition
    assert found.weights.keys() == expected.weights.keys()
    for name, values in expected.weights.items():
        np.testing.assert_array_equal(found.weights[name], values)


def test_the_last_file_of_a_run_is_found_by_number(tmp_path):
    content = old_checkpoint(everything(2))
    for name in ("3.9", "3.10", "2.40", "99", "tmpX1"):
        write_old(tmp_path / name, content)
    assert find_checkpoint(tmp_path).name == "3.10"
    ours = load_checkpoint(tmp_path / "3.9")
    ours.state.batch = 4  # went back to an older one, and on
    save_checkpoint(tmp_path, ours)
    assert find_checkpoint(tmp_path).name == "3.4.safetensors"
    assert (tmp_path / "3.10").exists()


PYTHON2 = Path(__file__).parent / "python2"


@pytest.mark.parametrize("name", sorted(p.name for p in PYTHON2.iterdir() if not p.suffix))
def test_files_that_python_2_wrote(name):
    """See make.py beside them."""
    loaded = load_checkpoint(PYTHON2 / name)
    weights = np.array([[250, -1], [0.5, 2], [1e-30, 3]], np.float32)
    np.testing.assert_array_equal(loaded.weights["fc.weights.0"], weights)
    np.testing.assert_array_equal(loaded.weights["fc.biases"], np.float32([[0.25, -0.25]]))
    assert loaded.options == {"train_range": [1, 2, 3, 4, 5], "mini": 128}
    assert loaded.state.train_outputs == [({"cost": [20000.0, 5000.0, 5000.0]}, 10000)]
    assert "epsB = 0.002\n" in loaded.parameters.text
    net = convnet.load(PYTHON2 / name, batch_size=1, backend="reference", keep=["fc"])
    net.forward([np.float32([[1], [2], [4]]), np.zeros((1, 1), np.float32)])
    np.testing.assert_allclose(net.activity("fc").ravel(), [251.25, 14.75])
