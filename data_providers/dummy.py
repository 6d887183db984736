"""Uniform random data, to try a net or measure its speed without a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_providers.base import DataProvider, ProviderOptions, infer_shape


@dataclass(frozen=True)
class Kind:
    """labelled: ten classes, else no labels; fresh: each batch is new, else all are the same."""

    description: str
    cases: int
    labelled: bool
    fresh: bool


KINDS = {
    "dummy-n": Kind("uniform random data without labels, 512 cases", 512, False, True),
    "dummy-cn-n": Kind("uniform random data, 10 classes, 512 cases", 512, True, True),
    "dummy-labeled-n": Kind("the same 7 random cases at every batch, 10 classes", 7, True, False),
    "dummy-lr-n": Kind("the same as dummy-labeled-n", 7, True, False),
}


class DummyProvider(DataProvider):
    """Values in [0, 1); any batch number exists. N values make 3 or 1 square planes if they can."""

    understands = frozenset({"batch_size"})

    def __init__(
        self,
        kind: str,
        dimension: int,
        batch_range: Sequence[int],
        options: ProviderOptions,
        *,
        test: bool,
    ) -> None:
        """Args: kind: a name in KINDS without its last `-n`; dimension: values per case."""
        self.kind = KINDS[f"{kind}-n"]
        self.dimension = dimension
        super().__init__(Path(f"{kind}-{dimension}"), batch_range, options, test=test)

    def open(self) -> None:
        data = infer_shape(self.dimension)
        self.shapes = (data, (1, 1, 1)) if self.kind.labelled else (data,)
        self.label_names = tuple("0123456789") if self.kind.labelled else ()

    def load(self, number: int, epoch: int) -> list[NDArray[np.float32]]:
        rng = self.rng(number, epoch) if self.kind.fresh else self.rng(0, 0)
        cases = self.options.batch_size or self.kind.cases
        data = rng.random((self.dimension, cases), np.float32)
        if not self.kind.labelled:
            return [data]
        return [data, rng.integers(0, 10, (1, cases)).astype(np.float32)]
