"""Loads the next batch in the background while the current one is used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from data_providers.byte_images import Matrix

Matrices = Sequence[Matrix]


class Prefetcher:
    """Iterates over (number, epoch or view, matrices) of a sequence of batches, one batch ahead.

    One thread loads; at most two batches are alive, the one handed out and the next. An error in
    loading is raised where its batch would have been handed out. Close it, or use it in `with`.
    """

    def __init__(
        self, load: Callable[[int, int], Matrices], sequence: Iterable[tuple[int, int]]
    ) -> None:
        """Args:
        load: the method of this name of a provider, or load_view.
        sequence: its arguments for each batch, taken one at a time; may be endless.
        """
        self._load = load
        self._sequence = iter(sequence)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._next = self._load_next()

    def __iter__(self) -> Iterator[tuple[int, int, Matrices]]:
        while self._next is not None:
            number, which, future = self._next
            matrices = future.result()
            self._next = self._load_next()
            yield number, which, matrices

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the batch being loaded, if any, and ends the thread; iteration then stops."""
        self._next = None
        self._sequence = iter(())
        self._pool.shutdown(cancel_futures=True)

    def _load_next(self) -> tuple[int, int, Future[Matrices]] | None:
        for number, which in self._sequence:
            return number, which, self._pool.submit(self._load, number, which)
        return None
