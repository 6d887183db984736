import contextlib
import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest

from convnet.config import (
    Choice,
    Float,
    Int,
    Key,
    LayerSpec,
    NeuronKind,
    Rate,
    Source,
    read_layer_files,
)
from convnet.config.reader import read_sections
from convnet.config.schedules import Const
from convnet.errors import ConfigError, Problems
from convnet.neurons import Neuron


@dataclass
class Type:
    keys: list[Key]
    min_inputs: int = 1
    max_inputs: int | None = 1
    needs_parameters: bool = False
    has_output: bool = True


TYPES = {
    "data": Type([Key("dataIdx", Int(min=0), "")], min_inputs=0, max_inputs=0),
    "fc": Type(
        [
            Key("outputs", Int(min=1), ""),
            Key("neuron", NeuronKind(), "", default=None),
            Key("epsW", Rate(), "", file="parameters", per_input=True),
        ],
        max_inputs=None,
    ),
    "pool": Type([Key("pool", Choice("max", "avg"), "")]),
    "sum": Type([], min_inputs=2, max_inputs=3),
    "dropout": Type([], needs_parameters=True),
    "cost": Type(
        [Key("coeff", Float(), "", file="parameters")], min_inputs=2, max_inputs=2, has_output=False
    ),
}
DEFINITION = """[data]
type=data
dataIdx=0
[labels]
type=data
dataIdx=1
[fc1]
type=fc
inputs=data
outputs=10
neuron=relu
[fc2]
type=fc
inputs=data, fc1
outputs=10
[cost]
type=cost
inputs=labels,fc2
"""
PARAMETERS = "[fc1]\nepsW=1\n[fc2]\nepsW=.1,.2\n[cost]\ncoeff=1\n"


def mistakes(definition, parameters=None, **options):
    with pytest.raises(ConfigError) as error:
        read_layer_files(
            Source("f", definition),
            None if parameters is None else Source("p", parameters),
            TYPES,
            **options,
        )
    return str(error.value).split("\n")


def test_layers_in_file_order():
    specs = read_layer_files(Source("f", DEFINITION), Source("p", PARAMETERS), TYPES)
    assert [spec.name for spec in specs] == ["data", "labels", "fc1", "fc2", "cost"]
    assert specs[3] == LayerSpec(
        name="fc2",
        type="fc",
        inputs=("data", "fc1"),
        values={"outputs": 10, "neuron": None, "epsW": (Const(0.1), Const(0.2)), "dropout": 0.0},
        where="f:12",
    )
    assert specs[2].values["neuron"] == Neuron("relu")
    assert specs[0].inputs == ()


def test_definition_alone():
    specs = read_layer_files(Source("f", DEFINITION), None, TYPES)
    assert specs[3].values["epsW"] is None
    assert specs[4].values == {"coeff": None}


def test_paths_and_toml(tmp_path):
    definition, parameters = tmp_path / "net.cfg", tmp_path / "params.toml"
    definition.write_text(DEFINITION)
    parameters.write_text("[fc1]\nepsW=1\n[fc2]\nepsW=[0.1,0.2]\n[cost]\ncoeff=1\n")
    from_files = read_layer_files(definition, parameters, TYPES)
    from_texts = read_layer_files(
        Source(str(definition), DEFINITION), Source("p", PARAMETERS), TYPES
    )
    assert from_files == from_texts


def test_mistakes_of_both_files_are_reported_together():
    definition = DEFINITION.replace("outputs=10\nneuron", "outputs=0\nneuron").replace(
        "dataIdx=1", "dataIdx 1"
    )
    assert mistakes(definition, PARAMETERS.replace("coeff", "koeff") + "x\n") == [
        "f:6: expected 'key = value', found 'dataIdx 1'",
        "p:7: expected 'key = value', found 'x'",
        "f:4: Layer 'labels': required parameter 'dataIdx' missing",
        "f:10: Layer 'fc1': parameter 'outputs' is '0': expected an integer >= 1",
        "p:5: Layer 'cost': required parameter 'coeff' missing",
        "p:6: Layer 'cost': unknown parameter 'koeff'; did you mean 'coeff'?",
    ]


def test_unreadable_files_are_reported_together(tmp_path):
    paths = [tmp_path / "a.cfg", tmp_path / "b.cfg"]
    with pytest.raises(ConfigError) as error:
        read_layer_files(*paths, TYPES)
    assert str(error.value).split("\n") == [
        f"{path}: cannot read the layer file: No such file or directory" for path in paths
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "[DEFAULT]\nx=1\n"])
def test_no_layers(text, tmp_path):
    assert mistakes(text, "[a]\n") == ["f: holds no layers; expected sections such as [data]"]
    path = tmp_path / "net.cfg"
    path.write_text(text)
    with pytest.raises(ConfigError, match="holds no layers"):
        read_layer_files(path, None, TYPES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("type=cost", "type=kost", "f:17: Layer 'cost': unknown layer type 'kost'; did you mean"),
        ("type=cost\n", "", "f:16: Layer 'cost': required parameter 'type' missing"),
        ("type=cost", "type=%", "f:17: bare '%' in the value of 'type'; write %% or %(key)s"),
        (
            "data, fc1",
            "data, fc9",
            "f:14: Layer 'fc2': input 'fc9' is not defined; did you mean 'fc1'?",
        ),
        ("data, fc1", "data,, fc1", "f:14: Layer 'fc2': empty name in the list of inputs"),
        ("data, fc1", "fc1, fc2", "f:14: Layer 'fc2': is its own input"),
        (
            "inputs=labels,fc2",
            "inputs=fc2",
            "f:18: Layer 'cost': type 'cost' takes 2 inputs, found 1",
        ),
        ("inputs=labels,fc2\n", "", "f:16: Layer 'cost': required parameter 'inputs' missing"),
        ("inputs=data, fc1", "inputs=%", "f:14: bare '%' in the value of 'inputs'; write %% or"),
        (
            "type=fc\ninputs=data, fc1\noutputs=10",
            "type=sum\ninputs=fc1,data,fc1,data",
            "f:14: Layer 'fc2': type 'sum' takes 2 to 3 inputs, found 4",
        ),
        (
            "type=fc\ninputs=data, fc1",
            "type=fc\ninputs=",
            "f:14: Layer 'fc2': type 'fc' takes at least 1 inputs, found 0",
        ),
        (
            "dataIdx=1",
            "dataIdx=1\ninputs=data",
            "f:7: Layer 'labels': type 'data' takes no inputs",
        ),
        (
            "[cost]",
            "[idle]\ntype=pool\npool=max\ninputs=fc1\n[cost]",
            "f:16: Layer 'idle' of type 'pool' is unused",
        ),
    ],
)
def test_mistakes_in_the_definition(old, new, message):
    definition = DEFINITION.replace(old, new)
    assert definition != DEFINITION
    assert mistakes(definition, None)[0].startswith(message)


def test_input_that_is_a_cost():
    extra = "[more]\ntype=cost\ninputs=labels,cost\n"
    assert mistakes(DEFINITION + extra) == [
        "f:21: Layer 'more': input 'cost' is a cost layer, which has no output"
    ]


def test_input_defined_below():
    head, tail = DEFINITION.split("[fc1]")
    assert mistakes(head + tail[tail.index("[fc2]") :] + "[fc1]" + tail[: tail.index("[fc2]")]) == [
        "f:9: Layer 'fc2': input 'fc1' is defined below, at f:14; "
        "a layer may only use layers defined above it"
    ]


def test_cycle():
    definition = DEFINITION.replace("inputs=data\n", "inputs=fc3\n").replace(
        "[cost]", "[fc3]\ntype=fc\ninputs=data,fc2\noutputs=1\n[cost]"
    )
    assert mistakes(definition) == [
        "f:9: Layer 'fc1': input 'fc3' is defined below, at f:16; "
        "these layers form a cycle: fc1 uses fc3 uses fc2 uses fc1"
    ]


def test_mistakes_in_the_parameter_file():
    assert mistakes(DEFINITION, "[fc1]\nepsW=1\n[FC2]\nepsW=1\n[cost]\ncoeff=1\n") == [
        "f:12: Layer 'fc2': needs a section [fc2] in the parameter file",
        "p:3: section [FC2] belongs to no layer; did you mean 'fc2'?",
    ]


def test_type_that_needs_a_section_even_without_required_keys():
    definition = DEFINITION.replace(
        "type=fc\ninputs=data\noutputs=10\nneuron=relu", "type=dropout\ninputs=data"
    )
    assert mistakes(definition, PARAMETERS.replace("[fc1]\nepsW=1\n", "")) == [
        "f:7: Layer 'fc1': needs a section [fc1] in the parameter file"
    ]


def test_lenient_warns():
    problems = Problems()
    definition = DEFINITION.replace("dataIdx=1", "dataIdx=1\ninputs=fc2\nscale=2")
    specs = read_layer_files(
        Source("f", definition),
        Source("p", PARAMETERS + "[other]\n"),
        TYPES,
        lenient=True,
        problems=problems,
    )
    assert specs[1].inputs == ()
    assert problems.warnings == [
        "f:7: Layer 'labels': type 'data' takes no inputs",
        "f:8: Layer 'labels': unknown parameter 'scale'; expected one of type, inputs, dataIdx, "
        "dropout",
        "p:7: section [other] belongs to no layer; expected one of data, labels, fc1, fc2, cost",
    ]


def test_an_unused_layer_is_a_mistake_in_any_case():
    """cuda-convnet refused it, too."""
    definition = DEFINITION + "[idle]\ntype=pool\npool=max\ninputs=fc1\n"
    for lenient in (False, True):
        assert mistakes(definition, lenient=lenient) == [
            "f:19: Layer 'idle' of type 'pool' is unused"
        ]


@pytest.mark.parametrize("toml", [False, True])
def test_damaged_files_give_a_config_error_or_layers(toml):
    generator = random.Random(0)
    alphabet = "[]=:;#%()s,.\n\r \t\"'\x00\u00e9ai0-"
    text = "[data]\ntype = 'data'\ndataIdx = 0\n[fc]\ntype = \"fc\"\ninputs = 'data,data'\n"
    for _ in range(500):
        damaged = list(text)
        for _ in range(generator.randint(1, 6)):
            start = generator.randrange(len(damaged))
            damaged[start : start + generator.randint(0, 8)] = generator.choice(alphabet)
        source = Source("f", "".join(damaged), toml)
        with contextlib.suppress(ConfigError):
            read_layer_files(source, source, TYPES)


def corpus():
    """Layer files that people wrote, where this machine has some."""
    beside_the_project = Path(__file__).parents[2] / "../shared/corpus"
    folder = Path(os.environ.get("CONVNET_TEST_CORPUS", beside_the_project))
    return sorted(path for path in folder.glob("*") if path.suffix not in (".md", ".tsv"))


@pytest.mark.skipif(not corpus(), reason="no layer files in CONVNET_TEST_CORPUS")
def test_public_layer_files_are_read():
    for path in corpus():
        problems = Problems()
        sections = read_sections(Source.from_path(path), problems)
        assert problems.errors == []
        assert sections
