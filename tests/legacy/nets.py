"""A net of the original with most kinds of layers, and what it computes, layer by layer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from convnet.geometry import Pool, Window
from tests import reference
from tests.legacy.old import OldNet

CLASSES = 3


def everything(version: int) -> OldNet:
    """4 x 8 x 8 images; groups, two inputs, shared matrices, uneven windows, both orders."""
    net = OldNet(version)
    net.data("data", 0, 4 * 8 * 8)
    net.data("labels", 1, 1)
    net.conv("conv1", "data", [4], 3, [3], [2], stride=2, groups=2, neuron="relu")
    net.norm("rnorm1", "rnorm", "conv1", 6, 3, 0.7, 0.75)
    net.norm("cmrnorm1", "cmrnorm", "rnorm1", 6, 4, 0.01, 0.5)
    net.pool("pool1", "cmrnorm1", 6, 3, 2, start=-1)
    net.conv("conv2", "pool1", [6], 6, [3], [1], shared_biases=False, neuron="tanh[1.5,0.5]")
    net.conv("conv3", "conv2 pool1", [6, 6], 6, [3, 3], [1, 1], sources="conv2[0] -")
    net.conv("local1", "conv3", [6], 2, [2], [0], kind="local", groups=2)
    net.pool("pool2", "local1", 4, 2, 1, pool="avg")
    net.fc("fc1", "pool2", 5, neuron="logistic", epsw="0.5")
    net.fc("fc2", "fc1 fc1", CLASSES, sources="- fc2[0]" if version == 1 else "- -")
    net.add("probs", "softmax", "fc2")
    net.logreg("logprob", "labels probs")
    return net


def compute(net: OldNet, images: np.ndarray) -> dict[str, np.ndarray]:
    """What every layer puts out, (channels, height, width, N) or (numbers, N), in float64.

    Args:
        images: (numbers, N)
    """
    acts: dict[str, np.ndarray] = {"data": np.asarray(images, np.float64)}
    for name, layer in net.layers.items():
        if layer["type"] == "data" or layer["type"].startswith("cost."):
            continue
        below = [acts[other["name"]] for other in layer["inputLayers"]]
        acts[name] = OUTPUTS[layer["type"]](layer, below)
    return acts


def as_images(values: np.ndarray, channels: int) -> np.ndarray:
    side = int((values[..., 0].size // channels) ** 0.5)
    return values.reshape(channels, side, side, -1)


def conv(layer: dict[str, Any], below: list[np.ndarray]) -> np.ndarray:
    sums: Any = 0
    for i, values in enumerate(below):
        side = layer["imgSize"][i]
        g = Window(
            channels=layer["channels"][i], height=side, width=side, filters=layer["filters"],
            filter_size=layer["filterSize"][i], padding=-layer["padding"][i],
            stride=layer["stride"][i], groups=layer["groups"][i], modules=layer["modulesX"],
        )  # fmt: skip
        local = layer["type"] == "local"
        images = as_images(values, g.channels)
        sums = sums + reference.conv_fprop(g, images, layer["weights"][i].astype(float), local)
    return reference.biased(sums, layer["biases"].astype(float))


def norm(layer: dict[str, Any], below: list[np.ndarray]) -> np.ndarray:
    g = SimpleNamespace(
        size=layer["size"], scale=layer["scale"], power=layer["pow"], blocked=layer["blocked"],
        min_div=layer.get("minDiv", 1.0),
    )  # fmt: skip
    images = as_images(below[0], layer["channels"])
    return reference.norm_fprop(g, layer["type"] == "cmrnorm", images)


def pool(layer: dict[str, Any], below: list[np.ndarray]) -> np.ndarray:
    images = as_images(below[0], layer["channels"])
    g = Pool(*images.shape[:3], layer["sizeX"], layer["stride"], layer["start"], layer["outputsX"])
    return reference.pool_fprop(g, layer["pool"], images)


def fc(layer: dict[str, Any], below: list[np.ndarray]) -> np.ndarray:
    cases = below[0].shape[-1]
    sums = sum(
        reference.fc_fprop(values.reshape(-1, cases), layer["weights"][i].astype(float))
        for i, values in enumerate(below)
    )
    return sums + layer["biases"].astype(float).T


def neuron(layer: dict[str, Any], below: list[np.ndarray]) -> np.ndarray:
    stored = layer["neuron"]
    parameters = [stored["params"][name] for name in sorted(stored["params"])]
    kind = SimpleNamespace(kind=stored["type"], parameters=parameters)
    return reference.neuron_fprop(kind, below[0])


OUTPUTS = {
    "conv": conv,
    "local": conv,
    "rnorm": norm,
    "cmrnorm": norm,
    "pool": pool,
    "fc": fc,
    "neuron": neuron,
    "softmax": lambda layer, below: reference.softmax_fprop(below[0]),
}
