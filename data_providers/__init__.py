"""Batches of data for training and testing nets; independent of the engine.

`create` makes a provider by name; `DataProvider` is what to subclass for data of one's own;
`data_providers.prepare` writes data sets into the safe format.
"""

from data_providers.base import DataProvider, ProviderOptions
from data_providers.byte_images import ByteImages
from data_providers.errors import DataError
from data_providers.prefetch import Prefetcher
from data_providers.registry import create, names

__all__ = [
    "ByteImages",
    "DataError",
    "DataProvider",
    "Prefetcher",
    "ProviderOptions",
    "create",
    "names",
]
