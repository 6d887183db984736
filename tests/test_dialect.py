"""Odd layer files as people write them: cuda-convnet's verdict against that of `--lenient 1`.

Each case is one change in a pair of files that both take. The original's verdict follows from its
rules. Where the two differ, docs/compatibility.md must say so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from convnet.api import infer_shapes, read_graph
from convnet.errors import ConfigError
from tests.docs.pages import PAGES

DEFINITION = """\
[data]
type=data
dataIdx=0

[labels]
type=data
dataIdx=1

[conv1]
type=conv
inputs=data
channels=3
filters=32
filterSize=5
padding=2
stride=1
initW=0.0001
neuron=relu
partialSum=1
sumWidth=1
sharedBiases=1
gpu=0

[pool1]
type=pool
inputs=conv1
pool=max
channels=32
sizeX=3
stride=2
start=0
outputsX=0

[norm1]
type=cmrnorm
inputs=pool1
channels=32
size=5

[both]
type=eltsum
inputs=pool1,norm1

[fc1]
type=fc
inputs=both,norm1
outputs=20
initW=0.01

[fc10]
type=fc
inputs=fc1
outputs=10
initW=0.02

[probs]
type=softmax
inputs=fc10

[logprob]
type=cost.logreg
inputs=labels,probs
"""
PARAMETERS = """\
[conv1]
epsW=0.001
epsB=0.002
momW=0.9
momB=0.9
wc=0.004

[norm1]
scale=0.00005
pow=.75

[both]
coeffs=1,1

[fc1]
epsW=0.1,0.2
epsB=0.3
momW=0.9
momB=0.9
wc=3

[fc10]
epsW=0.4
epsB=0.5
momW=0.9
momB=0.9
wc=1

[logprob]
coeff=1
"""


@dataclass(frozen=True)
class Case:
    """`old` becomes `new` in the file that has it.

    Attributes:
        original: why the original refuses the files; empty if it takes them.
        ours: what our refusal says; empty if they build.
        cause: what docs/compatibility.md says where only one of the two takes them.
    """

    old: str
    new: str
    original: str = ""
    ours: str = ""
    cause: str = ""


def taken(old: str, new: str) -> Case:
    """By both."""
    return Case(old, new)


def refused(old: str, new: str, original: str, ours: str) -> Case:
    """By both."""
    return Case(old, new, original, ours)


def only_original(old: str, new: str, ours: str, cause: str) -> Case:
    """Takes the files."""
    return Case(old, new, ours=ours, cause=cause)


def only_here(old: str, new: str, original: str, cause: str) -> Case:
    """The files are taken."""
    return Case(old, new, original=original, cause=cause)


INT, MISSING = "parameter must be int", "required parameter missing"
LENGTH = "expected list of another length"
SCHEDULE = "unable to parse learning rate schedule"

GRAMMAR = [
    taken("initW=0.02", "INITW : 0.02"),
    taken("initW=0.02", "initw\t=\t0.02\t"),
    taken("initW=0.02", "initW = 0.02 ; twice that of fc1"),
    taken("[fc10]\ntype", "; fc10 # \xfcber\nREM more\n[fc10] ; last\ntype"),
    taken("[fc10]\ntype", "[fc10] // last\ntype"),
    taken("inputs=both,norm1", "inputs=both,\n   norm1"),
    taken("inputs=both,norm1", "inputs= both , norm1"),
    taken("[probs]", "[fc10]\noutputs=11\n[probs]"),
    taken("[data]", "[DEFAULT]\nsize=9\nrest=1\n[data]"),
    taken("outputs=20", "n=20\noutputs=%(n)s"),
    taken("outputs=20", "outputs=20\nnote=50%%"),
    taken("[data]", "\r\n[data]\r"),
    refused("outputs=20", "outputs 20", "no separator", "expected 'key = value'"),
    refused("outputs=20", "  outputs=20", "goes on with inputs", "is not defined"),
    refused("[fc10]\ntype", "[fc10]\n\ttype", "goes on with nothing", "none stands before it"),
    refused("outputs=20", "outputs=20 # 10 + 10", INT, "expected an integer"),
    refused("outputs=20", "outputs=20 // 10 + 10", INT, "expected an integer"),
    refused("outputs=20", "outputs=20; 10 + 10", INT, "expected an integer"),
    refused("outputs=20", "outputs=20.0", INT, "expected an integer"),
    refused("outputs=20", "outputs=", INT, "expected an integer"),
    refused("outputs=20", "outputs=%(n)s", "interpolation", "has a key 'n'"),
    refused("outputs=20", "outputs=20%", "interpolation", "bare '%'"),
    refused("type=softmax", 'type="softmax"', "unknown type", "unknown layer type"),
    refused("type=softmax", "type=Softmax", "unknown type", "unknown layer type"),
    refused("type=softmax\n", "", MISSING, "'type' missing"),
    refused("inputs=fc10", "inputs=FC10", "not defined", "is not defined"),
    refused("inputs=both,norm1", "inputs=both,norm1,", "'' is not defined", "empty name"),
    refused("inputs=both,norm1", "inputs=both;norm1", "not defined", "is not defined"),
    refused("initW=0.02", "initW=0.02,", "must be list of floats", "length"),
    refused("channels=3\n", "channels=3,\n", "must be list of ints", "length"),
    refused("sharedBiases=1", "sharedBiases=maybe", "must be bool", "expected a boolean"),
    only_here("outputs=20", "outputs=20\n  # units", INT, "a comment that is indented"),
    only_here("[fc10]\ntype", "[ fc10 ]\ntype", "unused", "blanks around a section's name"),
    taken("outputs=20", "outputs=20\nnote=50%"),
    taken("[data]", "[DEFAULT]\nnote=%(nobody)s\n[data]"),
]

KEYS = [
    taken("neuron=relu", "neuron = relu "),
    taken("neuron=relu", "neuron=tanh[1.7159, 0.6666]"),
    refused("neuron=relu", "neuron=ReLU", "unknown neuron", "unknown neuron"),
    refused("neuron=relu", "neuron=tanh", "unknown neuron", "takes 2 parameters"),
    refused("neuron=relu", "neuron=", "unknown neuron", "unknown neuron"),
    refused("neuron=relu", "neuron=nrelu", "not in the engine", "never ran"),
    refused("type=eltsum", "type=sum", "not in the engine", "never ran"),
    only_here("neuron=relu", "neuron=tanh[1e-1,2]", "rejected in v2", "`tanh[1e-1,2]` too"),
    # What the original does not read it does not look at.
    taken("outputs=20", "outputs=20\nusesBias=1\nrandSparse=x\ncoeffs=x"),
    taken("dataIdx=0", "dataIdx=0\nneuron=relu\ngpu=0, 0\ninputs=nobody"),
    taken("dataIdx=1", "dataIdx=1\ninputs="),
    taken("inputs=labels,probs", "inputs=labels,probs\nneuron=relu"),
    taken("sizeX=3", "sizeX=3\nfilterSize=7\nsum=yes"),
    taken("size=5", "size=5\nscale=x\npow=2"),
    taken("[logprob]\ncoeff", "[data]\n[nobody]\nx=1\n[logprob]\ndropout=2\ncoeff"),
    taken("scale=0.00005", "scale=0.00005\nsize=x"),
    # Old keys, and keys of other types.
    refused("sizeX=3", "filterSize=3", MISSING, "'sizeX' missing"),
    refused("size=5", "sizeX=5", MISSING, "'size' missing"),
    refused("outputs=20", "filters=20", MISSING, "'outputs' missing"),
    refused("pool=max\n", "", MISSING, "'pool' missing"),
    refused("pool=max", "pool=mean", "unknown pool", "expected one of"),
    refused("dataIdx=1\n", "", MISSING, "'dataIdx' missing"),
    only_here("initW=0.02\n", "", MISSING, "leaving out `initW`"),
    only_here("partialSum=1\nsumWidth=1\n", "", MISSING, "`sumWidth` (v2) is required"),
    only_here("gpu=0\n", "", "gpu -1 does not exist", "`gpu` is required"),
    taken("gpu=0", "gpu = 1"),
    refused("gpu=0", "gpu=0,0", "must be different", "different device numbers"),
    refused("gpu=0", "gpu=first", "must be list of ints", "device numbers"),
    # Numbers at their limits.
    taken("outputsX=0", "outputsX=-1"),
    taken("outputsX=0", "outputsX=8"),
    refused("outputsX=0", "outputsX=", INT, "expected an integer"),
    taken("start=0", "start=-1"),
    taken("padding=2", "padding=2\nmodulesX=0"),
    taken("padding=2", "padding=2\nmodulesX=32"),
    refused("padding=2", "padding=-1", "must be at least 0", "expected an integer >= 0"),
    refused("stride=2", "stride=0", "must be at least 1", "expected an integer >= 1"),
    refused("stride=2", "stride=4", "must not exceed sizeX", "stride must be at most sizeX"),
    refused("size=5", "size=33", "must not exceed channels", "size must be at most 32"),
    only_here("size=5", "size=1", "must be at least 2", "`size` of cmrnorm at least 2"),
    only_here("stride=1", "stride=6", "the engine aborts", "at most `filterSize`"),
    only_here("channels=3\n", "channels=5\n", "must be 1, 2, 3 or 4 n", "1, 2, 3 or a multiple"),
    refused("channels=32\nsizeX", "channels=31\nsizeX", "not 31-channel", "not interpretable"),
    # Lists, one item for each input.
    taken("initW=0.02", "initW=-0.02"),
    taken("initW=0.01", "initW=0.01,0.02"),
    refused("initW=0.01", "initW=0.01,0.02,0.03", LENGTH, "expected a list of length 2"),
    taken("initW=0.02", "initW=0.02\nweightSource="),
    taken("initW=0.01", "initW=0.01\nweightSource=,fc1"),
    taken("initW=0.01", "initW=0.01\nweightSource=,fc1[0]"),
    refused("initW=0.02", "initW=0.02\nweightSource=fc1", "another shape", "has shape"),
    refused("initW=0.02", "initW=0.02\nweightSource=conv1", "another type", "of type 'fc'"),
    refused("initW=0.02", "initW=0.02\nweightSource=fc9", "not defined", "no layer 'fc9'"),
    refused("initW=0.01", "initW=0.01\nweightSource=fc1", LENGTH, "one entry per input"),
]

NETS = [
    taken("dataIdx=1", "dataIdx=2"),
    taken("dataIdx=1", "dataIdx=3"),
    taken("dataIdx=0", "dataIdx=0\nstart=0\nend=3072"),
    taken("inputs=conv1", "inputs=conv1\ngpu=0"),
    taken("inputs=labels,probs", "inputs=labels,probs\nchildren="),
    taken("coeff=1", "coeff=0\ntopk=50"),
    refused("[labels]\ntype=data\ndataIdx=1\n", "", "not defined", "is not defined"),
    refused("inputs=labels,probs", "inputs=probs,labels", "not 1 wide", "must be the labels"),
    refused("inputs=labels,probs", "inputs=labels,fc10", "no softmax; unused", "is unused"),
    refused("inputs=labels,probs", "inputs=probs", "wrong number of inputs", "takes 2 inputs"),
    refused("inputs=fc10", "inputs=fc10,fc1", "wrong number of inputs", "takes 1 inputs"),
    refused("inputs=fc10", "", MISSING, "'inputs' missing"),
    refused("inputs=fc10", "inputs=logprob", "defined below", "is defined below"),
    refused("[logprob]\ntype=cost.logreg\ninputs=labels,probs\n", "", "unused", "is unused"),
    refused("inputs=fc1\n", "inputs=norm1\n", "unused", "'fc1' of type 'fc' is unused"),
    refused(
        "inputs=labels,probs", "inputs=labels,probs\ngpu=0, 1", "more GPUs", "number of devices"
    ),
    refused(
        "inputs=labels,probs",
        "inputs=labels,probs\nchildren=fc1",
        "a child of another type",
        "must be a layer of type 'cost.logreg'",
    ),
    taken("[both]\ncoeffs=1,1", "[both]\ncoeffs=1,-1,1"),
    refused("[both]\ncoeffs=1,1", "[both]\ncoeffs=1", "crashes", "one entry per input"),
]

RATES = [
    taken("epsW=0.4", "epsW=.4"),
    taken("epsW=0.4", "epsW=0"),
    taken("epsW=0.4", "epsW=exp[base=0.4; tgtFactor=10]"),
    taken("epsW=0.4", "epsW=DExp [Base = 0.4;tgtFactor=10 ;numSteps=3]"),
    taken("epsW=0.1,0.2", "epsW=0.1"),
    taken("epsW=0.1,0.2", "epsW=const[base=0.1], linear[base=.2;tgtFactor=2]"),
    taken("epsW=0.4", "epsW=const[base=4e-1]"),
    taken("epsW=0.4\nepsB=0.5", "epsW=0\nepsB=0"),
    taken("momB=0.9\nwc=1\n", "momB=0.9\n"),
    taken("wc=1\n", "wc=-1\n"),
    taken("momB=0.9\nwc=1\n", "momB=-0.9\nwc=1\n"),
    taken("wc=1\n", "wc=1\nwball=0\nsuperEps=x\ndropout=0.5\n"),
    refused("epsW=0.1,0.2", "epsW=0.1,0.2,0.3", LENGTH, "expected a list of length 2"),
    refused("epsW=0.4", "epsW=exp[base=0.4 ;tgtFactor=10]", SCHEDULE, "closing ']' missing"),
    refused("epsW=0.4", "epsW=jdexp[base=0.4;tgtFactor=10;numSteps=2]", SCHEDULE, "unknown"),
    refused("epsW=0.4", "epsW=exp[base=0.4]", SCHEDULE, "tgtFactor is missing"),
    refused("epsW=0.4", "epsW=fast", SCHEDULE, "must be a finite number"),
    refused("epsW=0.4", "epsW=", SCHEDULE, "must be a finite number"),
    refused("epsW=0.4\n", "", MISSING, "'epsW' missing"),
    refused("wc=1\n", "wc=\n", "must be list of floats", "expected a finite number"),
    refused("pow=.75", "pow=", "must be float", "expected a finite number"),
    refused("pow=.75", "", MISSING, "'pow' missing"),
    refused("[logprob]\ncoeff=1", "", "no section", "needs a section"),
    refused("[norm1]\nscale=0.00005\npow=.75", "", "no section", "needs a section"),
    only_original("pow=.75", "pow=inf", "a finite number", "`nan` and `inf` are numbers"),
    only_original(
        "wc=1\n", "wc=1\ndropout=2\n", ">= 0 and <= 1", "`keep`, `dropout`, `rate` and `posWeight`"
    ),
    only_here("epsW=0.4", "epsW=4e-1", SCHEDULE, "`1e-3`, `1.` or `+1`"),
    only_here("epsW=0.4", "epsW=1.", SCHEDULE, "`1e-3`, `1.` or `+1`"),
    only_here("epsW=0.4", "epsW=-1", SCHEDULE, "a rate below 0"),
    only_here(
        "epsW=0.4",
        "epsW=dexp[base=0.4;numSteps=3;tgtFactor=10]",
        SCHEDULE,
        "`dexp` as in its documentation is an error",
    ),
]


@pytest.mark.parametrize("case", [*GRAMMAR, *KEYS, *NETS, *RATES], ids=lambda case: case.new[:40])
def test_verdict(case: Case, tmp_path: Path) -> None:
    files = []
    for name, text in (("layers.cfg", DEFINITION), ("params.cfg", PARAMETERS)):
        path = tmp_path / name
        path.write_bytes(text.replace(case.old, case.new, 1).encode("latin-1"))
        files.append(path)
    assert (case.old in DEFINITION) != (case.old in PARAMETERS)
    if case.ours:
        with pytest.raises(ConfigError, match=re.escape(case.ours)):
            infer_shapes(*files, lenient=True)
    else:
        read_graph(*files, infer_shapes(*files, lenient=True), lenient=True)
    if bool(case.original) != bool(case.ours):
        assert case.cause
        assert case.cause in " ".join(PAGES["docs/compatibility.md"].split())
