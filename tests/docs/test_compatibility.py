"""What the compatibility page calls missing is missing, and what it calls accepted is accepted."""

import re

import pytest

from convnet.config.keys import Ignored
from convnet.layer_types.registry import LAYER_TYPES
from convnet.neurons import parse_neuron
from convnet.options import FIELDS, option_name
from tests.docs.pages import PAGES

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


def test_missing_options():
    assert not set(missing("Options")) & OPTIONS


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
