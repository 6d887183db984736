"""Damaged and hostile checkpoint files: each is refused in one line, quickly, and does nothing."""

from __future__ import annotations

import gzip
import pickle
import random
import time
from contextlib import suppress

import numpy as np
import pytest

from convnet.api import restore
from convnet.checkpoint import load_checkpoint
from convnet.errors import CheckpointError, ConvnetError
from data_providers.pickle_writer import Class, write_pickle
from tests.data_providers.helpers import zipped
from tests.legacy.nets import everything
from tests.legacy.old import old_checkpoint, write_old


@pytest.fixture
def old(tmp_path):
    return tmp_path / "3.2"


@pytest.fixture(scope="module")
def content():
    return write_pickle(old_checkpoint(everything(2)))


def refusal(path):
    """The message with which the file is refused, without its name; it must come quickly."""
    started = time.perf_counter()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert time.perf_counter() - started < 5
    name, _, message = str(caught.value).partition(": ")
    assert name == str(path)
    assert "\n" not in message
    assert len(message) < 400
    return message


STATE = b"U\x0bmodel_state"
PROGRAMS = {
    "system": (b"cos\nsystem\nU\x04true\x85R", "refused: it asks for os.system, and only"),
    "eval": (b"c__builtin__\neval\nU\x011\x85R", "refused: it asks for builtins.eval, and only"),
    "getattr": (
        b"c__builtin__\ngetattr\ncoptions\nOption\nU\x09__class__\x86R",
        "refused: it asks for builtins.getattr, and only",
    ),
    "dotted": (
        b"coptions\nOption.__init__.__globals__\n",
        "refused: it asks for options.Option.__init__.__globals__, and only",
    ),
    "submodule": (b"coptions.os\nsystem\n", "refused: it asks for options.os.system, and only"),
    "call": (b"coptions\nOption\n)Rh\x00.", "not a readable pickle: 0"),
    "setstate": (
        b"(coptions\nOption\no}U\x0c__setstate__cos\nsystem\nsb",
        "refused: it asks for os.system, and only",
    ),
    "build of a class": (
        b"coptions\nOption\n}U\x04findNsb",
        "not a readable pickle: a state for what has none, a Name",
    ),
    "slots": (
        b"(coptions\nOption\noN}U\x01aNs\x86b",
        "not a readable pickle: an object whose attributes are no dict",
    ),
    "deep tuple": (
        b"}" + b")" + b"\x85" * 300_000 + b"Ns",
        "not a readable pickle: a tuple as a key",
    ),
    "memory": (
        b"U\xff" + b"x" * 255 + b"q\x00" + b"c_codecs\nencode\nh\x00\x85R" * 99,
        "not a readable pickle: it grows when it is read",
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_in_a_pickle(name, old):
    program, message = PROGRAMS[name]
    old.write_bytes(b"\x80\x02}" + STATE + program + b"s.")
    assert refusal(old).startswith(message)


ODD = {
    "nested lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "circular tuple": b"\x80\x02]q\x00h\x00\x85a.",
    "circular dict": b"\x80\x02}q\x00" + STATE + b"h\x00s.",
    "number": b"\x80\x02K\x01.",
    "no layers": b"\x80\x02}" + STATE + b"}s.",
}


@pytest.mark.parametrize("name", ODD)
def test_other_pickles(name, old):
    old.write_bytes(ODD[name])
    message = "a pickle, but not a checkpoint: it has no model_state with layers"
    assert refusal(old) == message


def test_a_doubling_list_anywhere(old, content):
    """Whatever repeats itself without end is not walked, printed or copied."""
    endless: list = []
    for _ in range(70):
        endless = [endless, endless]
    net = everything(2)
    for layer in (net["conv1"], net["logprob"], net["pool1"], net["fc1_neuron"], net["data"]):
        for field in [f for f in layer if f not in ("inputLayers", "outputs")]:
            before = layer[field]
            layer[field] = endless
            write_old(old, old_checkpoint(net))
            started = time.perf_counter()
            with suppress(CheckpointError):
                load_checkpoint(old)
            assert time.perf_counter() - started < 1
            layer[field] = before
    for field in ("epoch", "batchnum", "train_outputs", "test_outputs", "layers"):
        write_old(old, old_checkpoint(net, **{field: endless}))
        refusal(old)


def test_one_matrix_in_many_places(old):
    net = everything(2)
    net.fc("big", "pool2", 20_000)
    shared = net["big"]["weights"]
    for i in range(30):
        net.fc(f"fc{i + 5}", "pool2", 20_000)
        net[f"fc{i + 5}"]["weights"] = shared
        net[f"fc{i + 5}"]["weightsInc"] = shared
        net[f"fc{i + 5}"]["biases"] = net[f"fc{i + 5}"]["biasesInc"] = net["big"]["biases"]
    write_old(old, old_checkpoint(net))
    assert refusal(old) == "holds the same values in too many places"


def test_one_output_in_many_places(old):
    output = ({"logprob": [1.0] * 1000}, 8)
    program = write_pickle(old_checkpoint(everything(2), train_outputs=["here"]))
    once = write_pickle(output)[2:-1]
    repeated = once + b"p12345\n" + b"g12345\n" * 100_000
    old.write_bytes(program.replace(b"U\x04here", repeated))
    assert refusal(old) == "holds the same values in too many places"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": "3"}, "epoch must be a whole number"),
        ({"batchnum": -1}, "batchnum must be a whole number"),
        ({"epoch": None}, "epoch must be a whole number"),
        ({"layers": 3}, "expected a list or dict of layers"),
        *[
            (
                {name: value},
                f"{name} must be a list of (values by cost, number of images)",
            )
            for name in ("train_outputs", "test_outputs")
            for value in (3, [3], [({"logprob": [1.0]}, "x")], [([1.0], 3)], ["ab"],
                          [({"logprob": ["x"]}, 3)], [({"logprob": 2.0}, 3)])
        ],
    ],
)  # fmt: skip
def test_damaged_state(changes, message, old):
    write_old(old, old_checkpoint(everything(2), **changes))
    assert refusal(old) == message


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("weights", None, "'weights.0' must be a matrix of floating-point numbers"),
        ("weights", [np.zeros(3)], "'weights.0' must be a matrix of floating-point numbers"),
        ("weights", [np.zeros((3, 3), int)],
         "'weights.0' must be a matrix of floating-point numbers"),
        ("weights", [], "field 'weights' must have 1 matrices, one per input"),
        ("weightsInc", ["x"], "'weights.0.inc' must be a matrix of floating-point numbers"),
        ("biases", None, "'biases' must be a matrix of floating-point numbers"),
        ("biasesInc", 3, "'biases.inc' must be a matrix of floating-point numbers"),
    ],
)  # fmt: skip
def test_damaged_matrices(field, value, message, old):
    net = everything(2)
    net["fc1"][field] = value
    write_old(old, old_checkpoint(net))
    assert refusal(old) == f"Layer 'fc1': {message}"


def test_a_list_that_is_too_short(old):
    net = everything(2)
    net["probs"]["channels"] = []
    write_old(old, old_checkpoint(net))
    expected = "damaged checkpoint (IndexError('list index out of range')); name another one"
    assert refusal(old) == expected


def test_numbers_that_are_too_large(old):
    net = everything(2)
    net["fc1"]["weights"][0] = np.full((4, 5), 1e300)
    outputs = [({"logprob": [1.0, 2.0, 10**400]}, 8)]
    write_old(old, old_checkpoint(net))
    assert np.isinf(load_checkpoint(old).weights["fc1.weights.0"]).all()
    write_old(old, old_checkpoint(net, train_outputs=outputs))
    assert refusal(old).startswith("train_outputs must be a list of")


def test_biases_that_are_missing(old):
    net = everything(2)
    del net["fc1"]["biases"]
    write_old(old, old_checkpoint(net))
    assert refusal(old) == "Layer 'fc1': field 'biases' is missing"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("dataIdx", 10**6, "matrix 1000000 with 256 rows"),
        ("outputs", 0, "matrix 0 with 0 rows"),
        ("outputs", "x", "field 'outputs' must be a whole number"),
    ],
)
def test_damaged_data_layers(field, value, message, old):
    net = everything(1)
    net["data"][field] = value
    write_old(old, old_checkpoint(net))
    assert refusal(old) == f"Layer 'data': {message}"


# --- files ----------------------------------------------------------------------------------


def test_truncated_anywhere(old, content):
    for length in range(1, len(content), 997):
        old.write_bytes(content[:length])
        assert refusal(old).startswith("not a readable pickle: ")


def test_damaged_anywhere(old, content):
    """Bytes changed at random: the file is refused, or what it holds can be used or is refused."""
    rng = random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(1, len(damaged))] = rng.randrange(256)
        old.write_bytes(damaged)
        with suppress(ConvnetError, MemoryError):
            restore(load_checkpoint(old), batch_size=2, backend="reference")


def replaced(node, rng, depth=0):
    """The same content with one random part replaced by something of another kind."""
    if isinstance(node, dict) and node and depth < 6 and rng.random() < 0.9:
        key = rng.choice([k for k in node if k != "inputLayers"] or list(node))
        return {**node, key: replaced(node[key], rng, depth + 1)}
    if isinstance(node, list) and node and rng.random() < 0.8:
        index = rng.randrange(len(node))
        return [*node[:index], replaced(node[index], rng, depth + 1), *node[index + 1 :]]
    other = [None, -1, 0.5, "text", [], {}, [[1]], True, 10**30, {"a": None}, float("nan"), ()]
    return rng.choice([*other, np.zeros((2, 2), np.float32), np.float32(2), Class("options", "X")])


@pytest.mark.parametrize("version", [1, 2])
def test_contents_of_any_kind(version, old):
    rng = random.Random(version)
    content = old_checkpoint(everything(version))
    refused = 0
    for _ in range(200):
        write_old(old, content | {"model_state": replaced(content["model_state"], rng)})
        try:
            restore(load_checkpoint(old), batch_size=2, backend="reference")
        except ConvnetError:
            refused += 1
    assert 50 < refused < 200


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped("data", content)])
def test_packed_files(pack, old, content, monkeypatch):
    old.write_bytes(pack(content)[:-30])
    assert refusal(old).startswith("not a readable pickle: ")
    monkeypatch.setattr("data_providers.pickles.MAX_UNPACKED", 10**6)
    old.write_bytes(pack(b"\0" * 10**7))
    assert old.stat().st_size < 10**5
    assert refusal(old) == "not a readable pickle: it unpacks to more than 1000000 bytes"


def test_a_pickle_of_something_else(old):
    old.write_bytes(pickle.dumps({"data": np.zeros(3), "labels": [1, 2]}, 2))
    assert refusal(old).startswith("a pickle, but not a checkpoint")
