"""Recording, fusing, working in place, and the printed form of programs."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from convnet.layer_types.base import CHECK, TEST, TRAIN, Mode
from convnet.neurons import IDENT, Neuron
from convnet.ops.base import IN_PLACE, In, Ops, Out
from convnet.ops.reference import ReferenceOps
from convnet.plan import Clock, Part, Recorder, new_buffer
from convnet.program import Program, compile_program
from convnet.runner import Runner
from tests.helpers import between, layer, make_net

RELU = Neuron("relu")


# --- recording ----------------------------------------------------------------------------------


def test_recorder_names_all_arguments() -> None:
    recorder = Recorder()
    a, b = new_buffer("a", (3,)), new_buffer("b", (3,))
    recorder.as_ops().add_scaled(a, 2.0, acts=b)
    (call,) = recorder.calls
    assert call.op == "add_scaled"
    assert call.args == {"inputs": a, "scale": 2.0, "acts": b, "add": False}
    assert call.storages() == {a.storage, b.storage}


def test_recorder_knows_only_operations() -> None:
    with pytest.raises(AttributeError, match="frobnicate"):
        Recorder().as_ops().frobnicate()  # type: ignore[attr-defined]


def test_in_place_operations_have_these_arguments() -> None:
    for op, (source, target) in IN_PLACE.items():
        annotations = inspect.get_annotations(getattr(Ops, op), eval_str=True)
        assert (annotations[source], annotations[target]) == (In, Out)


def test_buffers() -> None:
    buffer = new_buffer("x", (2, 3, 5))
    assert (buffer.storage.size, str(buffer)) == (30, "x(2x3x5)")
    assert buffer.reshape(-1).shape == (30,)
    assert buffer.reshape(6, -1).shape == (6, 5)
    assert buffer.reshape(5, 6).storage is buffer.storage


def test_rows_of_a_buffer() -> None:
    buffer = new_buffer("w", (6, 5), per_case=False)
    rows = buffer.rows(2, 3).rows(1, 2)
    assert (rows.shape, rows.start, str(rows)) == ((2, 5), 15, "w+15(2x5)")
    assert (rows.reshape(-1).start, rows.is_whole, buffer.rows(0, 6).is_whole) == (15, False, True)
    buffer.storage.array = np.arange(30.0).reshape(6, 5)
    program = compile_program([], {}, 1, [])
    assert program.resolve(rows, None, 1).ravel().tolist() == list(range(15, 25))


def test_rows_of_activities() -> None:
    recorder = Recorder()
    x, y = new_buffer("x", (4,)), new_buffer("y", (4,))
    recorder.as_ops().add_scaled(x.rows(0, 2), 2.0, y.rows(2, 2))
    recorder.as_ops().add_scaled(x.rows(2, 2), 3.0, y.rows(0, 2))
    program = compile_program(recorder.calls, {}, 3, [x, y])
    runner = Runner(ReferenceOps())
    runner.reserve(runner.sizes_for(program, program.batch_size))
    runner.array(program, x, 2)[...] = np.arange(8.0).reshape(4, 2)
    runner.run(program, 2, Clock())
    assert runner.array(program, y, 2).tolist() == [[12, 15], [18, 21], [0, 2], [4, 6]]


def test_a_layer_that_writes_rows_keeps_its_neuron_apart() -> None:
    recorder = Recorder()
    ops, (x, w, y, z) = recorder.as_ops(), (new_buffer(name, (4, 4)) for name in "xwyz")
    for first in (0, 2):
        ops.fc_fprop(x, w, None, IDENT, y.rows(first, 2))
    ops.neuron_fprop(RELU, y, z)
    program = compile_program(recorder.calls, {}, 3, [x])
    assert [call.op for call in program.calls] == ["fc_fprop", "fc_fprop", "neuron_fprop"]


def test_parts_of_a_minibatch() -> None:
    part = Part(first=2, count=2, of=4)
    assert [part.span(cases) for cases in (8, 10, 5, 1)] == [(4, 8), (6, 10), (4, 5), (1, 1)]
    assert [Part(3, 1, 4).cases(cases) for cases in (8, 10, 5)] == [2, 1, 0]


# --- fusing -------------------------------------------------------------------------------------


def forward_ops(net_text: str, mode: Mode = TEST, keep: tuple[str, ...] = ()) -> list[str]:
    program = make_net(net_text, keep=keep).recording(mode).program
    return [
        call.op + (f"+{call.args['neuron']}" if call.args.get("neuron", IDENT) != IDENT else "")
        for call in program.calls[: program.marks["backward"]]
    ]


CONV = layer("top", "conv", "below", channels=4, filters=2, filterSize=3, neuron="relu")
TAIL = ["fc_fprop", "softmax_logreg_fprop"]


@pytest.mark.parametrize("mode", [TEST, TRAIN, CHECK], ids=str)
def test_neuron_joins_its_convolution(mode: Mode) -> None:
    assert forward_ops(between(CONV), mode) == ["conv_fprop", "conv_fprop+relu", *TAIL]
    local = CONV.replace("=conv", "=local")
    assert forward_ops(between(local), mode) == ["conv_fprop", "local_fprop+relu", *TAIL]


def test_neuron_joins_the_last_of_several_inputs() -> None:
    fc = layer("top", "fc", "below,data,below", outputs=3, neuron="relu")
    assert forward_ops(between(fc), TRAIN) == [
        "conv_fprop", "fc_fprop", "fc_fprop", "fc_fprop+relu", *TAIL,
    ]  # fmt: skip
    calls = make_net(between(fc)).recording(TRAIN).program.calls[1:4]
    assert [call.args["acts"].storage.name for call in calls] == ["top_neuron"] * 3
    assert [call.args["add"] for call in calls] == [False, True, True]
    assert [call.args["biases"] is None for call in calls] == [True, True, False]


def test_neuron_whose_derivative_needs_its_input_joins_only_without_backward_pass() -> None:
    fc = layer("top", "fc", "below", outputs=3, neuron="abs")
    assert forward_ops(between(fc), TEST)[1] == "fc_fprop+abs"
    assert forward_ops(between(fc), TRAIN)[1:3] == ["fc_fprop", "neuron_fprop+abs"]


def test_neuron_does_not_join_if_the_sum_is_used_elsewhere() -> None:
    fc = layer("mid", "fc", "below", outputs=3) + layer("act", "neuron", "mid", neuron="relu")
    fc += layer("top", "eltsum", "mid,act")
    assert forward_ops(between(fc))[1:3] == ["fc_fprop", "neuron_fprop+relu"]


def test_neuron_does_not_join_if_the_sum_is_kept() -> None:
    fc = layer("top", "fc", "below", outputs=3, neuron="abs")  # `top` stands for the sum then
    assert forward_ops(between(fc), keep=("top",))[1:3] == ["fc_fprop", "neuron_fprop+abs"]
    assert forward_ops(between(fc), keep=("top_neuron",))[1] == "fc_fprop+abs"


def test_two_neurons_on_one_sum_do_not_join() -> None:
    fc = layer("mid", "fc", "below", outputs=3) + layer("a", "neuron", "mid", neuron="relu")
    fc += layer("b", "neuron", "mid", neuron="logistic") + layer("top", "eltsum", "a,b")
    assert forward_ops(between(fc))[1:4] == [
        "fc_fprop", "neuron_fprop+relu", "neuron_fprop+logistic",
    ]  # fmt: skip


def test_only_the_first_of_two_neurons_joins() -> None:
    fc = layer("a", "fc", "below", outputs=3, neuron="relu")
    fc += layer("top", "neuron", "a", neuron="logistic")
    assert forward_ops(between(fc))[1:3] == ["fc_fprop+relu", "neuron_fprop+logistic"]


def test_softmax_and_cost_do_not_join_if_the_gradient_between_is_kept() -> None:
    def ops(keep: tuple[str, ...]) -> list[str]:
        return [c.op for c in make_net(between(CONV), keep=keep).recording(TRAIN).program.calls]

    assert "softmax_logreg_bprop" in ops(())
    assert {"logreg_bprop", "softmax_bprop"} <= set(ops(("probs",)))


def test_marks_move_with_the_calls() -> None:
    program = make_net(between(CONV)).recording(TRAIN).program
    assert program.calls[program.marks["backward"]].op == "softmax_logreg_bprop"
    assert program.calls[program.marks["backward"] - 1].op == "softmax_logreg_fprop"


def test_weights_learn_as_soon_as_their_gradient_is_complete() -> None:
    shared = CONV + layer("again", "fc", "top", outputs=5) + layer("more", "fc", "again", outputs=5)
    fc = layer("last", "fc", "more", outputs=5, weightSource="more")
    calls = make_net(
        between(shared + fc).replace("inputs=top\noutputs=3", "inputs=last\noutputs=3")
    )
    order = [
        (call.op, call.args["weights" if call.op == "sgd" else "weights_grad"].storage.name)
        for call in calls.recording(TRAIN).program.calls
        if call.op in ("sgd", "fc_wgrad")
    ]
    assert [name for op, name in order if name.startswith("more.weights")] == [
        "more.weights.0.grad", "more.weights.0.grad", "more.weights.0",
    ]  # fmt: skip


# --- aliasing and placement ---------------------------------------------------------------------


def chain(*kept: str, read_again: bool = False) -> Program:
    """x -> relu -> y -> scaled -> z, all of 8 numbers per image."""
    recorder = Recorder()
    ops = recorder.as_ops()
    x, y, z, w = (new_buffer(name, (8,)) for name in "xyzw")
    ops.softmax_fprop(x, y)
    ops.add_scaled(y, 2.0, z)
    if read_again:
        ops.eltmax(y, z, w)
    buffers = {"x": x, "y": y, "z": z}
    return compile_program(recorder.calls, {}, 2, [buffers[name] for name in kept])


def owners(program: Program) -> dict[str, str]:
    return {s.name: program.owner(s).name for call in program.calls for s in call.storages()}


def test_elementwise_operations_work_in_place() -> None:
    assert owners(chain("x")) == {"x": "x", "y": "y", "z": "y"}
    assert owners(chain()) == {"x": "x", "y": "x", "z": "x"}


def test_what_is_kept_or_read_again_is_not_overwritten() -> None:
    assert owners(chain("x", "y")) == {"x": "x", "y": "y", "z": "z"}
    assert owners(chain("x", "z")) == {"x": "x", "y": "y", "z": "z"}
    assert owners(chain("x", read_again=True)) == {"x": "x", "y": "y", "z": "z", "w": "y"}


def test_weights_are_not_overwritten() -> None:
    recorder = Recorder()
    weights, y = new_buffer("weights", (4,), per_case=False), new_buffer("y", (4,), per_case=False)
    weights.storage.array = np.zeros(4)
    recorder.as_ops().add_scaled(weights, 2.0, y)
    program = compile_program(recorder.calls, {}, 1, [])
    assert owners(program) == {"weights": "weights", "y": "y"}
    assert weights.storage not in program.offsets


def test_a_sum_that_is_begun_is_not_moved() -> None:
    """With add=True the output holds something already."""
    recorder = Recorder()
    ops = recorder.as_ops()
    a, b, y = (new_buffer(name, (8,)) for name in "aby")
    ops.softmax_fprop(a, b)
    ops.softmax_fprop(a, y)
    ops.add_scaled(b, 1.0, y, add=True)
    program = compile_program(recorder.calls, {}, 1, [a, y])
    assert owners(program) == {"a": "a", "b": "b", "y": "y"}


# --- printing -----------------------------------------------------------------------------------


def test_printed_program() -> None:
    recorder = Recorder()
    ops = recorder.as_ops()
    x, y, z = (new_buffer(name, (size,)) for name, size in (("x", 3), ("y", 5), ("z", 5)))
    weights, grad = (new_buffer(n, (3, 5), per_case=False) for n in ("fc.weights.0", "grad"))
    weights.storage.array = np.zeros((3, 5))
    ops.fc_fprop(x, weights, None, RELU, y)
    ops.add_scaled(y, 2.0, z)
    ops.fc_wgrad(x, z, grad, add=True)
    program = compile_program(recorder.calls, {"backward": 2}, 1000, [x])
    assert str(program).splitlines() == [
        "   0  fc_fprop             inputs=x(3), weights=fc.weights.0(3x5), neuron=relu, acts=y(5)",
        "   1  add_scaled           inputs=y(5), acts=z(5)",
        "# backward",
        "   2  fc_wgrad             inputs=x(3), acts_grad=z(5), weights_grad=grad(3x5), add=True",
        # x 3000 and y, z 5000 numbers; grad 15; in cache lines of 16
        "# buffers: place and size in KiB",
        "       0.0       19.6  y",
        "      19.6       11.8  x",
        "      31.3        0.1  grad",
        "          in place of  y: z",
        "# arena 0.0 MiB for 1000 images; without sharing 0.0 MiB",
    ]
    assert program.arena_size == 3008 + 5008 + 16


def test_sizes_are_printed_with_and_without_sharing() -> None:
    recorder = Recorder()
    x, y = new_buffer("x", (1024,)), new_buffer("y", (1024,))
    recorder.as_ops().softmax_fprop(x, y)
    program = compile_program(recorder.calls, {}, 512, [])
    assert str(program).endswith("# arena 2.0 MiB for 512 images; without sharing 4.0 MiB")
