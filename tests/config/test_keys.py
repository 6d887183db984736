import pytest

from convnet.config.keys import (
    Bool,
    Choice,
    Float,
    Floats,
    Ignored,
    Int,
    Key,
    Names,
    NeuronKind,
    Rate,
    parse_keys,
    suggest,
)
from convnet.config.reader import Source, read_sections
from convnet.config.schedules import Const, Exp
from convnet.errors import Problems
from convnet.neurons import Neuron

KEYS = (
    Key("filterSize", Int(min=1), "side of the filter", per_input=True),
    Key("padding", Int(min=0), "zeros around the image", default=0, per_input=True),
    Key("sharedBiases", Bool(), "one bias per filter", default=True),
    Key("partialSum", Ignored(), "tuned the original's kernels"),
    Key("epsW", Rate(), "learning rates", file="parameters", per_input=True),
    Key("wc", Float(min=0), "weight decay", default=0.0, file="parameters", per_input=True),
    Key("coeffs", Float(), "factors", default=1.0, file="either", per_input=True),
)


def section(text, name="f"):
    problems = Problems()
    (found,) = read_sections(Source(name, text), problems).values()
    assert not problems
    return found


def parse(definition, parameters=None, n_inputs=1, lenient=False, keys=KEYS):
    """(values, errors, warnings) for the keys of one layer."""
    problems = Problems()
    values = parse_keys(
        keys,
        section("[c]\n" + definition),
        None if parameters is None else section("[c]\n" + parameters, "p"),
        n_inputs,
        problems,
        lenient=lenient,
    )
    return values, problems.errors, problems.warnings


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Int(), "-3", -3),
        (Int(min=1, max=2), "2", 2),
        (Float(), "1e-3", 1e-3),
        (Float(above=0, max=1), "1", 1.0),
        (Bool(), "Yes", True),
        (Bool(), "TRUE", True),
        (Bool(), "on", True),
        (Bool(), "1", True),
        (Bool(), "No", False),
        (Bool(), "false", False),
        (Bool(), "off", False),
        (Bool(), "0", False),
        (Choice("max", "avg"), "avg", "avg"),
        (Names(), "a, b", ("a", "b")),
        (Names(), ",a", ("", "a")),
        (Names(), "", ()),
        (Floats(), "1, -.5", (1.0, -0.5)),
        (Rate(), "exp[base=1;tgtFactor=2]", Exp(1.0, 2.0)),
        (NeuronKind(), "tanh[1.5,0.5]", Neuron("tanh", (1.5, 0.5))),
        (Ignored(), "x", None),
    ],
)
def test_kinds(kind, text, value):
    parsed = kind.parse(text)
    assert parsed == value
    assert type(parsed) is type(value)
    assert kind.expected


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Int(), "1.0", "expected an integer"),
        (Int(), "9" * 400, "expected an integer"),
        (Int(min=1), "0", "expected an integer >= 1"),
        (Int(min=1, max=4), "5", "expected an integer >= 1 and <= 4"),
        (Float(), "nan", "expected a finite number"),
        (Float(), "-inf", "expected a finite number"),
        (Float(), "", "expected a finite number"),
        (Float(above=0, max=1), "0", "expected a finite number > 0 and <= 1"),
        (Int(), "2147483648", "expected an integer, of less than 2^31"),
        (Rate(), "-0.1", "expected a learning rate of at least 0, found '-0.1'"),
        (Bool(), "2", "expected a boolean (true or false, yes or no, on or off, 1 or 0)"),
        (Choice("max", "avg"), "Max", "expected one of max, avg"),
        (Floats(), "1,,2", "expected a comma-separated list of finite numbers"),
        (Floats(), "inf", "expected a comma-separated list of finite numbers"),
        (Rate(), "x", "a learning rate must be a finite number, found 'x'"),
        (NeuronKind(), "linear[inf,1]", "parameters of a neuron must be finite"),
        (NeuronKind(), "tanh[0,1]", "parameter a of neuron 'tanh[0,1]' must not be 0"),
        (
            NeuronKind(),
            "dropout[1]",
            "parameter p of neuron 'dropout[1]' must be at least 0 and below 1",
        ),
        (
            NeuronKind(),
            "softlif[1,0,0.1,1,0,1]",
            "parameter g of neuron 'softlif[1,0,0.1,1,0,1]' must be above 0",
        ),
        (
            NeuronKind(),
            "softlif[1,-1,0.1,1,1,1]",
            "parameter t of neuron 'softlif[1,-1,0.1,1,1,1]' must be at least 0",
        ),
        (
            NeuronKind(),
            "softlifalpharc[1,0,0.1,1,1,0.1]",
            "parameters r and s of neuron 'softlifalpharc[1,0,0.1,1,1,0.1]' must differ by at "
            "least 0.001",
        ),
    ],
)
def test_kinds_refuse(kind, text, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the text is compared whole)
        kind.parse(text)
    assert str(error.value) == message


def test_unknown_neuron_is_refused():
    with pytest.raises(ValueError, match="unknown neuron 'gelu'"):
        NeuronKind().parse("gelu")


def test_values_defaults_and_case():
    values, errors, _ = parse("FILTERSIZE=5\npartialsum=x", "epsw=0.1")
    assert errors == []
    assert values == {
        "filterSize": (5,),
        "padding": (0,),
        "sharedBiases": True,
        "epsW": (Const(0.1),),
        "wc": (0.0,),
        "coeffs": (1.0,),
    }


def test_lists_have_one_item_or_one_per_input():
    values, errors, _ = parse("filterSize=3,\n 5\npadding=1", "epsW=.1,exp[base=1;tgtFactor=2]", 2)
    assert errors == []
    assert values["filterSize"] == (3, 5)
    assert values["padding"] == (1, 1)
    assert values["epsW"] == (Const(0.1), Exp(1.0, 2.0))
    assert values["wc"] == (0.0, 0.0)


def test_without_a_parameter_file_its_keys_have_defaults():
    values, errors, _ = parse("filterSize=5", None, 2)
    assert errors == []
    assert values["epsW"] is None
    assert values["wc"] == (0.0, 0.0)


def test_key_of_either_file():
    assert parse("filterSize=1\ncoeffs=2", "epsW=1")[0]["coeffs"] == (2.0,)
    assert parse("filterSize=1\ncoeffs=2", "epsW=1\ncoeffs=3")[0]["coeffs"] == (3.0,)
    assert parse("filterSize=1\ncoeffs=2", "epsW=1\ncoeffs=3")[1] == []


def test_auxiliary_keys_need_not_be_known():
    values, errors, _ = parse("n=5\nfilterSize=%(n)s", "epsW=1")
    assert errors == []
    assert values["filterSize"] == (5,)


def test_all_mistakes_are_reported_together():
    definition = "padding=0,1,2\nsharedbiases=maybe\nstridee=1\nepsW=0.1\nfiltersize=3 # odd"
    _, errors, warnings = parse(definition, "EPSW=fast\nsharedBiases=1\nqq=1", 2)
    assert warnings == []
    assert errors == [
        "f:6: Layer 'c': parameter 'filterSize' is '3 # odd': expected an integer >= 1; "
        "'#' starts a comment only at the start of a line",
        "f:2: Layer 'c': expected a list of length 2 for padding but found length 3",
        "f:3: Layer 'c': parameter 'sharedBiases' is 'maybe': expected a boolean (true or false, "
        "yes or no, on or off, 1 or 0)",
        "p:2: Layer 'c': parameter 'epsW' is 'fast': a learning rate must be a finite number, "
        "found 'fast'",
        "f:4: Layer 'c': unknown parameter 'stridee'; expected one of filterSize, padding, "
        "sharedBiases, partialSum, epsW, wc, coeffs",
        "f:5: Layer 'c': parameter 'epsW' belongs in the parameter file",
        "p:3: Layer 'c': parameter 'sharedBiases' belongs in the definition file",
        "p:4: Layer 'c': unknown parameter 'qq'; expected one of filterSize, padding, "
        "sharedBiases, partialSum, epsW, wc, coeffs",
    ]


def test_missing_keys():
    assert parse("padding=0", "wc=0")[1] == [
        "f:1: Layer 'c': required parameter 'filterSize' missing",
        "p:1: Layer 'c': required parameter 'epsW' missing",
    ]


def test_lenient_turns_unknown_and_misplaced_keys_into_warnings():
    _, errors, warnings = parse("filterSize=3\npading=1\nwc=1", "epsW=1", lenient=True)
    assert errors == []
    assert warnings == [
        "f:3: Layer 'c': unknown parameter 'pading'; did you mean 'padding'?",
        "f:4: Layer 'c': parameter 'wc' belongs in the parameter file",
    ]


def test_lenient_takes_doubtful_values_as_the_original_did():
    keys = (
        *KEYS[:-2],
        Key("wc", Float(min=0, below="min"), "", file="parameters", per_input=True),
        Key("momB", Float(min=0, below="taken"), "", file="parameters"),
    )
    text = "epsW=0.1,-0.2\nwc=-1\nmomB=-.5"
    values, errors, warnings = parse("filterSize=3", text, n_inputs=2, lenient=True, keys=keys)
    assert errors == []
    assert values["epsW"] == (Const(0.1), Const(0.0))
    assert values["wc"] == (0, 0)
    assert values["momB"] == -0.5
    reasons = [
        "p:2: Layer 'c': parameter 'epsW' is '-0.2': expected a learning rate of at least 0, "
        "found '-0.2'",
        "p:3: Layer 'c': parameter 'wc' is '-1': expected a finite number >= 0",
        "p:4: Layer 'c': parameter 'momB' is '-.5': expected a finite number >= 0",
    ]
    taken = (0.0, 0.0, -0.5)
    assert warnings == [f"{r}; taken as {value}" for r, value in zip(reasons, taken, strict=True)]
    assert parse("filterSize=3", text, n_inputs=2, keys=keys)[1] == reasons


def test_every_mistake_is_one_line():
    _, errors, _ = parse(
        "filterSize=1\nneuron=a\n b", keys=(*KEYS, Key("neuron", NeuronKind(), ""))
    )
    assert len(errors) == 1
    assert "\n" not in errors[0]


def test_unusable_values_matter_where_they_are_read():
    text = "[c]\nfilterSize=1\nnote=50%\npadding=%"
    (broken,) = read_sections(Source("f", text), Problems()).values()
    faults = [f"f:{n}: bare '%' in the value of {key}; write %% or %(key)s" for n, key in
              ((3, "'note'"), (4, "'padding'"))]  # fmt: skip
    strict, lenient = Problems(), Problems()
    parse_keys(KEYS, broken, None, 1, strict)
    assert strict.errors == faults
    parse_keys(KEYS, broken, None, 1, lenient, lenient=True)
    assert (lenient.warnings, lenient.errors) == (faults[:1], faults[1:])


def test_values_that_the_reader_refused_are_not_reported_again():
    problems = Problems()
    (broken,) = read_sections(Source("f", "[c]\nfilterSize=%"), problems).values()
    parse_keys(KEYS, broken, None, 1, problems)
    assert problems.errors == ["f:2: bare '%' in the value of 'filterSize'; write %% or %(key)s"]


def test_suggest():
    assert suggest("filtersize", ["filterSize", "x"]) == "; did you mean 'filterSize'?"
    assert suggest("q", ["a", "b"]) == "; expected one of a, b"
    assert suggest("q", []) == ""
    assert suggest("q", map(str, range(99))) == ""
