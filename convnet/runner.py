"""Runs programs on a backend, in one arena of memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from convnet.ops.base import Array, Ops
from convnet.plan import Buffer, CaseValue, Clock, RunValue
from convnet.program import Program


@dataclass
class _BoundCall:
    """An operation with its arrays; only the values that change from step to step are open."""

    operation: Callable[..., None]
    arguments: dict[str, Any]
    open: dict[str, RunValue]
    due: Callable[[Clock], bool] | None

    def __call__(self, clock: Clock) -> None:
        if self.due and not self.due(clock):
            return
        values = {name: value.at(clock) for name, value in self.open.items()}
        self.operation(**self.arguments, **values)


_Bound = list[_BoundCall | None]


class Runner:
    """A backend with the memory that programs run in.

    The programs share the arena, so what one leaves there is valid until another runs.
    """

    def __init__(self, ops: Ops) -> None:
        self.ops = ops
        self._arena: Array | None = None
        self._arena_size = 0
        self._bound: WeakKeyDictionary[Program, dict[int, list[_BoundCall | None]]] = (
            WeakKeyDictionary()
        )

    def reserve(self, program: Program) -> None:
        """Makes the arena large enough for the program."""
        if program.arena_size > self._arena_size:
            self._arena = None  # free the old one first
            self._bound.clear()
            self._arena = self.ops.empty(program.arena_size)
            self._arena_size = program.arena_size

    def array(self, program: Program, buffer: Buffer, cases: int) -> Array:
        """The array behind a buffer, for minibatches of `cases` images."""
        return program.resolve(buffer, self._arena, cases)

    def run(
        self,
        program: Program,
        cases: int,
        clock: Clock,
        start: str | None = None,
        stop: str | None = None,
    ) -> None:
        """Runs the calls from mark `start` (the beginning) up to mark `stop` (the end)."""
        first = program.marks[start] if start else 0
        last = program.marks[stop] if stop else len(program.calls)
        # Whoever reads the costs looks for NaNs, and tells in which layer they began.
        with np.errstate(all="ignore"):
            for call in self._bind(program, cases)[first:last]:
                if call:
                    call(clock)

    def time_calls(self, program: Program, cases: int, clock: Clock) -> list[float]:
        """Runs the whole program; returns the seconds that each call took."""
        times = []
        with np.errstate(all="ignore"):
            for call in self._bind(program, cases):
                start = time.perf_counter()
                if call:
                    call(clock)
                times.append(time.perf_counter() - start)
        return times

    def _bind(self, program: Program, cases: int) -> _Bound:
        """The calls with their arrays; None for one whose part of the minibatch is empty."""
        by_cases = self._bound.setdefault(program, {})
        if cases not in by_cases:
            by_cases[cases] = [
                _BoundCall(
                    getattr(self.ops, call.op),
                    {
                        name: self._closed(program, value, cases)
                        for name, value in call.args.items()
                        if not isinstance(value, RunValue)
                    },
                    {n: v for n, v in call.args.items() if isinstance(v, RunValue)},
                    call.due,
                )
                if call.part.cases(cases)
                else None
                for call in program.calls
            ]
        return by_cases[cases]

    def _closed(self, program: Program, value: Any, cases: int) -> Any:
        if isinstance(value, Buffer):
            return self.array(program, value, cases)
        return value.at(cases) if isinstance(value, CaseValue) else value
