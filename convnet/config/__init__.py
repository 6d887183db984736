"""Reads the two layer files of a net into typed, checked `LayerSpec`s."""

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
)
from convnet.config.layers import LayerSpec, TypeInfo, read_layer_files
from convnet.config.reader import Source
from convnet.config.schedules import Schedule, parse_schedule

__all__ = [
    "Bool",
    "Choice",
    "Float",
    "Floats",
    "Ignored",
    "Int",
    "Key",
    "LayerSpec",
    "Names",
    "NeuronKind",
    "Rate",
    "Schedule",
    "Source",
    "TypeInfo",
    "parse_schedule",
    "read_layer_files",
]
