"""Initial weights: random numbers, or what a function makes that the layer file names.

    initWFunc = module.function(a,b)    function(layer, input, (rows, columns), params=["a", "b"])
    initBFunc = module.function         function(layer, (rows, columns), params=[])

The functions must return a float32 array of exactly that shape. A layer file may come from
anywhere and importing a module runs it, so only modules that the user names are imported. The
functions of cuda-convnet2's own module `initw` are here and need no such permission.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convnet.checkpoint import load_checkpoint
from convnet.errors import ConfigError, ConvnetError
from convnet.layer_types.base import Layer, Parameter
from convnet.net import generator

_FUNCTION = re.compile(r"([\w.]+)\.(\w+)(?:\(([^()]*)\))?")


def initial_values(
    layer: Layer, parameter: Parameter, seed: int, modules: Sequence[str]
) -> np.ndarray:
    """What a parameter of `layer` begins with, float32 of its shape.

    Args:
        seed: of the random numbers, which depend on the parameter's name besides.
        modules: names of the modules whose functions may be called.

    Raises:
        ConfigError: the function is not allowed, fails, or returns anything else.
    """
    if not parameter.function:
        return parameter.initial(generator(seed, parameter.name))
    key = "initBFunc" if parameter.is_bias else "initWFunc"
    where = f"{layer.where}: Layer '{layer.name}': {key} = {parameter.function}"
    match = _FUNCTION.fullmatch(parameter.function.strip())
    if not match:
        raise ConfigError(f"{where}: expected module.function or module.function(a,b)")
    arguments = match[3].split(",") if match[3] else []
    if "" in arguments:
        raise ConfigError(f"{where}: an argument is empty")
    function = _find(match[1], match[2], modules, where)
    index = () if parameter.is_bias else (int(parameter.name.rpartition(".")[2]),)
    try:
        values = function(layer.name, *index, parameter.shape, params=arguments)
    except Exception as error:  # a function of the user's may fail in any way
        raise ConfigError(f"{where}: {error}") from error
    if (
        not isinstance(values, np.ndarray)
        or values.dtype != np.float32
        or values.shape != parameter.shape
    ):
        found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else repr(values)
        raise ConfigError(f"{where}: must return float32 {parameter.shape}; found {found:.60}")
    return values


def _find(module: str, name: str, modules: Sequence[str], where: str) -> Callable[..., Any]:
    if module == "initw" and module not in modules:
        if name not in BUILT_IN:
            raise ConfigError(f"{where}: initw has {', '.join(BUILT_IN)}")
        return BUILT_IN[name]
    if module not in modules:
        raise ConfigError(
            f"{where}: this would import and run the Python module '{module}'; if you trust it, "
            f"allow it with --init-modules {module}"
        )
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except Exception as error:  # so may a module
        raise ConfigError(f"{where}: cannot import it: {error}") from error


def _from_checkpoint(path: str, layers: Sequence[str], label: str) -> list[np.ndarray]:
    weights = load_checkpoint(Path(path)).weights
    names = [f"{layer.strip()}.{label}" for layer in layers]
    missing = [name for name in names if name not in weights]
    if missing:
        raise ConvnetError(f"{path}: holds no '{missing[0]}'")
    return [weights[name] for name in names]


def make_weights(
    layer: str, index: int, shape: tuple[int, int], params: Sequence[str]
) -> np.ndarray:
    """makew(file): the weights of the layer of the same name in a checkpoint."""
    (path,) = params
    return _from_checkpoint(path, [layer], f"weights.{index}")[0]


def make_biases(layer: str, shape: tuple[int, int], params: Sequence[str]) -> np.ndarray:
    """makeb(file): the biases of the layer of the same name in a checkpoint."""
    (path,) = params
    return _from_checkpoint(path, [layer], "biases")[0]


def join_weights(
    layer: str, index: int, shape: tuple[int, int], params: Sequence[str]
) -> np.ndarray:
    """makewcat(file,a,b,..): the columns of weight matrix `index` of several layers."""
    path, *layers = params
    return np.concatenate(_from_checkpoint(path, layers, f"weights.{index}"), axis=1)


def join_biases(layer: str, shape: tuple[int, int], params: Sequence[str]) -> np.ndarray:
    """makebcat(file,a,b,..): the biases of several layers, one after the other."""
    path, *layers = params
    parts = [biases.reshape(-1) for biases in _from_checkpoint(path, layers, "biases")]
    return np.concatenate(parts).reshape(shape)


def literal_biases(layer: str, shape: tuple[int, int], params: Sequence[str]) -> np.ndarray:
    """makeb_vec(x,y,..): these numbers."""
    return np.array([float(number) for number in params], np.float32).reshape(shape)


BUILT_IN: dict[str, Callable[..., np.ndarray]] = {
    "makew": make_weights,
    "makeb": make_biases,
    "makewcat": join_weights,
    "makebcat": join_biases,
    "makeb_vec": literal_biases,
}
