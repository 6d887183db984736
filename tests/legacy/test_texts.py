"""The layer files that stored layers stand for, type by type, key by key."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.config.reader import read_sections
from convnet.errors import CheckpointError, Problems
from convnet.layer_types.registry import LAYER_TYPES
from convnet.legacy.fields import ANY_LAYER, FIELDS
from convnet.legacy.stored import stored_layers
from convnet.legacy.texts import layer_files
from tests.helpers import NEW_TYPES


def rate(kind: str, **parameters: float) -> dict:
    return {"type": kind, "params": parameters}


V1_WEIGHTS = {
    "weights": [None], "initW": [0.25], "initB": 0, "epsW": [0.001], "epsB": 0.5, "momW": [0.9],
    "momB": 0.75, "wc": [0.0],
}  # fmt: skip
V2_WEIGHTS = V1_WEIGHTS | {
    "epsW": [rate("exp", base=0.5, tgtFactor=10.0)], "epsB": rate("const", base=0.125),
    "wball": [0.0], "superEps": 0.0, "superMom": 0.0, "updatePeriod": 0,
}  # fmt: skip
V1_PARAMETERS = {"epsW": "0.001", "epsB": "0.5", "momW": "0.9", "momB": "0.75"}
V2_PARAMETERS = V1_PARAMETERS | {"epsW": "exp[base=0.5;tgtFactor=10.0]", "epsB": "0.125"}

CONV = {
    "channels": [8], "filters": 32, "filterSize": [5], "padding": [-2], "stride": [1],
    "groups": [2], "imgSize": [12], "modulesX": 12, "sharedBiases": True, "sumWidth": 3,
}  # fmt: skip
CONV_KEYS = {
    "channels": "8", "filters": "16", "filterSize": "5", "padding": "2", "groups": "2",
    "initW": "0.25",
}  # fmt: skip
POOL = {"channels": 4, "sizeX": 3, "stride": 2, "start": 0, "imgSize": 8, "outputsX": 4}
POOL_KEYS = {"channels": "4", "sizeX": "3", "stride": "2"}
NORM = {"channels": 16, "size": 3, "pow": 0.75, "blocked": False}
NORM_KEYS = {"channels": "16", "size": "3"}

# type, stored fields, keys of the definition, keys of the parameters
CASES = [
    ("data", {"dataIdx": 1, "outputs": 3}, {"dataIdx": "1"}, {}),
    ("data", {"dataIdx": 0, "start": 2, "end": 9}, {"dataIdx": "0", "start": "2", "end": "9"}, {}),
    ("fc", V1_WEIGHTS | {"outputs": 10}, {"outputs": "10", "initW": "0.25"}, V1_PARAMETERS),
    ("fc", V2_WEIGHTS | {"outputs": 10}, {"outputs": "10", "initW": "0.25"}, V2_PARAMETERS),
    (
        "fc",
        V2_WEIGHTS | {"outputs": 10, "initB": 1.5, "wball": [2.5], "updatePeriod": 1, "wc": [0.1]},
        {"outputs": "10", "initW": "0.25", "initB": "1.5"},
        V2_PARAMETERS | {"wball": "2.5", "updatePeriod": "1", "wc": "0.1"},
    ),
    (
        "fc",
        V1_WEIGHTS | {"outputs": 10, "epsW": [-0.001], "dropout": 0.5},
        {"outputs": "10", "initW": "0.25"},
        V1_PARAMETERS | {"epsW": "0", "dropout": "0.5"},
    ),
    (
        "fc",
        V2_WEIGHTS | {"outputs": 1, "epsW": [rate("dexp", base=1, tgtFactor=250.5, numSteps=3)]},
        {"outputs": "1", "initW": "0.25"},
        V2_PARAMETERS | {"epsW": "dexp[base=1;numSteps=3;tgtFactor=250.5]"},
    ),
    (
        "sfc",
        V2_WEIGHTS | {"parts": 4, "outputs": 20},
        {"parts": "4", "outputs": "5", "initW": "0.25"},
        V2_PARAMETERS,
    ),
    ("conv", CONV | V2_WEIGHTS, CONV_KEYS, V2_PARAMETERS),
    (
        "conv",
        CONV | V2_WEIGHTS | {"modulesX": 13, "sharedBiases": False, "wcNormMax": [3.0],
                             "wcNormMin": [0.0]},
        CONV_KEYS | {"modulesX": "13", "sharedBiases": "false"},
        V2_PARAMETERS | {"wcNormMax": "3.0"},
    ),
    (  # an early one, without lists
        "conv",
        V1_WEIGHTS | {"channels": 3, "filters": 32, "filterSize": 5, "padding": -2, "stride": 2,
                      "groups": 1, "imgSize": 32, "modulesX": 17, "epsW": 0.001, "wc": 0.25,
                      "initW": 0.25, "randSparse": False, "partialSum": 0,
                      "neuron": {"type": "tanh", "params": {"b": 0.5, "a": 1.5}}},
        {"channels": "3", "filters": "32", "filterSize": "5", "padding": "2", "stride": "2",
         "initW": "0.25", "neuron": "tanh[1.5,0.5]"},
        V1_PARAMETERS | {"wc": "0.25"},
    ),
    ("local", CONV | V1_WEIGHTS, CONV_KEYS, V1_PARAMETERS),
    ("pool", POOL | {"pool": "max"}, POOL_KEYS | {"pool": "max"}, {}),
    (
        "pool",
        POOL | {"pool": "avg", "start": -1, "outputsX": 9, "sum": True},
        POOL_KEYS | {"pool": "avg", "start": "-1", "outputsX": "9", "sum": "true"},
        {},
    ),
    (
        "cmpool",
        {"channels": 8, "pool": "max", "size": 3, "stride": 2, "start": -1, "outputChannels": 4,
         "outputs": 256},
        {"channels": "8", "pool": "max", "size": "3", "stride": "2", "start": "-1",
         "outputs": "4"},
        {},
    ),
    ("rnorm", NORM | {"scale": 0.001 / 9}, NORM_KEYS, {"scale": "0.001", "pow": "0.75"}),
    ("cnorm", NORM | {"scale": 0.1 / 9, "minDiv": 1.0}, NORM_KEYS,
     {"scale": "0.1", "pow": "0.75"}),
    ("rnorm", {"channels": 3, "sizeX": 7, "scale": 0.3 / 49, "pow": 1},
     {"channels": "3", "size": "7"}, {"scale": "0.3", "pow": "1"}),
    (
        "cmrnorm",
        NORM | {"scale": 0.001 / 3, "minDiv": 2, "blocked": True},
        NORM_KEYS | {"blocked": "true"},
        {"scale": "0.001", "pow": "0.75", "minDiv": "2"},
    ),
    ("neuron", {"neuron": rate("relu")}, {"neuron": "relu"}, {}),
    ("neuron", {"neuron": rate("brelu", a=6.0)}, {"neuron": "brelu[6.0]"}, {}),
    ("neuron", {"neuron": rate("linear", b=2.0, a=-1e-05)}, {"neuron": "linear[-1e-05,2.0]"}, {}),
    ("eltsum", {"coeffs": [1.0]}, {}, {}),
    ("eltsum", {"coeffs": [-0.5]}, {"coeffs": "-0.5"}, {}),
    ("eltmax", {}, {}, {}),
    ("sum", {"stride": 2}, {"stride": "2"}, {}),
    ("softmax", {"neuron": ""}, {}, {}),
    ("concat", {"copyOffsets": [0]}, {}, {}),
    ("pass", {}, {}, {}),
    ("union", {}, {}, {}),
    ("dropout", {"enable": True, "keep": 0.5}, {}, {}),
    ("dropout2", {"enable": False, "keep": 0.25}, {}, {"enable": "false", "keep": "0.25"}),
    ("nailbed", {"channels": 3, "stride": 2, "start": 1, "outputsX": 16},
     {"channels": "3", "stride": "2"}, {}),
    ("blur", {"channels": 3, "filterSize": 5, "stdev": 2.0},
     {"channels": "3", "filterSize": "5", "stdev": "2.0"}, {}),
    ("resize", {"channels": 3, "scale": 1.5, "tgtSize": 21}, {"channels": "3", "scale": "1.5"}, {}),
    ("rscale", {"channels": 3, "maxScale": 1.25, "tgtSize": 24},
     {"channels": "3", "maxScale": "1.25", "tgtSize": "24"}, {}),
    ("rgb2yuv", {"channels": 3}, {}, {}),
    ("rgb2lab", {"channels": 3, "center": False}, {}, {}),
    ("rgb2lab", {"channels": 3, "center": True}, {"center": "true"}, {}),
    ("crop", {"channels": 3, "startX": 2, "startY": 2, "sizeX": 8},
     {"channels": "3", "startX": "2", "sizeX": "8"}, {}),
    ("crop", {"channels": 3, "startX": 2, "startY": 0, "sizeX": 8},
     {"channels": "3", "startX": "2", "startY": "0", "sizeX": "8"}, {}),
    ("href", {"channels": 3}, {"channels": "3"}, {}),
    ("cccp", V1_WEIGHTS | {"channels": 1, "in_nodes": 8, "out_nodes": 4},
     {"channels": "1", "in_nodes": "8", "out_nodes": "4", "initW": "0.25"}, V1_PARAMETERS),
    *[(kind, V1_WEIGHTS | {"outputs": 10, "rate": 0.5},
       {"outputs": "10", "rate": "0.5", "initW": "0.25"}, V1_PARAMETERS)
      for kind in ("fcdropo", "fcdropc", "fcdropcf", "fcdrop")],
    ("cost.logreg", {"coeff": 1.0}, {}, {"coeff": "1.0"}),
    ("cost.logreg", {"coeff": 0.5, "topk": 5, "children": ["x", "y"]}, {"children": "x,y"},
     {"coeff": "0.5", "topk": "5"}),
    ("cost.sum2", {"coeff": 0, "children": []}, {}, {"coeff": "0"}),
    *[(kind, {"coeff": 1.0}, {}, {"coeff": "1.0"})
      for kind in ("cost.crossent", "cost.hingeloss", "cost.ce", "cost.locrank")],
    *[(kind, {"coeff": 1.0, "posWeight": 10.0}, {}, {"coeff": "1.0", "posWeight": "10.0"})
      for kind in ("cost.bce", "cost.dce")],
    ("cost.gsinlabel", {"coeff": 1.0, "channels": 3, "imgSize": 8},
     {"channels": "3", "imgSize": "8"}, {"coeff": "1.0"}),
]  # fmt: skip


def texts(layers: list[dict]) -> list[dict[str, dict[str, str]]]:
    """Keys and values by layer, of the definition and of the parameters."""
    files = []
    for source in layer_files(stored_layers(layers, "old/1.2"), "old/1.2"):
        problems = Problems()
        sections = read_sections(source, problems)
        assert not problems
        files.append({n: {e.key: e.value for e in s.entries.values()} for n, s in sections.items()})
    return files


@pytest.mark.parametrize(("kind", "fields", "definition", "parameters"), CASES)
def test_the_keys_of_a_type(kind, fields, definition, parameters):
    below = {"name": "x", "type": "data", "dataIdx": 0, "outputs": 3}
    layer = {"name": "top", "type": kind, **({} if kind == "data" else {"inputs": [0]}), **fields}
    found, found_parameters = texts([below, layer])
    inputs = {} if kind == "data" else {"inputs": "x"}
    assert found["top"] == {"type": kind} | inputs | definition
    assert found_parameters.get("top", {}) == parameters


def test_every_type_has_an_example():
    assert FIELDS.keys() == {kind for kind, *_ in CASES}
    assert LAYER_TYPES.keys() - NEW_TYPES <= FIELDS.keys()


@pytest.mark.parametrize("kind", sorted(LAYER_TYPES.keys() - NEW_TYPES))
def test_every_key_of_ours_is_stored_somewhere(kind):
    """But for those that are stored in another way, or have no effect once weights exist."""
    elsewhere = {"neuron", "gpu", "weightSource", "initWFunc", "initBFunc", "initCFunc"}
    elsewhere |= {"randSparse", "filterChannels", "filterConns"}
    elsewhere |= {"biases", "missing"}  # the original's layers, and images, all have them
    if kind != "crop":  # its windows are square
        elsewhere |= {"filterSizeY", "paddingY", "modulesY", "sizeY", "startY", "outputsY"}
    ignored = {"partialSum", "sumWidth", "superEps", "superMom"}
    stored = {field.key for field in (*FIELDS[kind], *ANY_LAYER)}
    assert {key.name for key in LAYER_TYPES[kind].keys} - elsewhere - ignored <= stored


def test_lists_over_inputs():
    data = {"name": "x", "type": "data", "dataIdx": 0, "outputs": 3}
    conv = V2_WEIGHTS | {
        "name": "c", "type": "conv", "inputs": [0, 0], "weights": [None] * 2, "initW": [0.1, 0.2],
        "channels": [8, 4], "filters": 32, "filterSize": [5, 3], "padding": [-2, -1],
        "stride": [1, 1], "groups": [2, 1], "imgSize": [12, 12], "modulesX": 12,
        "epsW": [rate("const", base=0.5), rate("linear", base=0.5, tgtFactor=2.0)],
        "momW": [0.5, 0.5], "wc": [0.0, 0.25], "wball": [0.0, 0.0],
    }  # fmt: skip
    definition, parameters = texts([data, conv])
    assert definition["c"] == {
        "type": "conv", "inputs": "x, x", "channels": "8,4", "filters": "16,32",
        "filterSize": "5,3", "padding": "2,1", "groups": "2,1", "initW": "0.1,0.2",
    }  # fmt: skip
    assert parameters["c"] == {
        "epsW": "0.5,linear[base=0.5;tgtFactor=2.0]", "epsB": "0.125", "momW": "0.5",
        "momB": "0.75", "wc": "0.0,0.25",
    }  # fmt: skip


CONNECTIONS = [
    ({"randSparse": [True, False], "filterConns": [[1, 0], []], "filterChannels": [4, 8]},
     ("true,false", "4,8", "1,0")),
    ({"randSparse": [1, 1], "filterConns": [[1, 0], [np.int64(2)]], "filterChannels": [4, 4]},
     ("true", "4", "1,0,2")),
    ({"randSparse": [False, False], "filterConns": [[], []], "filterChannels": [4, 4]}, None),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), CONNECTIONS)
def test_random_connections(fields, expected):
    two = {name: value * 2 for name, value in (CONV | V1_WEIGHTS).items() if type(value) is list}
    layers = conv(inputs=[0, 0], **two | fields)
    found = texts(layers)[0]["top"]
    keys = ("randSparse", "filterChannels", "filterConns")
    assert found.keys() & set(keys) == (set(keys) if expected else set())
    if expected:
        assert tuple(found[key] for key in keys) == expected


def test_random_connections_of_early_revisions():
    layers = conv(randSparse=True, filterConns=[1, 0, 3, 2], filterChannels=2)
    assert texts(layers)[0]["top"]["filterConns"] == "1,0,3,2"


def test_devices_are_named_where_a_layer_has_several():
    data = {"name": "x", "type": "data", "dataIdx": 0, "outputs": 3, "gpu": [-1]}
    fc = V2_WEIGHTS | {"type": "fc", "outputs": 3}
    layers = [
        data,
        fc | {"name": "a", "inputs": [0], "gpu": [0, 1]},
        fc | {"name": "b", "inputs": [1], "gpu": [1]},
    ]
    definition, _ = texts(layers)
    assert [keys.get("gpu") for keys in definition.values()] == [None, "0,1", "1"]
    layers[1]["gpu"] = [0]
    assert not any("gpu" in keys for keys in texts(layers)[0].values())
    for gpu in (3, [], [0] * 2000, ["0", "1"]):
        layers[1]["gpu"] = gpu
        with pytest.raises(CheckpointError, match="'a': field 'gpu' must be a list of devices"):
            texts(layers)


SHARING = [
    ({"weightSourceLayerIndices": [-1, 1], "weightSourceMatrixIndices": [-1, 0]}, ",a[0]"),
    ({"weightSourceLayers": ["", "a"], "weightSourceMatrixIndices": [-1, 0]}, ",a[0]"),
    ({"weightSourceLayerIndices": [1, 2], "weightSourceMatrixIndices": [0, 0]}, "a[0],b[0]"),
    ({"weightSourceLayers": ["", ""], "weightSourceMatrixIndices": [-1, -1]}, None),
    ({}, None),
]


@pytest.mark.parametrize(("fields", "expected"), SHARING)
def test_shared_weights(fields, expected):
    data = {"name": "x", "type": "data", "dataIdx": 0, "outputs": 3}
    fc = V1_WEIGHTS | {"type": "fc", "outputs": 3}
    two = {"weights": [None] * 2, "epsW": [0.1] * 2, "momW": [0.1] * 2, "wc": [0] * 2}
    layers = [
        data,
        fc | {"name": "a", "inputs": [0]},
        fc | two | fields | {"name": "b", "inputs": [0, 0], "initW": [0.1] * 2},
    ]
    assert texts(layers)[0]["b"].get("weightSource") == expected


def test_the_order_of_the_second_version():
    """Its dict has none; neuron layers have the last numbers, but stand after their layer."""
    fc = V2_WEIGHTS | {"type": "fc", "outputs": 3}
    relu = {"type": "neuron", "neuron": rate("relu")}
    layers = {
        "b_neuron": relu | {"id": 5, "inputs": ["b"], "src_layer": "b"},
        "top": {"type": "softmax", "id": 3, "inputs": ["b_neuron"]},
        "a_neuron": relu | {"id": 4, "inputs": ["a"], "src_layer": "a"},
        "b": fc | {"id": 2, "inputs": ["a_neuron"]},
        "a": fc | {"id": 1, "inputs": ["x"]},
        "x": {"type": "data", "id": 0, "dataIdx": 0},
    }
    for name, layer in layers.items():
        layer["name"] = name
    assert list(texts(layers)[0]) == ["x", "a", "a_neuron", "b", "b_neuron", "top"]


def test_a_layer_stands_after_the_one_whose_weights_it_shares():
    data = {"name": "x", "type": "data", "dataIdx": 0, "outputs": 3, "id": 0}
    fc = V2_WEIGHTS | {"type": "fc", "outputs": 3, "inputs": ["x"]}
    sharing = {"weightSourceLayers": ["z"], "weightSourceMatrixIndices": [0]}
    layers = {"x": data, "y": fc | sharing | {"id": 1, "name": "y"}, "z": fc | {"name": "z"}}
    layers["z"]["id"] = 2
    assert list(texts(layers)[0]) == ["x", "z", "y"]


def test_percent_signs_stay():
    data = {"name": "100%", "type": "data", "dataIdx": 0, "outputs": 3}
    top = {"name": "top", "type": "softmax", "inputs": [0]}
    definition, _ = texts([data, top])
    assert definition["top"]["inputs"] == "100%"


DATA = {"name": "x", "type": "data", "dataIdx": 0, "outputs": 3}


def changed(kind: str, fields: dict, **changes: object) -> list[dict]:
    layer = {"name": "top", "type": kind, "inputs": [0]} | fields | changes
    return [DATA, {k: v for k, v in layer.items() if v is not REMOVED}]


def conv(**changes: object) -> list[dict]:
    return changed("conv", CONV | V1_WEIGHTS, **changes)


REMOVED = object()
CASES_OF_DAMAGE = [
    (conv(filters=REMOVED), "field 'filters' is missing"),
    (conv(filters=33), "field 'filters' must be a multiple of groups"),
    (conv(groups=[0]), "field 'filters' must be a multiple of groups"),
    (conv(padding=["2"]), "field 'padding' must be a whole number"),
    (conv(stride=[2, 2]),
     "field 'stride' must have 1 values, one for each input"),
    (conv(channels=[2**31]), "field 'channels' must be a whole number"),
    (conv(channels=[4] * 2000), "field 'channels' is too long a list"),
    (conv(randSparse=[True]), "field 'filterConns' is missing"),
    (conv(randSparse=[True], filterConns=[[0, "1"]], filterChannels=[2]),
     "field 'filterConns' must be a list of channels for each input"),
    (conv(randSparse=[True], filterConns=[], filterChannels=[2]),
     "field 'filterConns' must be a list of channels for each input"),
    (changed("fc", V1_WEIGHTS | {"outputs": 3}, momW=[float("nan")]),
     "field 'momW' must be a finite number"),
    (changed("fc", V1_WEIGHTS | {"outputs": 3}, epsB="1\n[evil]"),
     "field 'epsB' must be a finite number"),
    (changed("fc", V1_WEIGHTS | {"outputs": 3}, epsW=[rate("exp", base=1.0, evil=2.0)]),
     "field 'epsW' must be a learning rate or a schedule"),
    (changed("fc", V1_WEIGHTS | {"outputs": 3}, epsW=[rate("a;b", base=1.0)]),
     "field 'epsW' must be a learning rate or a schedule"),
    (changed("pool", POOL, pool="max\n[evil]"), "field 'pool' must be a word"),
    (changed("pool", POOL | {"pool": "max"}, sizeX=None), "field 'sizeX' must be a whole number"),
    (changed("rnorm", NORM | {"scale": 1.0}, size=REMOVED), "field 'size' is missing"),
    (changed("neuron", {}, neuron="relu"), "field 'neuron' must be a neuron with its type"),
    (changed("neuron", {}, neuron={"type": "relu"}),
     "field 'neuron' must be a neuron with its parameters"),
    (changed("softmax", {}, neuron={"type": "a b"}),
     "field 'neuron' must be a neuron with its type"),
    (changed("cost.logreg", {"coeff": 1}, children=[3]),
     "field 'children' must be a list of names"),
    (changed("cost.logreg", {"coeff": 1}, children=["x\n[evil]"]),
     "field 'children' must be a list of names"),
    (changed("warp", {}), "type 'warp' is not known"),
    (changed("a b", {}), "its type must be a word"),
    (changed("softmax", {}, inputs="x"), "inputs must be a list of at most 1000"),
    (changed("softmax", {}, inputs=[5]), "refers to layer 5, which does not exist"),
    (changed("softmax", {}, inputs=[-1]), "refers to layer -1, which does not exist"),
    (changed("softmax", {}, inputs=[[]]), "refers to layer a list, which does not exist"),
    (changed("fc", V1_WEIGHTS, weightSourceLayers=["y"], weightSourceMatrixIndices=[0]),
     "refers to layer 'y', which does not exist"),
    (changed("fc", V1_WEIGHTS, weightSourceLayers=["x"], weightSourceMatrixIndices=[None]),
     "the sources of its weights must be numbers of matrices"),
    (changed("fc", V1_WEIGHTS, weightSourceLayers=["x", "x"], weightSourceMatrixIndices=[0]),
     "expected 1 sources of its weights; found 2"),
    (changed("fc", V1_WEIGHTS, weightSourceLayers=3), "the sources of its weights must be lists"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "message"), CASES_OF_DAMAGE, ids=[m for _, m in CASES_OF_DAMAGE]
)
def test_what_is_wrong_with_a_layer_is_told(layers, message):
    with pytest.raises(CheckpointError) as caught:
        texts(layers)
    assert str(caught.value) == f"old/1.2: Layer 'top': {message}"


NETS = [
    (3, "expected a list or dict of layers"),
    ([], "0 layers; expected 1 to 10000"),
    ([3], "a layer must be a dict; found int"),
    ([DATA, DATA], "two layers have the same name"),
    ({"y": DATA}, "a layer is stored under another name than its own"),
    (
        [
            {"name": "a", "type": "softmax", "inputs": [1]},
            {"name": "b", "type": "softmax", "inputs": [0]},
        ],
        "layers need each other in a circle",
    ),
    ([{"name": "a", "type": "softmax", "inputs": [0]}], "layers need each other in a circle"),
    *[
        ([{"name": name, "type": "data"}], f"a layer needs a name without commas; found {shown}")
        for name, shown in (
            (None, "a NoneType"),
            ("a,b", "'a,b'"),
            ("a]\n[b", r"'a]\n[b'"),
            ("a ;b", "'a ;b'"),
            (" a", "' a'"),
            ("a ", "'a '"),
            ("", "''"),
            ("DEFAULT", "'DEFAULT'"),
        )
    ],
]


@pytest.mark.parametrize(("layers", "message"), NETS, ids=[message for _, message in NETS])
def test_what_is_wrong_with_the_net_is_told(layers, message):
    with pytest.raises(CheckpointError) as caught:
        texts(layers)
    assert str(caught.value) == f"old/1.2: {message}"


def test_more_text_than_a_layer_file_holds():
    layers = [DATA] + [
        {"name": f"{'n' * 150}{i}", "type": "softmax", "inputs": [0] * 100} for i in range(9000)
    ]
    layers[0]["name"] = "x" * 150
    with pytest.raises(CheckpointError, match=r"old/1.2: its layers do not fit in a layer file"):
        texts(layers)
