"""From recorded calls to a flat program over planned buffers.

Three passes follow the recording (convnet.plan):

1. fuse    a convolution or fc and the neuron after it, a softmax or logistic neuron and the cost
           above it, what convnet.fusion has besides; copies are left out
2. alias   an elementwise operation writes over its input where nobody reads that input later
3. place   every buffer gets an offset in one arena; buffers that are never alive together share

All sizes are known before the first step. `str(program)` prints the result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

from convnet.fusion import (
    add_while_normalising,
    judge_while_predicting,
    leave_out_copies,
    take_gradients_through_relus,
    users_of,
)
from convnet.ops.base import IN_PLACE, Array
from convnet.plan import Buffer, Call, Storage

ALIGNMENT = 16  # floats: one cache line


@dataclass(eq=False)
class Program:
    """A list of calls whose buffers have their places in the arena.

    Attributes:
        calls: the operations in order.
        marks: names of positions in `calls`, e.g. where the backward pass begins.
        batch_size: the largest number of images it can be run on.
        kept: storages that keep their memory from beginning to end: what comes from outside
            and what is read from outside.
        offsets: place of each storage in the arena, in numbers.
        arena_size: numbers in the arena.
    """

    calls: list[Call]
    marks: dict[str, int]
    batch_size: int
    kept: frozenset[Storage]
    offsets: dict[Storage, int] = field(default_factory=dict)
    owners: dict[Storage, Storage] = field(default_factory=dict)
    arena_size: int = 0

    def owner(self, storage: Storage) -> Storage:
        """The storage whose memory `storage` uses after aliasing."""
        while storage in self.owners:
            storage = self.owners[storage]
        return storage

    def resolve(self, buffer: Buffer, arena: Array, cases: int) -> Array:
        """The array behind a buffer, for minibatches of `cases` images."""
        storage = self.owner(buffer.storage)
        shape = buffer.shape
        first, scale = buffer.start, 1
        if storage.per_case:
            scale = storage.part.cases(cases)
            shape = (*shape, scale)
        if storage.array is not None:
            memory = storage.array.reshape(-1)
        else:
            memory, first = arena, self.offsets[storage] + first * scale
        return memory[first : first + prod(shape)].reshape(shape)

    def __str__(self) -> str:
        """The calls, then the buffers: place in the arena and size, or whose place they take."""
        marks = {index: name for name, index in self.marks.items()}
        lines = []
        for i, call in enumerate(self.calls):
            if i in marks:
                lines.append(f"# {marks[i]}")
            lines.append(f"{i:4d}  {call}")
        storages = self.kept.union(*(call.storages() for call in self.calls))
        unshared = sum(_length(s, self.batch_size) for s in storages if s.array is None)
        lines.append("# buffers: place and size in KiB")
        for storage, offset in sorted(self.offsets.items(), key=lambda item: item[1]):
            size = 4 * _length(storage, self.batch_size) / 2**10
            lines.append(f"{4 * offset / 2**10:10.1f} {size:10.1f}  {storage.name}")
        for storage, owner in self.owners.items():
            lines.append(f"{'in place of':>21}  {owner.name}: {storage.name}")
        lines.append(
            f"# arena {4 * self.arena_size / 2**20:.1f} MiB for {self.batch_size} images; "
            f"without sharing {4 * unshared / 2**20:.1f} MiB"
        )
        return "\n".join(lines)


def compile_program(
    calls: list[Call], marks: dict[str, int], batch_size: int, kept: Iterable[Buffer]
) -> Program:
    """Fuses, aliases and places; see the head of this file."""
    kept_storages = frozenset(b.storage for b in kept)
    calls, marks = _leave_out_unread(calls, marks)
    calls, marks = _without(calls, marks, leave_out_copies(calls, kept_storages))
    calls, marks = _without(calls, marks, add_while_normalising(calls))
    calls, marks = _without(calls, marks, judge_while_predicting(calls))
    calls, marks = _fuse(calls, marks, kept_storages)
    calls, marks = _without(calls, marks, take_gradients_through_relus(calls, kept_storages))
    program = Program(calls, marks, batch_size, kept_storages)
    _alias(program)
    _place(program)
    return program


# Gradients of costs that are computed together with that of what made the probabilities, which
# avoids dividing by them: operation of the cost -> (what made them, operation for both).
FUSED_GRADIENTS = {
    "logreg_bprop": ("softmax", "softmax_logreg_bprop"),
    "crossent_bprop": ("softmax", "softmax_crossent_bprop"),
    "bce_bprop": ("logistic", "logistic_bce_bprop"),
}


def _makes_probs(call: Call) -> str:
    """What the call is the gradient of: softmax, or a kind of neuron."""
    if call.op == "neuron_bprop":
        return str(call.args["neuron"].kind)
    return call.op.removesuffix("_bprop")


# --- passes ---------------------------------------------------------------------------------


def _leave_out_unread(
    calls: list[Call], marks: dict[str, int]
) -> tuple[list[Call], dict[str, int]]:
    """Without the repeated calls whose results no later call reads."""
    read: set[Storage] = set()
    dropped: set[int] = set()
    for i, call in reversed(list(enumerate(calls))):
        if call.repeated and not read & call.written():
            dropped.add(i)
        else:
            read |= call.read()
    return _without(calls, marks, dropped)


def _without(
    calls: list[Call], marks: dict[str, int], dropped: set[int]
) -> tuple[list[Call], dict[str, int]]:
    kept = [i for i in range(len(calls)) if i not in dropped]
    new_marks = {name: sum(i < mark for i in kept) for name, mark in marks.items()}
    return [calls[i] for i in kept], new_marks


def _fuse(
    calls: list[Call], marks: dict[str, int], kept_storages: frozenset[Storage]
) -> tuple[list[Call], dict[str, int]]:
    """Merges pairs of calls, the buffer between which nobody else looks at."""
    users = users_of(calls)
    dropped: set[int] = set()
    for i, call in enumerate(calls):
        between = call.args.get("acts") if call.op.endswith("_fprop") else None
        if call.op in FUSED_GRADIENTS and not call.args["add"]:
            between = call.args["probs_grad"]
        if not isinstance(between, Buffer) or between.storage in kept_storages:
            continue
        if not between.is_whole:  # other calls write the rest of it
            continue
        # With several inputs a layer's acts are written by several calls; the last one counts.
        later = [j for j in users[between.storage] if j > i]
        if len(later) != 1:
            continue
        follower = calls[later[0]]
        if "neuron" in call.args and call.op != "neuron_fprop" and follower.op == "neuron_fprop":
            if call.args.get("add"):  # the other inputs' calls write the same buffer
                for j in users[between.storage][:-1]:
                    for name, buffer in list(calls[j].buffers()):
                        if buffer.storage is between.storage:
                            calls[j].args[name] = follower.args["acts"].reshape(*buffer.shape)
            call.args["neuron"] = follower.args["neuron"]
            call.args["acts"] = follower.args["acts"].reshape(*between.shape)
            dropped.add(later[0])
        elif call.op in FUSED_GRADIENTS and _makes_probs(follower) == FUSED_GRADIENTS[call.op][0]:
            fused = {n: v for n, v in call.args.items() if n not in ("probs_grad", "add")}
            grad = follower.args["inputs_grad"].reshape(*between.shape)
            fused |= {"inputs_grad": grad, "add": follower.args["add"]}
            calls[later[0]] = Call(FUSED_GRADIENTS[call.op][1], fused, call.part, follower.layer)
            dropped.add(i)
    return _without(calls, marks, dropped)


def _lifetimes(program: Program) -> dict[Storage, tuple[int, int]]:
    lives: dict[Storage, tuple[int, int]] = {}
    for i, call in enumerate(program.calls):
        for storage in call.storages():
            owner = program.owner(storage)
            first, last = lives.get(owner, (i, i))
            lives[owner] = (min(first, i), max(last, i))
    whole = (0, len(program.calls))
    return lives | {storage: whole for storage in program.kept if storage.array is None}


def _alias(program: Program) -> None:
    lives = _lifetimes(program)
    for i, call in enumerate(program.calls):
        if call.op not in IN_PLACE or call.args.get("add"):
            continue
        source_name, target_name = IN_PLACE[call.op]
        if not (call.args[source_name].is_whole and call.args[target_name].is_whole):
            continue
        source = program.owner(call.args[source_name].storage)
        target = program.owner(call.args[target_name].storage)
        fixed = any(s in program.kept or s.array is not None for s in (source, target))
        if fixed or source is target or lives[source][1] != i or lives[target][0] != i:
            continue
        program.owners[target] = source
        lives[source] = (lives[source][0], lives.pop(target)[1])


def _place(program: Program) -> None:
    """Largest first, each at the lowest offset where it meets nobody alive at the same time."""
    lives = {s: life for s, life in _lifetimes(program).items() if s.array is None}
    placed: list[tuple[int, int, int, int]] = []  # start, end, first, last
    for storage in sorted(lives, key=lambda s: (-_length(s, program.batch_size), lives[s])):
        first, last = lives[storage]
        length = _length(storage, program.batch_size)
        start = 0
        for other_start, other_end, other_first, other_last in sorted(placed):
            overlaps = other_first <= last and first <= other_last
            if overlaps and start + length > other_start and start < other_end:
                start = other_end
        placed.append((start, start + length, first, last))
        program.offsets[storage] = start
        program.arena_size = max(program.arena_size, start + length)


def _length(storage: Storage, batch_size: int) -> int:
    return -(-storage.length(batch_size) // ALIGNMENT) * ALIGNMENT
