"""What a layer's calls of operations are recorded as.

A layer's forward and backward are written as calls of operations (convnet.ops.base). They are
called once with a Recorder in place of a backend and Buffers in place of arrays; what comes out is
the list of operation calls of a training step, which convnet.program turns into a flat program.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, TypeVar, cast

from convnet.neurons import IDENT
from convnet.ops.base import Array, InOut, Ops, Out


@dataclass(frozen=True)
class Part:
    """Some consecutive microbatches of a minibatch: `count` of `of`, from number `first`.

    A minibatch is cut into microbatches of ceil(cases / of) images; the last ones may hold
    fewer, or none. See convnet.replicas.
    """

    first: int = 0
    count: int = 1
    of: int = 1

    def span(self, cases: int) -> tuple[int, int]:
        """The first image of the part, and the one after its last, of a minibatch of `cases`."""
        micro = -(-cases // self.of)
        return min(cases, self.first * micro), min(cases, (self.first + self.count) * micro)

    def cases(self, cases: int) -> int:
        """Images of the part in a minibatch of `cases`."""
        start, stop = self.span(cases)
        return stop - start


WHOLE = Part()


@dataclass(eq=False)
class Storage:
    """A piece of memory: `size` numbers per image of `part`, or `size` in all if not `per_case`.

    Storage with an `array` (weights) is fixed and belongs to the net; all other storage lives
    in the arena, from its first to its last use, or to the end of the program if it is kept.
    """

    name: str
    size: int
    per_case: bool = True
    array: Array | None = None
    part: Part = WHOLE

    def length(self, cases: int) -> int:
        """Numbers in all, for minibatches of `cases` images."""
        return self.size * (self.part.cases(cases) if self.per_case else 1)


@dataclass(frozen=True)
class Buffer:
    """A storage seen as an array of `shape`, followed by the number of images if per_case.

    `start` is where the array begins: numbers into the storage (per image, if per_case).
    """

    storage: Storage
    shape: tuple[int, ...]
    start: int = 0

    def reshape(self, *shape: int) -> Buffer:
        """The same memory with another shape of the same size (-1: the rest)."""
        return Buffer(self.storage, _complete(shape, prod(self.shape)), self.start)

    def rows(self, first: int, count: int) -> Buffer:
        """A view of `count` rows (indices of the first dimension) from number `first`."""
        row = prod(self.shape[1:])
        return Buffer(self.storage, (count, *self.shape[1:]), self.start + first * row)

    @property
    def is_whole(self) -> bool:
        """Whether this is all of the storage."""
        return prod(self.shape) == self.storage.size

    def __str__(self) -> str:
        place = f"+{self.start}" if self.start else ""
        return f"{self.storage.name}{place}({'x'.join(map(str, self.shape))})"


def new_buffer(
    name: str, shape: Sequence[int], *, per_case: bool = True, part: Part = WHOLE
) -> Buffer:
    """A buffer on a storage of its own."""
    return Buffer(Storage(name, prod(shape), per_case, part=part), tuple(shape))


@dataclass(frozen=True)
class Clock:
    """Where the training is: what an operation's arguments may depend on from step to step.

    Attributes:
        minibatch: number in the batch.
        progress: fraction of the whole training that is done, 0 to 1, constant within a batch.
        steps: minibatches that were trained on before this one, since the training began.
        rates: factor of all learning rates.
    """

    seed: int = 0
    epoch: int = 1
    batch: int = 0
    minibatch: int = 0
    progress: float = 0.0
    steps: int = 0
    rates: float = 1.0


@dataclass(frozen=True)
class RunValue:
    """An argument that is computed anew at each run, such as a learning rate."""

    at: Callable[[Clock], Any]


@dataclass(frozen=True)
class CaseValue:
    """An argument that depends on the number of images of the minibatch."""

    at: Callable[[int], Any]


T = TypeVar("T")


def for_each_run(at: Callable[[Clock], T]) -> T:
    """A RunValue in the place of an argument of type T."""
    return cast(T, RunValue(at))


def for_each_size(at: Callable[[int], T]) -> T:
    """A CaseValue in the place of an argument of type T."""
    return cast(T, CaseValue(at))


@dataclass
class Call:
    """One operation with its arguments by name.

    Attributes:
        part: the images that it works on; it is left out where there are none.
        repeated: whether it computes once more what was computed before.
        layer: the name of the layer whose call it is.
        due: whether it is run this time; None: always.
    """

    op: str
    args: dict[str, Any]
    part: Part = WHOLE
    layer: str = ""
    repeated: bool = False
    due: Callable[[Clock], bool] | None = None

    def storages(self) -> set[Storage]:
        return {buffer.storage for _, buffer in self.buffers()}

    def buffers(self) -> Iterator[tuple[str, Buffer]]:
        """The arguments that are buffers, with their names."""
        yield from ((n, value) for n, value in self.args.items() if isinstance(value, Buffer))

    def reads(self, name: str) -> bool:
        """Whether the content of an argument matters to the call."""
        return _roles(self.op)[name] is not Out or bool(self.args.get("add"))

    def writes(self, name: str) -> bool:
        return _roles(self.op)[name] in (Out, InOut)

    def read(self) -> set[Storage]:
        """The storages whose content matters to the call."""
        return {buffer.storage for name, buffer in self.buffers() if self.reads(name)}

    def written(self) -> set[Storage]:
        return {buffer.storage for name, buffer in self.buffers() if self.writes(name)}

    def __str__(self) -> str:
        shown = (
            f"{name}={value}"
            for name, value in self.args.items()
            if isinstance(value, Buffer) or (name == "neuron" and value != IDENT) or value is True
        )
        return f"{self.op:<20} {', '.join(shown)}"


@cache
def _roles(op: str) -> dict[str, Any]:
    """How an operation uses each of its arguments."""
    return inspect.get_annotations(getattr(Ops, op), eval_str=True)


class Recorder:
    """Stands in for a backend and writes down the operations that are called on it.

    Attributes:
        calls: what was written down.
        part: the part of the minibatch that the next calls work on.
        layer: the name of the layer that makes the next calls.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.part = WHOLE
        self.layer = ""
        self._repeating = False

    def as_ops(self) -> Ops:
        return cast(Ops, self)

    def __getattr__(self, op: str) -> Callable[..., None]:
        signature = inspect.signature(getattr(Ops, op))

        def record(*args: Any, **kwargs: Any) -> None:
            bound = signature.bind(None, *args, **kwargs)
            bound.apply_defaults()
            arguments = dict(bound.arguments)
            del arguments["self"]
            self.calls.append(Call(op, arguments, self.part, self.layer, self._repeating))

        return record

    @contextmanager
    def repeating(self) -> Iterator[None]:
        """What is recorded in the block was computed before; what nobody reads is left out."""
        self._repeating = True
        yield
        self._repeating = False


def _complete(shape: tuple[int, ...], size: int) -> tuple[int, ...]:
    known = prod(length for length in shape if length != -1)
    return tuple(size // known if length == -1 else length for length in shape)
