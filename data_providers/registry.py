"""Data providers by name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

from data_providers.base import DataProvider, ProviderOptions
from data_providers.batches import BatchesProvider, CroppedProvider
from data_providers.dummy import KINDS, DummyProvider
from data_providers.errors import DataError
from data_providers.faces import FaceProvider
from data_providers.folder import FolderProvider
from data_providers.idx import IdxProvider
from data_providers.image import JpegProvider
from data_providers.vectors import LabelledVectorsProvider, VectorsProvider

ENTRY_POINT_GROUP = "cudaconvnet.data_providers"

PROVIDERS: dict[str, type[DataProvider]] = {
    "batches": BatchesProvider,
    "cifar": BatchesProvider,
    "cifar-cropped": CroppedProvider,
    "image": JpegProvider,
    "idx": IdxProvider,
    "folder": FolderProvider,
    "face-folder": FaceProvider,
    "face-pack": FaceProvider,
    "default": VectorsProvider,
    "memory": VectorsProvider,
    "labeled": LabelledVectorsProvider,
    "labeled-memory": LabelledVectorsProvider,
}


def create(
    name: str,
    path: Path | None,
    batch_range: Sequence[int],
    options: ProviderOptions,
    *,
    test: bool,
) -> DataProvider:
    """The provider called `name`, opened at `path`.

    Args:
        name: one of `names()` (a dummy's last letter standing for its dimension, as in
            `dummy-cn-3072`), or the dotted name of a class, `package.module.Class`.
        path: the data's file or folder; None where the provider needs none.
        batch_range: the numbers of the batches that will be loaded.
        test: whether these are test batches, which are not augmented.
    Raises: DataError if there is no such provider, or it cannot open the data.
    """
    kind, _, dimension = name.rpartition("-")
    if f"{kind}-n" in KINDS and dimension.isdecimal() and int(dimension) > 0:
        return DummyProvider(kind, int(dimension), batch_range, options, test=test)
    provider = _find(name)
    if path is None:
        raise DataError(f"data provider {name} needs --data-path")
    return provider(path, batch_range, options, test=test)


def names() -> dict[str, str]:
    """The names of all providers, each with a line that describes it."""
    built_in = {name: _first_line(provider) for name, provider in PROVIDERS.items()}
    dummies = {name: kind.description for name, kind in KINDS.items()}
    installed = {
        point.name: f"installed: {point.value}" for point in entry_points(group=ENTRY_POINT_GROUP)
    }
    return built_in | dummies | installed


def _first_line(provider: type[DataProvider]) -> str:
    return (provider.__doc__ or "").strip().splitlines()[0]


def _find(name: str) -> type[DataProvider]:
    if name in PROVIDERS:
        return PROVIDERS[name]
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return _import(point.value.replace(":", "."), name)
    if "." in name:
        return _import(name, name)
    near = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names())}"
    raise DataError(f"no data provider {name!r}; {hint}")


def _import(dotted: str, name: str) -> type[DataProvider]:
    module, _, attribute = dotted.rpartition(".")
    try:
        provider = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module of the user's may fail in any way
        raise DataError(f"data provider {name!r}: cannot import {dotted}: {error}") from error
    if not (isinstance(provider, type) and issubclass(provider, DataProvider)):
        raise DataError(f"data provider {name!r}: {dotted} is not a subclass of DataProvider")
    return provider
