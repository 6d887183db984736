"""What holds for every layer type: its description, and its own sections of the files."""

from __future__ import annotations

from typing import Any

import pytest

from convnet.config.keys import Ignored
from convnet.layer_types.base import Layer
from convnet.layer_types.registry import LAYER_TYPES
from tests.helpers import layer, make_graph


@pytest.mark.parametrize("layer_type", LAYER_TYPES.values(), ids=LAYER_TYPES)
def test_types_are_described(layer_type: type[Layer]) -> None:
    """The documentation is made of these texts."""
    assert layer_type.__doc__
    names = [key.name.lower() for key in layer_type.keys]
    assert len(set(names)) == len(names)
    assert "type" not in names
    assert "inputs" not in names
    for key in layer_type.keys:
        assert key.help
        assert key.help == key.help.strip().rstrip(".")
        assert not (key.required and isinstance(key.kind, Ignored))


def test_types_of_the_dialect() -> None:
    assert set(LAYER_TYPES) == {
        "data", "conv", "local", "fc", "pool", "cmpool", "rnorm", "cnorm", "cmrnorm", "neuron",
        "nailbed", "blur", "resize", "crop", "href", "rscale", "rgb2yuv", "rgb2lab", "eltsum",
        "eltmax", "concat", "dropout", "dropout2", "softmax", "cost.logreg", "cost.sum2",
        "cost.crossent", "cost.ce", "cost.bce", "cost.dce", "cost.hingeloss", "cost.gsinlabel",
        "cost.locrank", "cccp", "sfc", "fcdropo", "fcdrop", "fcdropc", "fcdropcf", "pass", "union",
        "batchnorm", "prelu", "l2norm", "cosfc", "stopgrad", "cost.margin", "cost.triplet",
        "cost.center", "cost.contrastive",
    }  # fmt: skip


@pytest.mark.parametrize(
    "kind", sorted(kind for kind, info in LAYER_TYPES.items() if info.has_output and kind != "data")
)
def test_gpu_numbers_are_accepted(kind: str) -> None:
    """Files for several devices run on one."""
    required: dict[str, dict[str, Any]] = {
        "conv": {"channels": 3, "filters": 1, "filterSize": 1},
        "local": {"channels": 3, "filters": 1, "filterSize": 1},
        "fc": {"outputs": 2},
        "cccp": {"channels": 1, "in_nodes": 3, "out_nodes": 1},
        "sfc": {"outputs": 2, "parts": 3},
        "fcdropo": {"outputs": 2, "rate": 0.5},
        "fcdrop": {"outputs": 2, "rate": 0.5},
        "fcdropc": {"outputs": 2, "rate": 0.5},
        "fcdropcf": {"outputs": 2, "rate": 0.5},
        "pool": {"channels": 3, "sizeX": 2, "stride": 2, "pool": "max"},
        "cmpool": {"channels": 3, "size": 3, "stride": 3, "outputs": 1, "pool": "max"},
        "rnorm": {"channels": 3, "size": 2},
        "cnorm": {"channels": 3, "size": 2},
        "cmrnorm": {"channels": 3, "size": 2},
        "nailbed": {"channels": 3, "stride": 2},
        "blur": {"channels": 3, "filterSize": 3, "stdev": 1},
        "resize": {"channels": 3, "scale": 2},
        "crop": {"channels": 3, "startX": 1, "sizeX": 2},
        "href": {"channels": 3},
        "rscale": {"channels": 3, "maxScale": 1.5},
        "neuron": {"neuron": "relu"},
        "cosfc": {"outputs": 2},
    }
    keys = required.get(kind, {})
    inputs = "data,data" if kind in ("eltmax", "union") else "data"
    text = layer("data", "data", dataIdx=0) + layer("top", kind, inputs, gpu="0,1", **keys)
    shapes = ((3, 5, 5), (1, 1, 1))
    assert "top" in make_graph(text + layer("cost", "cost.sum2", "top"), shapes=shapes)
