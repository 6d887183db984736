import itertools
import threading
from pathlib import Path

import numpy as np
import pytest

from data_providers import DataError, DataProvider, Prefetcher, ProviderOptions


class Recorder(DataProvider):
    """Remembers what was loaded; batch 13 is broken."""

    def open(self):
        self.shapes = ((1, 1, 1),)
        self.loaded = []
        self.waiting = threading.Event()

    def load(self, number, epoch):
        if number == 13:
            raise DataError("batch 13 is broken")
        self.loaded.append((epoch, number))
        self.waiting.set()
        return [np.full((1, 1), 10 * epoch + number, np.float32)]


@pytest.fixture
def provider():
    return Recorder(Path(), [1], ProviderOptions(), test=False)


def prefetch_threads():
    return [t for t in threading.enumerate() if t.name.startswith("prefetch")]


def test_gives_the_sequence_in_order(provider):
    sequence = [(1, 1), (2, 1), (1, 2), (2, 2)]
    with Prefetcher(provider.load, sequence) as batches:
        seen = [(number, epoch, m[0].item()) for number, epoch, m in batches]
    assert seen == [(1, 1, 11), (2, 1, 12), (1, 2, 21), (2, 2, 22)]
    assert prefetch_threads() == []


def test_loads_one_batch_ahead(provider):
    with Prefetcher(provider.load, ((n, 1) for n in itertools.count(1) if n != 13)) as batches:
        iterator = iter(batches)
        for turn in range(1, 4):
            provider.waiting.clear()
            next(iterator)
            assert provider.waiting.wait(timeout=10)
            assert provider.loaded == [(1, n) for n in range(1, turn + 2)]
    assert prefetch_threads() == []


def test_an_error_comes_in_its_turn(provider):
    with Prefetcher(provider.load, [(1, 1), (13, 1), (2, 1)]) as batches:
        iterator = iter(batches)
        assert next(iterator)[0] == 1
        with pytest.raises(DataError, match="batch 13 is broken"):
            next(iterator)


def test_an_empty_sequence(provider):
    with Prefetcher(provider.load, []) as batches:
        assert list(batches) == []


def test_closing_ends_it(provider):
    batches = Prefetcher(provider.load, itertools.repeat((1, 1)))
    iterator = iter(batches)
    next(iterator)
    batches.close()
    batches.close()
    assert list(iterator) == []
    assert prefetch_threads() == []
