"""Runs programs on a backend, in one piece of memory.

On a device a step is replayed: the calls of a run are captured the second time that they are made,
and from then on the host starts them all at once. What changes from step to step lies in
memory of the device, beside the arena, and comes there with the data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from convnet.ops.base import Array, Ops
from convnet.ops.roles import OnDevice, Outline
from convnet.ops.spec.images import Source
from convnet.plan import Buffer, CaseValue, Clock, RunValue
from convnet.program import Program

ALIGNMENT = 64  # numbers, between the parts of the memory: 256 bytes, as of CUDA's allocations
WORDS = 4  # numbers, between the values that change from step to step


class Sizes(NamedTuple):
    """The parts of a runner's memory, in numbers.

    Attributes:
        arena: activities and gradients, see convnet.program.
        values: arguments that change from step to step, where they are on the device.
        scratch: what single operations need besides.
        staging: where data and values arrive while others are in use.
    """

    arena: int = 0
    values: int = 0
    scratch: int = 0
    staging: int = 0

    def joined(self, other: Sizes) -> Sizes:
        """Enough for both."""
        return Sizes(*map(max, self, other))


@dataclass
class _BoundCall:
    """An operation with its arrays; only the values that change from step to step are open."""

    op: str
    arguments: dict[str, Any]
    open: dict[str, RunValue]
    due: Callable[[Clock], bool] | None


class _Binding:
    """The calls of a program for one number of images; see Runner._bind.

    Attributes:
        calls: None for one whose part of the minibatch is empty.
        open: what changes from step to step, each once.
        values: what it is in this step, as operations take it.
        skipped: numbers of the calls that are not due in this step.
        replays: what runs captured calls, by `pattern` and the numbers of the first and the last;
            None where calls have run once and are to be captured the next time.
    """

    def __init__(self, calls: list[_BoundCall | None]) -> None:
        self.calls = calls
        self.open = list(dict.fromkeys(v for call in calls if call for v in call.open.values()))
        self.values: dict[RunValue, Any] = {}
        self.skipped: frozenset[int] = frozenset()
        self.replays: dict[object, Callable[[], None] | None] = {}

    def begin(self, clock: Clock) -> None:
        self.values = {value: value.at(clock) for value in self.open}
        self.skipped = frozenset(
            i for i, call in enumerate(self.calls) if call and call.due and not call.due(clock)
        )

    def run(self, ops: Ops, first: int, last: int) -> None:
        for i in range(first, last):
            call = self.calls[i]
            if call and i not in self.skipped:
                open_now = {name: self.values[value] for name, value in call.open.items()}
                getattr(ops, call.op)(**call.arguments, **open_now)

    @property
    def pattern(self) -> object:
        """All of a step that captured calls hold: which are left out, and values on the host."""
        return self.skipped, *(v for v in self.values.values() if not isinstance(v, OnDevice))


class Runner:
    """A backend with the memory that programs run in.

    The programs share the memory, so what one leaves there is valid until another runs.
    """

    def __init__(self, ops: Ops) -> None:
        self.ops = ops
        self._sizes = Sizes()
        self._parts: dict[str, Array] = {}
        self._bound: WeakKeyDictionary[Program, dict[int, _Binding]] = WeakKeyDictionary()

    @property
    def sizes(self) -> Sizes:
        """Of the memory that is there."""
        return self._sizes

    def sizes_for(self, program: Program, cases: int, inputs: Iterable[Buffer] = ()) -> Sizes:
        """What a program needs for minibatches of `cases` images.

        Args:
            inputs: the buffers that data come into.
        """
        if not self.ops.on_device:
            return Sizes(program.arena_size)

        binding = _bound(program, Outline(program.arena_size), cases)
        binding.begin(Clock())
        _, values = self._place(binding, Outline(0))
        scratch = self.ops.scratch_size(lambda ops: binding.run(ops, 0, len(program.calls)))
        data = sum(buffer.storage.length(cases) for buffer in inputs)
        return Sizes(program.arena_size, values, scratch, data + values)

    def reserve(self, sizes: Sizes) -> None:
        """Makes the memory large enough."""
        sizes = self._sizes.joined(sizes)
        if sizes == self._sizes:
            return
        # Free the old memory first, and what holds addresses in it.
        self._parts.clear()
        self._bound.clear()
        self.ops.lend(None, None)
        self._sizes = Sizes()
        parts = in_one_piece(self.ops, sizes)
        self._parts = dict(zip(Sizes._fields, parts, strict=True))
        self._sizes = sizes

    def free_memory(self) -> int | None:
        """Bytes that `reserve` can take in all; None if nobody knows."""
        free = self.ops.free_memory()
        return None if free is None else free + bytes_of(self._sizes)

    def array(self, program: Program, buffer: Buffer, cases: int) -> Array:
        """The array behind a buffer, for minibatches of `cases` images."""
        return program.resolve(buffer, self._parts["arena"], cases)

    def run(
        self,
        program: Program,
        cases: int,
        clock: Clock,
        inputs: Sequence[tuple[Buffer, Source]] = (),
        stop: str | None = None,
    ) -> None:
        """Runs the calls from the beginning up to mark `stop` (the end).

        Args:
            inputs: buffers with what goes into them first.
        """
        self._begin(program, cases, clock, inputs)
        self._run(program, cases, 0, program.marks[stop] if stop else len(program.calls))

    def go_on(self, program: Program, cases: int, start: str, stop: str | None = None) -> None:
        """Runs the calls from mark `start` to `stop` (the end), in the step of the run before."""
        last = program.marks[stop] if stop else len(program.calls)
        self._run(program, cases, program.marks[start], last)

    def time_calls(
        self,
        program: Program,
        cases: int,
        clock: Clock,
        inputs: Sequence[tuple[Buffer, Source]],
    ) -> list[float]:
        """Runs the whole program, as `run`; returns the seconds that each call took."""
        binding = self._begin(program, cases, clock, inputs)
        times = []
        with np.errstate(all="ignore"):
            for i in range(len(program.calls)):
                start = time.perf_counter()
                binding.run(self.ops, i, i + 1)
                times.append(time.perf_counter() - start)
        return times

    def _begin(
        self,
        program: Program,
        cases: int,
        clock: Clock,
        inputs: Sequence[tuple[Buffer, Source]],
    ) -> _Binding:
        """Brings data and values to their places."""
        binding = self._bind(program, cases, inputs)
        binding.begin(clock)
        sources = [source for _, source in inputs]
        targets = [self.array(program, buffer, cases) for buffer, _ in inputs]
        if self.ops.on_device:
            self._lend()
            words, count = self._place(binding, self._parts["values"])
            if count:
                sources.append(np.concatenate(words))
                targets.append(self._parts["values"][:count])
        self.ops.feed(sources, targets)
        return binding

    def _run(self, program: Program, cases: int, first: int, last: int) -> None:
        binding = self._bound[program][cases]
        # Whoever reads the costs looks for NaNs, and tells in which layer they began.
        with np.errstate(all="ignore"):
            if not self.ops.on_device:
                binding.run(self.ops, first, last)
                return
            self._lend()
            key = (first, last, binding.pattern)
            replay = binding.replays.get(key)
            if replay is None and key in binding.replays:

                def run() -> None:
                    binding.run(self.ops, first, last)

                replay = binding.replays[key] = self.ops.capture(run) or run
            if replay:
                replay()
            else:
                binding.run(self.ops, first, last)  # compiles kernels, which a capture could not
                binding.replays[key] = None

    def _bind(
        self, program: Program, cases: int, inputs: Sequence[tuple[Buffer, Source]]
    ) -> _Binding:
        fed = self.ops.feed_size([source for _, source in inputs])
        too_small = fed + self._sizes.values > self._sizes.staging
        if too_small or cases not in self._bound.get(program, {}):
            needed = self.sizes_for(program, cases, [buffer for buffer, _ in inputs])
            sizes = self._sizes.joined(needed)
            staging = max(sizes.staging, fed + sizes.values)  # bytes of images can be more
            self.reserve(sizes._replace(staging=staging))
            binding = _bound(program, self._parts["arena"], cases)
            self._bound.setdefault(program, {})[cases] = binding
        return self._bound[program][cases]

    def _place(self, binding: _Binding, memory: Array) -> tuple[list[np.ndarray], int]:
        """Puts arrays in `memory` in the place of the values that the device can read there.

        Returns:
            What goes there, one after the other, and how many numbers it is.
        """
        words, count = [], 0
        for run_value, value in binding.values.items():
            packed = self.ops.packed(value)
            if packed is not None:
                place = memory[count : count + packed.size]
                binding.values[run_value] = OnDevice(value, place)
                words.append(np.pad(packed, (0, -packed.size % WORDS)))
                count += words[-1].size
        return words, count

    def _lend(self) -> None:
        self.ops.lend(self._parts["scratch"], self._parts["staging"])


def bytes_of(sizes: Iterable[int]) -> int:
    """Of memory in one piece for arrays of these sizes, in float32."""
    return sum(4 * _aligned(size) for size in sizes)


def in_one_piece(ops: Ops, sizes: Sequence[int]) -> list[Array]:
    """New arrays of these sizes, side by side in one allocation."""
    ends = list(accumulate(map(_aligned, sizes), initial=0))
    memory = ops.empty(ends[-1])
    return [memory[start : start + size] for start, size in zip(ends, sizes, strict=False)]


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _bound(program: Program, arena: Array, cases: int) -> _Binding:
    """The calls of a program with their arrays."""

    def closed(value: Any) -> Any:
        if isinstance(value, Buffer):
            return program.resolve(value, arena, cases)
        return value.at(cases) if isinstance(value, CaseValue) else value

    return _Binding(
        [
            _BoundCall(
                call.op,
                {n: closed(v) for n, v in call.args.items() if not isinstance(v, RunValue)},
                {n: v for n, v in call.args.items() if isinstance(v, RunValue)},
                call.due,
            )
            if call.part.cases(cases)
            else None
            for call in program.calls
        ]
    )
