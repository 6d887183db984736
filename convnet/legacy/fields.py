"""What each layer type stores: our key, the field it is stored in, and the value's form.

The one table for both directions. A key that is not in it cannot be read from a checkpoint of the
original, nor written to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convnet.legacy.forms import (
    FLAG,
    NAMES,
    NEGATED,
    NEURON,
    NUMBER,
    NUMBERS,
    RATE,
    WHOLE,
    WORD,
    Form,
    divided_by_size,
    each,
    times,
    whole,
)
from convnet.legacy.stored import MAX_INPUTS, REQUIRED, StoredLayer


@dataclass(frozen=True)
class Field:
    """One key of a layer type.

    Attributes:
        key: in our layer files.
        form: of the value.
        stored_as: names of the field, the usual one first; the key's name if empty.
        default: the stored value that a missing field stands for and that needs no key, or a
            function of the layer that gives it. Without it the field must be there.
        parameters: whether the key stands in the parameter file.
    """

    key: str
    form: Form
    stored_as: tuple[str, ...] = ()
    default: Any = REQUIRED
    parameters: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return self.stored_as or (self.key,)

    def text(self, layer: StoredLayer) -> str | None:
        """What the layer file says; None where the key is not needed.

        Raises:
            CheckpointError: naming the layer and the field that is missing or wrong.
        """
        name = next((name for name in self.names if name in layer.fields), self.names[0])
        value = layer.get(name, self.default)
        try:
            default = self.default(layer) if callable(self.default) else self.default
            values = value if isinstance(value, list) else [value]
            if len(values) > MAX_INPUTS:
                raise ValueError("is too long a list")
            if value is self.default or all(_equal(item, default) for item in values):
                return None
            return self.form.text(layer, value)
        except ValueError as error:
            layer.fail(f"field '{name}' {error}")


def _equal(value: Any, default: Any) -> bool:
    return isinstance(value, int | float | str | None) and value == default


def modules(layer: StoredLayer) -> int | None:
    """The number of filter positions that our layer has if nothing is said."""
    first = [layer.get(name, None) for name in ("imgSize", "filterSize", "padding", "stride")]
    size, filter_size, padding, stride = (v[0] if isinstance(v, list) and v else v for v in first)
    if size is None:
        return None
    return _count(whole(filter_size) + 2 * whole(padding) - whole(size), stride)


def windows(layer: StoredLayer) -> int | None:
    """The same for pooling windows."""
    size, start = layer.get("imgSize", None), layer.get("start", 0)
    if size is None:
        return None
    return _count(whole(start) + whole(layer.get("sizeX")) - whole(size), layer.get("stride"))


def _count(beyond: int, stride: Any) -> int | None:
    """Positions that cover an image beyond whose end the first ends by so many pixels."""
    return 1 - beyond // whole(stride) if whole(stride) else None


def _parameter(key: str, form: Form, default: Any = REQUIRED) -> Field:
    return Field(key, form, default=default, parameters=True)


WEIGHTS = (
    Field("initW", each(NUMBER), default=0.01),
    Field("initB", NUMBER, default=0.0),
    _parameter("epsW", each(RATE)),
    _parameter("epsB", RATE),
    _parameter("momW", each(NUMBER)),
    _parameter("momB", NUMBER),
    _parameter("wc", each(NUMBER), 0.0),
    _parameter("wball", each(NUMBER), 0.0),
    _parameter("updatePeriod", WHOLE, 0),
)
CHANNELS = Field("channels", WHOLE)
WINDOW = (
    Field("channels", each(WHOLE)),
    Field("filters", times("groups")),
    Field("filterSize", each(WHOLE)),
    Field("padding", each(NEGATED), default=0),
    Field("stride", each(WHOLE), default=1),
    Field("groups", each(WHOLE), default=1),
    Field("modulesX", WHOLE, default=modules),
)
FC = (Field("outputs", WHOLE), *WEIGHTS)
DROP = (*FC, Field("rate", NUMBER))
DROPOUT = (_parameter("enable", FLAG, True), _parameter("keep", NUMBER, 0.5))
COST = (Field("children", NAMES, default=""), _parameter("coeff", NUMBER))
LABELLED = (*COST, _parameter("posWeight", NUMBER, 1.0))


def _norm(dimensions: int) -> tuple[Field, ...]:
    return (
        CHANNELS,
        Field("size", WHOLE, ("size", "sizeX")),
        Field("blocked", FLAG, default=False),
        _parameter("scale", divided_by_size(dimensions)),
        _parameter("pow", NUMBER),
        _parameter("minDiv", NUMBER, 1.0),
    )


FIELDS: dict[str, tuple[Field, ...]] = {
    "data": (
        Field("dataIdx", WHOLE),
        Field("start", WHOLE, default=0),
        Field("end", WHOLE, default=0),
    ),
    "fc": FC,
    "sfc": (Field("parts", WHOLE), Field("outputs", times("parts")), *WEIGHTS),
    "conv": (
        *WINDOW,
        Field("sharedBiases", FLAG, default=True),
        *WEIGHTS,
        _parameter("wcNormMax", each(NUMBER), 0.0),
        _parameter("wcNormMin", each(NUMBER), 0.0),
    ),
    "local": (*WINDOW, *WEIGHTS),
    "pool": (
        CHANNELS,
        Field("pool", WORD),
        Field("sizeX", WHOLE),
        Field("stride", WHOLE),
        Field("start", WHOLE, default=0),
        Field("outputsX", WHOLE, default=windows),
        Field("sum", FLAG, default=False),
    ),
    "cmpool": (
        CHANNELS,
        Field("pool", WORD),
        Field("size", WHOLE),
        Field("stride", WHOLE),
        Field("start", WHOLE, default=0),
        Field("outputs", WHOLE, ("outputChannels",)),
    ),
    "rnorm": _norm(2),
    "cnorm": _norm(2),
    "cmrnorm": _norm(1),
    "neuron": (Field("neuron", NEURON),),
    "eltsum": (Field("coeffs", NUMBERS, default=1.0),),
    "eltmax": (),
    "sum": (Field("stride", WHOLE, default=1),),
    "softmax": (),
    "concat": (),
    "pass": (),
    "union": (),
    "dropout": DROPOUT,
    "dropout2": DROPOUT,
    "nailbed": (CHANNELS, Field("stride", WHOLE)),
    "blur": (CHANNELS, Field("filterSize", WHOLE), Field("stdev", NUMBER)),
    "resize": (CHANNELS, Field("scale", NUMBER)),
    "rscale": (CHANNELS, Field("maxScale", NUMBER), Field("tgtSize", WHOLE)),
    "rgb2yuv": (),
    "rgb2lab": (Field("center", FLAG, default=False),),
    "crop": (
        CHANNELS,
        Field("startX", WHOLE),
        Field("startY", WHOLE, default=lambda layer: layer.get("startX")),
        Field("sizeX", WHOLE),
    ),
    "href": (CHANNELS,),
    "cccp": (CHANNELS, Field("in_nodes", WHOLE), Field("out_nodes", WHOLE), *WEIGHTS),
    "fcdropo": DROP,
    "fcdropc": DROP,
    "fcdropcf": DROP,
    "fcdrop": DROP,
    "cost.logreg": (*COST, _parameter("topk", WHOLE, 1)),
    "cost.sum2": COST,
    "cost.crossent": COST,
    "cost.bce": LABELLED,
    "cost.dce": LABELLED,
    "cost.hingeloss": COST,
    "cost.ce": COST,
    "cost.locrank": COST,
    "cost.gsinlabel": (*COST, CHANNELS, Field("imgSize", WHOLE)),
}

# Of forks of v1: cuda-convnet2 does not know them.
FORKS = {kind for kind in FIELDS if kind in ("cccp", "union") or kind.startswith("fcdrop")}
FORKS |= {f"cost.{name}" for name in ("hingeloss", "ce", "locrank", "gsinlabel")}

# In any layer of a version of v1 with dropout as a parameter.
ANY_LAYER = (_parameter("dropout", NUMBER, 0.0),)
