"""Checkpoints as the original's own Python made them, of both versions."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np

from data_providers.pickle_writer import Class, Instance, write_pickle

MODULES = {1: "options", 2: "python_util.options"}


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


class OldNet:
    """The layers of a net, as v1 (a list, inputs by position) or v2 (a dict by name) stored them.

    Layers are added bottom up. `neuron=` also adds the neuron layer and links later layers to it.
    """

    def __init__(self, version: int, seed: int = 0) -> None:
        self.version = version
        self.rng = np.random.default_rng(seed)
        self.layers: dict[str, dict[str, Any]] = {}
        self.linked: dict[str, str] = {}  # layers that have a neuron layer

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.layers[name]

    # --- any layer --------------------------------------------------------------------------

    def add(self, name: str, kind: str, inputs: str = "", **fields: Any) -> None:
        """A layer; `inputs` are names, `outputs` are those of the first input if not given."""
        names = [self.linked.get(n, n) for n in inputs.split()]
        below = [self.layers[n] for n in names]
        layer: dict[str, Any] = {"outputs": below[0]["outputs"] if below else 0, "usesActs": True}
        layer |= {"name": name, "type": kind, "gradConsumer": False, "requiresParams": False}
        if below:
            order = list(self.layers)
            layer["inputs"] = names if self.version == 2 else [order.index(n) for n in names]
            layer["inputLayers"] = below
            layer["numInputs"] = [other["outputs"] for other in below]
            layer["neuron"] = ""
        if self.version == 2:
            layer |= {"id": len(self.layers), "gpu": [0] if below else [-1], "numReplicas": 1}
            layer |= {"gpus": "0"} if below else {}
        else:
            layer["conserveMem"] = 0
        self.layers[name] = layer | fields

    def neuron(self, name: str, text: str) -> None:
        """Detaches the neuron of a layer."""
        if not text:
            return
        kind, _, rest = text.partition("[")
        numbers = [float(part) for part in rest.strip("]").split(",")] if rest else []
        self.layers[name]["neuron"] = text
        parsed = {"type": kind, "params": dict(zip("ab", numbers, strict=False))}
        self.add(f"{name}_neuron", "neuron", name, src_layer=name)
        self.layers[f"{name}_neuron"]["neuron"] = parsed
        self.linked[name] = f"{name}_neuron"

    def data(self, name: str, index: int, outputs: int, **fields: Any) -> None:
        slices = {"start": 0, "end": outputs} if self.version == 2 else {}
        self.add(name, "data", dataIdx=index, outputs=outputs, **slices | fields)

    def images(self, name: str, channels: int) -> tuple[int, int]:
        """Pixels and side of the layer's output as so many images."""
        pixels = self.layers[self.linked.get(name, name)]["outputs"] // channels
        return pixels, int(pixels**0.5)

    # --- layers with weights ----------------------------------------------------------------

    def rate(self, text: str) -> Any:
        """v1: a number; v2: kind and parameters."""
        if self.version == 1:
            return float(text)
        kind, _, rest = text.partition("[")
        if not rest:
            return {"type": "const", "params": {"base": float(text)}}
        parts = dict(part.split("=") for part in rest.strip("]").split(";"))
        converted = {k: int(v) if k == "numSteps" else float(v) for k, v in parts.items()}
        return {"type": kind, "params": converted}

    def weights(
        self, name: str, rows: list[int], columns: int, biases: tuple[int, int], order: str,
        sources: str = "", epsw: str = "0.001", mom: float = 0.9, wc: float = 0.004,
    ) -> None:  # fmt: skip
        """Adds what all layers with weights have; `sources` like "conv1[0]", "-" for none."""
        layer, count = self.layers[name], len(rows)
        texts = [s.replace("-", "") for s in sources.split()] or [""] * count
        owners = [text.partition("[")[0] for text in texts]
        layer["weightSource"] = texts
        layer["weightSourceMatrixIndices"] = [
            int(text[text.index("[") + 1 : -1]) if text else -1 for text in texts
        ]
        if self.version == 2:
            layer["weightSourceLayers"] = owners
        else:
            positions = list(self.layers)
            layer["weightSourceLayerIndices"] = [positions.index(o) if o else -1 for o in owners]
        layer |= {"weights": [], "weightsInc": [], "initW": [0.01] * count, "initB": 0.5}
        for i, owner in enumerate(owners):
            index = layer["weightSourceMatrixIndices"][i]
            for field, scale in (("weights", 0.3), ("weightsInc", 0.01)):
                if owner:
                    layer[field].append(self.layers[owner][field][index])
                else:
                    layer[field].append(self.matrix(rows[i], columns, scale, order))
        layer["biases"] = self.matrix(*biases, 0.3, order)
        layer["biasesInc"] = self.matrix(*biases, 0.01, order)
        layer |= {"epsW": [self.rate(epsw)] * count, "epsB": self.rate("0.002")}
        layer |= {"momW": [mom] * count, "momB": mom, "wc": [wc] * count}
        layer |= {"requiresParams": True, "gradConsumer": True, "initWFunc": "", "initBFunc": ""}
        if self.version == 2:
            layer |= {"wball": [0.0] * count, "wballNormed": [0.0] * count, "superEps": 0.0}
            layer |= {"superMom": 0.0, "updatePeriod": 0, "weightsPerFilter": rows}

    def matrix(self, rows: int, columns: int, scale: float, order: str) -> np.ndarray:
        values = scale * self.rng.standard_normal((rows, columns))
        return np.asarray(values, np.float32, order)  # type: ignore[call-overload]

    def fc(self, name: str, inputs: str, outputs: int, neuron: str = "", **more: Any) -> None:
        self.add(name, "fc", inputs, outputs=outputs)
        self.weights(name, self[name]["numInputs"], outputs, (1, outputs), "F", **more)
        self.neuron(name, neuron)

    def conv(
        self, name: str, inputs: str, channels: list[int], filters: int, size: list[int],
        padding: list[int], stride: int = 1, groups: int = 1, neuron: str = "",
        kind: str = "conv", shared_biases: bool = True, **more: Any,
    ) -> None:  # fmt: skip
        """conv or local; `filters` are those of one group."""
        names = inputs.split()
        sides = [self.images(n, c)[1] for n, c in zip(names, channels, strict=True)]
        modules = 1 + ceil_div(2 * padding[0] + sides[0] - size[0], stride)
        filters *= groups
        count = len(names)
        self.add(
            name, kind, inputs, channels=channels, filterSize=size, filters=filters,
            padding=[-p for p in padding], stride=[stride] * count, groups=[groups] * count,
            filterPixels=[s * s for s in size], filterChannels=[c // groups for c in channels],
            imgSize=sides, imgPixels=[s * s for s in sides], modulesX=modules,
            modules=modules**2, outputs=modules**2 * filters,
        )  # fmt: skip
        layer = self[name]
        rows = [c // groups * s * s for c, s in zip(channels, size, strict=True)]
        biases = (filters if shared_biases else filters * modules**2, 1)
        if kind == "local":
            rows, biases = [r * modules**2 for r in rows], (filters * modules**2, 1)
        else:
            layer["sharedBiases"] = shared_biases
            layer["partialSum" if self.version == 1 else "sumWidth"] = 4
        self.weights(name, rows, filters, biases, "C", **more)
        if self.version == 2:
            layer["weightsPerFilter"] = [
                c // groups * s * s for c, s in zip(channels, size, strict=True)
            ]
        if self.version == 1:
            layer |= {"randSparse": [False] * count, "filterConns": [[]] * count}
            layer |= {"overSample": [1] * count, "initCFunc": ""}
        elif kind == "conv":
            layer |= {"wcNormMax": [0.0] * count, "wcNormMin": [0.0] * count}
        self.neuron(name, neuron)

    # --- the rest ---------------------------------------------------------------------------

    def norm(self, name: str, kind: str, inputs: str, channels: int, size: int, scale: float,
             power: float) -> None:  # fmt: skip
        pixels, side = self.images(inputs, channels)
        elements = size if kind == "cmrnorm" else size**2
        self.add(
            name, kind, inputs, channels=channels, size=size, scale=scale / elements, pow=power,
            blocked=False, imgPixels=pixels, imgSize=side, requiresParams=True,
            **({"minDiv": 1.5} if self.version == 2 else {}),
        )  # fmt: skip

    def pool(self, name: str, inputs: str, channels: int, size: int, stride: int, start: int = 0,
             pool: str = "max") -> None:  # fmt: skip
        pixels, side = self.images(inputs, channels)
        outputs = ceil_div(side - start - size, stride) + 1
        self.add(
            name, "pool", inputs, channels=channels, sizeX=size, stride=stride, start=start,
            pool=pool, outputsX=outputs, imgPixels=pixels, imgSize=side,
            outputs=channels * outputs**2,
            **({"sum": False} if self.version == 2 else {}),
        )  # fmt: skip

    def logreg(self, name: str, inputs: str) -> None:
        fields: dict[str, Any] = {"coeff": 1.0, "outputs": 0, "requiresParams": True}
        if self.version == 2:
            source = "lambda costs,num_cases: __import__('os').abort()"  # must never run
            fields |= {"topk": 2, "children": [], "aggregated": False, "outputFilter": source}
        self.add(name, "cost.logreg", inputs, **fields)
        del self[name]["neuron"]

    def stored(self) -> Any:
        """`model_state["layers"]`."""
        if self.version == 1:
            return list(self.layers.values())
        made = [layer for layer in self.layers.values() if "src_layer" in layer]
        for number, layer in enumerate(made, start=len(self.layers)):
            layer["id"] = number
        names = list(self.layers)
        random.Random(1).shuffle(names)  # a dict of Python 2 had an order of its own
        return {name: self.layers[name] for name in names}


def old_options(version: int, **changes: Any) -> Instance:
    """An OptionsParser; values of the run by the names that the original stored them under."""
    values: dict[str, Any] = {
        "data_path": "/nowhere/cifar-10", "dp_type": "cifar", "layer_def": "/nowhere/layers.cfg",
        "layer_params": "/nowhere/params.cfg", "save_path": "/nowhere/tmp", "load_file": "",
        "train_batch_range": [1, 2, 3, 4], "test_batch_range": [5, 6], "minibatch_size": 4,
        "num_epochs": 7, "testing_freq": 5, "test_one": 1, "multiview_test": 0, "test_only": 0,
        "conserve_mem": 0, "gpu": [-1] if version == 1 else [0], "logreg_name": "",
    }  # fmt: skip
    values |= {"crop_border": 4, "max_filesize_mb": 0, "zip_save": 0} if version == 1 else {}
    values |= {"inner_size": 0, "scalar_mean": -1, "color_noise": 0.0} if version == 2 else {}
    module = MODULES[version]

    def option(name: str, value: Any) -> Instance:
        parser: Any = Class(module, "IntegerOptionParser")
        if isinstance(value, list):
            parser = Instance(Class(module, "ListOptionParser"), {"parser": parser})
        attributes = {"letter": name, "name": name, "desc": name, "parser": parser}
        attributes |= {"default": None, "set_once": False, "excuses": [], "requires": []}
        return Instance(Class(module, "Option"), attributes | {"value": value, "value_given": True})

    options = {name: option(name, value) for name, value in (values | changes).items()}
    expression = Instance(Class(module, "OptionExpression"), {"expr": "__import__('os').abort()"})
    options["num_gpus"] = option("num_gpus", expression)
    return Instance(Class(module, "OptionsParser"), {"options": options})


def old_checkpoint(net: OldNet, **changes: Any) -> dict[str, Any]:
    """The content of a checkpoint of epoch 3, batch 2: 10 batches trained, 2 tests.

    Each batch had 8 images; batch k has mean costs k and k / 16, and k / 32 for the top 2.
    """

    def output(k: int) -> tuple[dict[str, list[float]], int]:
        means = [k, k / 16, k / 32]
        values = [float(m) for m in means[:2]] if net.version == 1 else [8.0 * m for m in means]
        return {"logprob": values}, 8

    state = {
        "layers": net.stored(),
        "train_outputs": [output(k) for k in range(1, 11)],
        "test_outputs": [output(20), output(21)],
        "epoch": 3,
        "batchnum": 2,
    }
    return {"model_state": state | changes, "op": old_options(net.version)}


def write_old(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(write_pickle(content))
    return path
