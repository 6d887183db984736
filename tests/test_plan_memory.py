"""Memory of programs: nothing is overwritten before its last use, and sharing changes no bit."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

from convnet import program as programs
from convnet.layer_types.base import CHECK, TEST, TRAIN, Mode
from convnet.net import Net
from convnet.neurons import IDENT, Neuron
from convnet.ops.base import IN_PLACE, In, InOut, Ops, Out
from convnet.ops.cpu import CpuOps
from convnet.ops.reference import ReferenceOps
from convnet.plan import Buffer, Call, Clock, Recorder, Storage, new_buffer
from convnet.program import Program, compile_program
from convnet.recording import record
from convnet.runner import Runner
from tests.helpers import CLASSES, EVERYTHING, between, layer, make_batch, make_net
from tests.test_shipped_nets import NETS
from tests.test_shipped_nets import graph as shipped_graph

PARTIAL = {"copy_rows", "copy_cases"}
LONG = "resnet50|iresnet|small2"  # nets of hundreds of calls


def roles(call: Call) -> dict[str, str]:
    """How each buffer among the arguments is used: r, w or rw."""
    annotations = inspect.get_annotations(getattr(Ops, call.op), eval_str=True)
    letters = {}
    for name, value in call.args.items():
        if isinstance(value, Buffer):
            role = annotations[name]
            letters[name] = "r" if role in (In, In | None) else "rw" if role is InOut else "w"
            if role is Out and call.args.get("add"):
                letters[name] = "rw"
            if call.op in PARTIAL and role is InOut and not call.args.get("add"):
                letters[name] = "w"  # of some rows or images; other calls write the others
    return letters


def assert_memory_is_safe(program: Program) -> None:
    """Goes through the program and notes for each number in the arena who wrote it last.

    Asserts that every storage is read as it was written, that outputs lie over inputs only where
    the operation works in place, and that kept storages survive.
    """
    writer = np.full(program.arena_size, -1)
    ids: dict[Storage, int] = {}

    def place(storage: Storage) -> slice:
        start = program.offsets[program.owner(storage)]
        return slice(start, start + storage.length(program.batch_size))

    def holds(storage: Storage) -> bool:
        return bool((writer[place(storage)] == ids.get(storage)).all())

    def write(storage: Storage) -> None:
        writer[place(storage)] = ids.setdefault(storage, len(ids))

    for storage in program.kept:  # the data come from outside
        write(storage)
    for call in program.calls:
        buffers = {
            name: (call.args[name].storage, role)
            for name, role in roles(call).items()
            if call.args[name].storage.array is None
        }
        for name, (storage, role) in buffers.items():
            assert "r" not in role or holds(storage), f"{call}: {name} was overwritten"
        for name, (storage, role) in buffers.items():
            if "w" not in role:
                continue
            for other, _ in buffers.values():
                a, b = place(storage), place(other)
                if other is not storage and a.start < b.stop and b.start < a.stop:
                    source, target = IN_PLACE.get(call.op, ("", ""))
                    assert name == target, f"{call}: {name} lies over an input"
                    assert other is buffers[source][0], f"{call}: {name} lies over another input"
                    assert a == b
            write(storage)
    for storage in program.kept:
        assert holds(storage), f"{storage.name} is kept, and was overwritten"


def random_program(rng: np.random.Generator) -> tuple[list[Call], list[Buffer], list[Buffer]]:
    """Calls of random operations, their inputs, and what is kept."""
    recorder = Recorder()
    ops = recorder.as_ops()
    sizes = (3, 5, 40)
    weights = {
        (rows, columns): new_buffer(f"w{rows}x{columns}", (rows, columns), per_case=False)
        for rows in sizes
        for columns in sizes
    }
    # Statistics, gammas and betas.
    affine = {
        size: [new_buffer(f"{n}x{size}", (n, size), per_case=False) for n in (2, 1, 1)]
        for size in sizes
    }
    for buffer in (*weights.values(), *(b for buffers in affine.values() for b in buffers)):
        buffer.storage.array = rng.random(buffer.shape) + 0.1
    inputs = [new_buffer(f"in{size}", (size,)) for size in sizes]
    written = list(inputs)

    def pick(size: int) -> Buffer:
        """Usually a recent one, so that others die."""
        options = [b for b in written if b.storage.size == size]
        return options[max(0, len(options) - 1 - int(rng.exponential(1.5)))]

    for i in range(int(rng.integers(5, 30))):
        size = int(rng.choice(sizes))
        add = rng.random() < 0.25 and len([b for b in written if b.storage.size == size]) > 1
        target = new_buffer(f"b{i}", (size,))
        if add:
            target = [b for b in written if b.storage.size == size][-1]
        sources = [b for b in (pick(size), pick(size)) if b is not target]
        if len(sources) < 2 or target in inputs:
            continue
        normalised = [b.reshape(size, 1, 1) for b in (*sources, target)]
        match rng.integers(9):
            case 0:
                ops.add_scaled(sources[0], 0.5, target, add)
            case 1 if not add:
                ops.eltmax(sources[0], sources[1], target)
            case 2 if not add:
                ops.neuron_fprop(Neuron("tanh", (1.0, 1.0)), sources[0], target)
            case 3:
                ops.neuron_bprop(Neuron("relu"), sources[0], sources[1], target, add)
            case 4 if not add:
                ops.softmax_fprop(sources[0], target)
            case 5 if not add:
                ops.add_scaled(sources[0], 1.0, target)
            case 6 if not add:
                ops.batchnorm_fprop(normalised[0], *affine[size], 0.1, IDENT, normalised[2])
                if rng.random() < 0.5:
                    ops.add_scaled(sources[1], 1.0, target, add=True)
            case 7 if not add:
                relu, grad = (new_buffer(f"{kind}{i}", (size, 1, 1)) for kind in ("relu", "grad"))
                ops.batchnorm_fprop(normalised[0], *affine[size], 0.1, Neuron("relu"), relu)
                ops.neuron_bprop(Neuron("relu"), relu, normalised[1], grad)
                ops.batchnorm_dgrad(normalised[0], *affine[size], 0.1, None, grad, normalised[2])
            case _:
                rows = int(rng.choice(sizes))
                source = pick(rows)
                if source is target:
                    continue
                ops.fc_fprop(source, weights[rows, size], None, IDENT, target, add)
        if not add:
            written.append(target)
    outputs = [b for b in written if rng.random() < 0.15] + written[-1:]
    return recorder.calls, inputs, outputs


def interpret(
    calls: list[Call], inputs: dict[Storage, np.ndarray], cases: int
) -> dict[Storage, np.ndarray]:
    """Runs recorded calls with an array of its own for each storage."""
    ops = ReferenceOps(np.float64)
    arrays = {s: value.copy() for s, value in inputs.items()}

    def array(buffer: Buffer) -> np.ndarray:
        storage = buffer.storage
        if storage.array is not None:
            return np.asarray(storage.array)
        values = arrays.setdefault(storage, np.full((storage.size, cases), np.nan))
        return values.reshape(*buffer.shape, cases)

    for call in calls:
        arguments = {k: array(v) if isinstance(v, Buffer) else v for k, v in call.args.items()}
        getattr(ops, call.op)(**arguments)
    return arrays


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed: int) -> None:
    """The planned program gives, bit for bit, what the recorded calls give."""
    rng = np.random.default_rng(seed)
    calls, inputs, outputs = random_program(rng)
    raw = [Call(call.op, dict(call.args)) for call in calls]
    batch_size = int(rng.integers(1, 7))
    program = compile_program(calls, {}, batch_size, [*inputs, *outputs])
    assert_memory_is_safe(program)

    runner = Runner(ReferenceOps(np.float64))
    runner.reserve(runner.sizes_for(program, program.batch_size))
    for cases in {batch_size, 1}:
        data = {b.storage: rng.standard_normal((b.storage.size, cases)) for b in inputs}
        for buffer in inputs:
            runner.array(program, buffer, cases)[...] = data[buffer.storage]
        runner.run(program, cases, Clock())
        expected = interpret(raw, data, cases)
        for buffer in outputs:
            np.testing.assert_array_equal(
                runner.array(program, buffer, cases), expected[buffer.storage]
            )


@pytest.mark.parametrize("mode", [TRAIN, TEST, CHECK], ids=str)
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        # A smaller net of its kind is among the others.
        pytest.param(name, shape, marks=[pytest.mark.slow] if re.search(LONG, name) else [])
        for name, shape, _ in NETS
        if "tasks" not in name  # as imagenet-resnet50 below its heads
    ],
)
def test_memory_of_shipped_nets(name: str, shape: tuple[int, int, int], mode: Mode) -> None:
    graph = shipped_graph(name, shape)
    for parameter in (p for x in graph.values() for p in x.own_parameters):
        for buffer in (parameter.value, parameter.increment):
            buffer.storage.array = np.zeros(1)  # never looked at here
    for state in (s for x in graph.values() for s in x.states):
        state.value.storage.array = np.zeros(1)
    for keep in ((), tuple(graph)):
        assert_memory_is_safe(record(graph, mode, 3, keep).program)


@pytest.mark.parametrize("mode", [TRAIN, TEST, CHECK], ids=str)
def test_memory_of_a_net_with_everything(mode: Mode) -> None:
    net = make_net(EVERYTHING)
    for batch_size in (1, 4, 33):
        assert_memory_is_safe(record(net.graph, mode, batch_size).program)


HYBRID = between(
    layer("p", "pool", "below", channels=4, sizeX=3, stride=2, pool="max")
    + layer("n", "cmrnorm", "p", channels=4, size=3)
    + layer("f", "fc", "n", outputs=6, initW=0.3, neuron="relu", gpu="0,1")
    + layer("d", "dropout", "f")
    + layer("g", "fc", "d", outputs=6, initW=0.3, neuron="logistic", gpu=1)
    + layer("top", "concat", "g,g")
).replace("initW=0.3\n", "initW=0.3\ngpu=0,1,2,3\n", 1)  # fmt: skip


@pytest.mark.parametrize("conserve", [False, True])
@pytest.mark.parametrize("text", [EVERYTHING, HYBRID], ids=["everything", "hybrid"])
@pytest.mark.parametrize("batch_size", [1, 4, 9])
def test_memory_with_parts_and_repeated_calls(text: str, batch_size: int, conserve: bool) -> None:
    net = make_net(text)
    for keep in ((), tuple(net.graph)):
        assert_memory_is_safe(record(net.graph, TRAIN, batch_size, keep, conserve).program)


@pytest.mark.parametrize("ops", [ReferenceOps(np.float64), CpuOps()], ids=lambda ops: ops.name)
@pytest.mark.parametrize("text", [EVERYTHING, HYBRID], ids=["everything", "hybrid"])
def test_conserving_memory_changes_no_bit(ops: Ops, text: str) -> None:
    nets = [make_net(text, ops=ops, conserve_mem=conserve) for conserve in (False, True)]
    for net in nets:
        for i in range(3):
            net.train_step(make_batch(seed=i), Clock(minibatch=i))
    for name, values in nets[0].state().items():
        np.testing.assert_array_equal(values, nets[1].state()[name], err_msg=name)


def test_conserving_memory_lowers_the_peak() -> None:
    graph = shipped_graph("imagenet-1gpu", (3, 224, 224))
    usual, conserving = (record(graph, TRAIN, 128, (), c).program.arena_size for c in (False, True))
    assert conserving < 0.7 * usual


def test_what_nobody_reads_is_not_computed_again() -> None:
    text = between(layer("top", "pool", "below", channels=4, sizeX=3, stride=2, pool="avg"))
    net = make_net(text, conserve_mem=True)
    calls = [call for call in net.recording(TRAIN).program.calls if call.repeated]
    # The weights above need what the pooling gives, the pooling itself needs nothing.
    assert [str(call).split()[0] for call in calls] == ["pool_avg_fprop"]


@pytest.mark.parametrize("ops", [ReferenceOps(np.float64), CpuOps()], ids=lambda ops: ops.name)
def test_sharing_memory_changes_no_bit(ops: Ops, monkeypatch: pytest.MonkeyPatch) -> None:
    def place_side_by_side(program: Program) -> None:
        for storage in program.kept.union(*(call.storages() for call in program.calls)):
            if storage.array is None:
                program.offsets[storage] = program.arena_size
                program.arena_size += storage.size * program.batch_size

    def train(net: Net) -> Program:
        for i in range(3):
            net.train_step(make_batch(seed=i), Clock(minibatch=i))
        return net.recording(TRAIN).program

    shared, apart = make_net(EVERYTHING, ops=ops), make_net(EVERYTHING, ops=ops)
    planned = train(shared)
    monkeypatch.setattr(programs, "_alias", lambda program: None)
    monkeypatch.setattr(programs, "_place", place_side_by_side)
    unplanned = train(apart)
    assert planned.owners
    assert not unplanned.owners
    assert planned.arena_size < unplanned.arena_size / 2
    for name, values in shared.state().items():
        np.testing.assert_array_equal(values, apart.state()[name])


def test_two_buffers_serve_a_long_chain() -> None:
    names = [f"f{i}" for i in range(9)]
    layers = "".join(
        layer(name, "fc", below, outputs=160)
        for below, name in zip(["below", *names], [*names, "top"], strict=True)
    )
    program = make_net(between(layers)).recording(TEST).program
    data = 4 * (70 + 1 + CLASSES) + 3  # images, labels, predictions and the values of the cost
    assert program.arena_size <= data + 4 * programs.ALIGNMENT + 2 * 4 * 160
