"""The generic providers of cuda-convnet's first version: pickled matrices of any numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from data_providers.base import DataProvider, infer_shape
from data_providers.errors import DataError
from data_providers.pickled_batches import META, case_columns, find_batches, values_per_case
from data_providers.pickles import load_pickle


class VectorsProvider(DataProvider):
    """Pickled `data` of any numbers, minus the mean of batches.meta if it has one."""

    understands = frozenset({"scalar_mean"})
    labelled: ClassVar[bool] = False

    def open(self) -> Collection[int]:
        self.meta = load_pickle(self.path / META)
        if not isinstance(self.meta, dict):
            raise DataError(f"{self.path / META}: expected a dict")
        self.files = find_batches(self.path)
        self.mean = self._mean()
        self.dimension = values_per_case(self.meta.get("num_vis", self.mean.size))
        if not self.dimension or self.mean.size not in (1, self.dimension):
            raise DataError(
                f"{self.path / META}: expected num_vis, the numbers of a case, or a data_mean of"
                f" them; found {self.meta.get('num_vis')!r} and a mean of {self.mean.size}"
            )
        data = infer_shape(self.dimension)
        self.shapes = (data, (1, 1, 1)) if self.labelled else (data,)
        self.label_names = tuple(map(str, self.meta.get("label_names", ())))
        return self.files.keys()

    def _mean(self) -> NDArray[np.float32]:
        if self.options.scalar_mean >= 0:
            return np.full((1, 1), self.options.scalar_mean, np.float32)
        mean = self.meta.get("data_mean", np.zeros(1, np.float32))
        return self._numbers(mean, "data_mean", str(self.path / META)).reshape(-1, 1)

    def load(self, number: int, epoch: int) -> list[NDArray[np.float32]]:
        parts = [(str(path), load_pickle(path)) for path in self.files[number]]
        data = np.concatenate([self._data(where, raw) for where, raw in parts], axis=1)
        matrices = [np.subtract(data, self.mean)]
        if self.labelled:
            labels = [self._entry(where, raw, "labels").reshape(1, -1) for where, raw in parts]
            matrices.append(np.concatenate(labels, axis=1))
        return matrices

    def _data(self, where: str, raw: Any) -> NDArray[np.float32]:
        """The numbers of the cases in a file, (dimension, cases)."""
        data = self._entry(where, raw, "data")
        if data.ndim != 2 or self.dimension not in data.shape:
            raise DataError(
                f"{where}: expected data as ({self.dimension}, cases), found {data.shape}"
            )
        return case_columns(data, self.dimension)

    def _entry(self, where: str, raw: Any, name: str) -> NDArray[np.float32]:
        if not isinstance(raw, dict) or name not in raw:
            raise DataError(f"{where}: expected a dict with {name}")
        return self._numbers(raw[name], name, where)

    def _numbers(self, values: object, name: str, where: str) -> NDArray[np.float32]:
        try:
            array = np.asarray(values)
            if array.dtype.kind not in "fiu" or not array.size:
                raise ValueError(array.dtype)
        except ValueError as error:
            raise DataError(f"{where}: expected {name} as numbers") from error
        return np.ascontiguousarray(array, np.float32)


class LabelledVectorsProvider(VectorsProvider):
    """The same with a label for each case."""

    labelled = True
