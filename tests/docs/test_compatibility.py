"""What the compatibility page calls missing is missing, and what it calls accepted is accepted."""

import re

import pytest

from convnet.config.keys import Ignored
from convnet.config.layers import DROPOUT_KEY
from convnet.layer_types.registry import LAYER_TYPES
from convnet.neurons import NEURON_TYPES, parse_neuron
from convnet.options import FIELDS, option_name
from tests.docs.pages import PAGES
from tests.helpers import NEW_TYPES

PAGE = PAGES["docs/compatibility.md"]
KEYS = {key.name: key for layer_type in LAYER_TYPES.values() for key in layer_type.keys}
OPTIONS = {option_name(name) for name in FIELDS}


def missing(what):
    """The names in one item of the list "Not in this version"."""
    _, _, section = PAGE.partition("\n## Not in this version\n")
    (item,) = re.findall(rf"^\* {what}: (.*?)(?=^\* |\Z)", section, re.MULTILINE | re.DOTALL)
    found = re.findall(r"`([^`]+)`", item)
    assert found
    return found


def test_missing_layer_types():
    assert not set(missing("Layer types")) & LAYER_TYPES.keys()


# Of both versions of cuda-convnet's convnet.py.
ORIGINAL_OPTIONS = """
    load-file save-path save-file train-range test-range data-path data-provider layer-def
    layer-params layer-path gpu mini epochs test-freq test-one test-only force-save check-grads
    multiview-test inner-size conv-to-local unshare-weights conserve-mem color-noise test-out
    logreg-name scalar-mean write-features feature-path num-gpus max-filesize zip-save crop-border
"""


def test_every_option_of_the_original_is_understood():
    assert {f"--{name}" for name in ORIGINAL_OPTIONS.split()} <= OPTIONS


# Types, neurons and keys of both versions and, in the second lines, of their forks.
ORIGINAL_TYPES = """
    data conv local fc sfc softmax eltsum eltmax neuron pool cmpool rnorm cnorm cmrnorm nailbed blur
    resize rgb2yuv rgb2lab rscale href crop concat pass dropout dropout2 cost.logreg cost.sum2
    cost.crossent cost.bce cost.dce
    cccp fcdropo fcdropc fcdropcf fcdrop union cost.hingeloss cost.gsinlabel cost.locrank cost.ce
"""
ORIGINAL_NEURONS = """
    ident logistic relu brelu softrelu abs square sqrt tanh linear log drelu
    power dropout softlif softlifalpha softlifalpharc
"""
ORIGINAL_KEYS = """
    dataIdx start end channels filters filterSize padding stride groups modulesX sharedBiases
    partialSum sumWidth randSparse filterChannels initCFunc initW initB initWFunc initBFunc
    weightSource outputs parts pool sizeX outputsX sum size blocked coeffs stdev scale center startX
    startY maxScale tgtSize children neuron gpu epsW epsB momW momB wc wball wcNormMax wcNormMin
    updatePeriod superEps superMom pow minDiv coeff topk posWeight enable keep dropout
    in_nodes out_nodes rate
"""


def test_everything_that_the_original_reads_is_known():
    assert set(ORIGINAL_TYPES.split()) == LAYER_TYPES.keys() - NEW_TYPES
    assert set(ORIGINAL_NEURONS.split()) == NEURON_TYPES.keys()
    assert set(ORIGINAL_KEYS.split()) <= {*KEYS, DROPOUT_KEY.name}


def test_missing_neurons():
    for name in missing("Neurons"):
        with pytest.raises(ValueError, match=name):
            parse_neuron(name)


@pytest.mark.parametrize("key", ["partialSum", "sumWidth", "superEps", "superMom"])
def test_keys_that_do_nothing(key):
    assert isinstance(KEYS[key].kind, Ignored)


def test_new_options():
    (line,) = re.findall(r"^New options: (.*?)\.$", PAGE, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"--[\w-]+", line)) <= OPTIONS
