"""The shapes of data that a definition alone gives."""

from __future__ import annotations

import pytest

from convnet.api import infer_shapes
from convnet.config.reader import Source
from convnet.errors import ConfigError
from tests.helpers import CLASSIFIER, layer

DATA = layer("data", "data", dataIdx=0)
LABELS = layer("labels", "data", dataIdx=1)
CONV = {"filters": 4, "initW": 0.1}


def shapes(*layers: str) -> str:
    return ",".join("x".join(map(str, s)) for s in infer_shapes(Source("net.cfg", "".join(layers))))


@pytest.mark.parametrize(
    ("size", "stride", "side"),
    [(3, 1, 32), (30, 1, 32), (11, 4, 32), (100, 1, 224), (225, 1, 227)],
)
def test_the_first_usual_side_that_fits(size: int, stride: int, side: int) -> None:
    conv = layer("top", "conv", "data", channels=5, filterSize=size, stride=stride, **CONV)
    assert shapes(DATA, LABELS, conv, CLASSIFIER) == f"5x{side}x{side},1x1x1"


def test_a_later_layer_may_rule_a_side_out() -> None:
    conv = layer("a", "conv", "data", channels=3, filterSize=5, stride=4, **CONV)
    conv += layer("top", "conv", "a", channels=4, filterSize=20, **CONV)
    assert shapes(DATA, LABELS, conv, CLASSIFIER) == "3x224x224,1x1x1"


@pytest.mark.parametrize(("stride", "modules", "side"), [(2, 56, 112), (300, 2, 32)])
def test_windows_beyond_the_image_rule_a_side_out(stride: int, modules: int, side: int) -> None:
    """If another side remains."""
    keys = {"filterSize": 3, "padding": 1, "stride": stride, "modulesX": modules}
    conv = layer("top", "conv", "data", channels=3, **keys, **CONV)
    assert shapes(DATA, LABELS, conv, CLASSIFIER) == f"3x{side}x{side},1x1x1"


def test_data_without_channels_is_taken_as_colour() -> None:
    assert shapes(DATA, LABELS, layer("top", "fc", "data", outputs=5), CLASSIFIER).startswith(
        "3x32"
    )


def test_what_is_compared_with_a_layer_has_its_shape() -> None:
    target = layer("target", "data", dataIdx=2)
    top = layer("top", "fc", "data", outputs=7)
    top += layer("diff", "eltsum", "target,top", coeffs="1,-1") + layer("c", "cost.sum2", "diff")
    assert shapes(DATA, LABELS, target, top, CLASSIFIER) == "3x32x32,1x1x1,7x1x1"


def test_two_matrices_of_pictures_may_differ() -> None:
    second = layer("second", "data", dataIdx=2)
    top = layer("a", "conv", "data", channels=3, filterSize=32, **CONV)
    top += layer("b", "pool", "second", channels=4, sizeX=24, stride=24, pool="avg")
    top += layer("top", "eltsum", "a,b")
    assert shapes(DATA, LABELS, second, top, CLASSIFIER) == "3x32x32,1x1x1,4x24x24"


def test_rows_that_are_selected() -> None:
    some = layer("some", "data", dataIdx=2, start=3, end=9)
    top = layer("top", "concat", "some,data")
    assert shapes(DATA, LABELS, some, top, CLASSIFIER).endswith(",9x1x1")


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        (layer("x", "neuron", "data", neuron="logistic"), "1x32x32,1x1x1"),
        (layer("x", "dropout", "data"), "1x32x32,1x1x1"),
        (
            layer("two", "data", dataIdx=2) + layer("x", "eltmax", "two,data"),
            "1x32x32,1x1x1,1x32x32",
        ),
    ],
)
def test_channels_through_layers_that_keep_them(below: str, expected: str) -> None:
    conv = layer("top", "conv", "x", channels=1, filterSize=5, **CONV)
    assert shapes(DATA, LABELS, below, conv, CLASSIFIER) == expected


@pytest.mark.parametrize(("outputs", "expected"), [(784, "1x28x28"), (100, "100x1x1")])
def test_an_autoencoder_tells_the_size_of_its_input(outputs: int, expected: str) -> None:
    net = layer("code", "fc", "data", outputs=5) + layer("out", "fc", "code", outputs=outputs)
    net += layer("diff", "eltsum", "data,out", coeffs="1,-1") + layer("c", "cost.sum2", "diff")
    assert shapes(DATA, net) == expected


def test_an_unusual_side() -> None:
    conv = layer("a", "conv", "data", channels=3, filterSize=5, **CONV)
    rows = layer("b", "fc", "data", outputs=4 * 37 * 37)
    assert shapes(DATA, LABELS, conv, rows, layer("top", "eltsum", "a,b"), CLASSIFIER) == (
        "3x41x41,1x1x1"
    )


def test_labels_may_be_an_input_too() -> None:
    top = layer("top", "fc", "data,labels", outputs=5)
    assert shapes(DATA, LABELS, top, CLASSIFIER) == "3x32x32,1x1x1"


def test_nothing_fits() -> None:
    conv = layer("top", "conv", "data", channels=3, filterSize=1000, **CONV)
    with pytest.raises(ConfigError, match="filterSize must be at most"):
        shapes(DATA, LABELS, conv, CLASSIFIER)


def test_mistakes_are_those_with_a_usual_side() -> None:
    wrong = layer("a", "pool", "data", channels=3, sizeX=2, stride=3, pool="max")
    wrong += layer("b", "conv", "data", channels=3, filterSize=5, weightSource="nobody", **CONV)
    with pytest.raises(ConfigError) as caught:
        shapes(DATA, LABELS, wrong, layer("top", "concat", "a,b"), CLASSIFIER)
    assert [line.partition("': ")[2][:20] for line in str(caught.value).splitlines()] == [
        "stride must be at mo",
        "weightSource 'nobody",
    ]


@pytest.mark.parametrize(
    ("cost", "keys"), [("hingeloss", {}), ("gsinlabel", {"channels": 2, "imgSize": 1})]
)
def test_labels_of_other_costs(cost: str, keys: dict[str, int]) -> None:
    net = layer("top", "fc", "data", outputs=4) + layer("c", f"cost.{cost}", "labels,top", **keys)
    assert shapes(DATA, LABELS, net) == "3x32x32,1x1x1"


def test_a_matrix_of_labels() -> None:
    net = layer("top", "fc", "data", outputs=4) + layer("probs", "softmax", "top")
    assert shapes(DATA, LABELS, net, layer("c", "cost.crossent", "labels,probs")) == (
        "3x32x32,4x1x1"
    )


def test_channels_of_cccp() -> None:
    top = layer("top", "cccp", "data", channels=2, in_nodes=3, out_nodes=4)
    assert shapes(DATA, LABELS, top, CLASSIFIER) == "6x32x32,1x1x1"
