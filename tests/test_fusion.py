"""What is left out and merged, in residual nets and at their top, and that it changes no bit."""

from __future__ import annotations

import numpy as np
import pytest

from convnet import program
from convnet.layer_types.base import TEST, TRAIN, Mode
from convnet.ops.base import Ops
from convnet.ops.cpu import CpuOps
from convnet.ops.reference import ReferenceOps
from convnet.plan import Call, Recorder, new_buffer
from tests.helpers import between, layer, make_batch, make_net

CONV = {"channels": 4, "filters": 4, "filterSize": 3, "padding": 1, "initW": 0.3, "biases": 0}
PROJECTION = CONV | {"filterSize": 1, "padding": 0}

# Two blocks: one whose shortcut is its input, and one with a projection.
RESIDUAL = between(
    layer("n0", "batchnorm", "below", neuron="relu")
    + layer("c1", "conv", "n0", **CONV)
    + layer("n1", "batchnorm", "c1", neuron="relu")
    + layer("c2", "conv", "n1", **CONV)
    + layer("n2", "batchnorm", "c2")
    + layer("s1", "eltsum", "n2,n0", neuron="relu")
    + layer("p", "conv", "s1", **PROJECTION)
    + layer("np", "batchnorm", "p")
    + layer("c3", "conv", "s1", **CONV)
    + layer("n3", "batchnorm", "c3")
    + layer("top", "eltsum", "n3,np", neuron="relu")
)


def calls(mode: Mode, text: str = RESIDUAL, keep: tuple[str, ...] = ()) -> list[Call]:
    return make_net(text, keep=keep).recording(mode).program.calls


def count(found: list[Call], op: str) -> int:
    return sum(call.op == op for call in found)


@pytest.mark.parametrize("mode", [TRAIN, TEST], ids=str)
def test_forward_passes_are_merged(mode: Mode) -> None:
    found = [c for c in calls(mode) if c.op == "batchnorm_fprop"]
    assert [(c.layer, str(c.args["neuron"]), c.args["others"] is not None) for c in found] == [
        ("n0", "relu", False),
        ("n1", "relu", False),
        ("n2", "relu", True),
        ("np", "ident", False),
        ("n3", "relu", True),
    ]
    assert count(calls(mode), "neuron_fprop") == 0


def test_gradients_are_neither_copied_nor_masked_by_themselves() -> None:
    found = calls(TRAIN)
    big = [c for c in found if c.op == "add_scaled" and c.args["acts"].storage.per_case]
    assert big == []
    assert [c.layer for c in found if c.op == "neuron_bprop"] == ["top_neuron", "s1_neuron"]
    sums = {c.layer: c.args["relu"] for c in found if c.op == "batchnorm_sums"}
    assert sums == {"n0": True, "n1": True, "n2": False, "np": False, "n3": False}


def test_what_is_kept_is_not_merged() -> None:
    """A net whose outputs and gradients are looked at."""
    kept = calls(TRAIN, keep=("n2", "n3", "np", "s1"))
    assert [c.layer for c in kept if c.op == "batchnorm_fprop" and c.args["others"]] == []
    copies = [c.layer for c in kept if c.op == "add_scaled" and c.args["acts"].storage.per_case]
    assert copies == ["s1", "s1", "top", "top", "top", "top", "s1"]


def test_a_sum_with_coefficients_stays() -> None:
    scaled = RESIDUAL.replace("inputs=n3,np\n", "inputs=n3,np\ncoeffs=1,0.5\n")
    assert scaled != RESIDUAL
    (last,) = [c for c in calls(TEST, scaled) if c.layer == "n3"]
    assert last.args["others"] is None


@pytest.mark.parametrize("mode", [TRAIN, TEST], ids=str)
def test_the_first_cost_of_probabilities_is_merged(mode: Mode) -> None:
    both = RESIDUAL + layer("second", "cost.logreg", "labels,probs")
    first, second = (c for c in calls(mode, both) if "top" in c.args)
    assert [(c.op, c.layer) for c in (first, second)] == [
        ("softmax_logreg_fprop", "cost"),
        ("logreg_cost", "second"),
    ]
    assert first.args["acts"] == second.args["probs"]


@pytest.mark.parametrize("between_them", ["reads", "writes"])
def test_a_softmax_stays_if_something_comes_between(between_them: str) -> None:
    recorder = Recorder()
    ops = recorder.as_ops()
    labels, x, probs, other = (
        new_buffer(n, (s,)) for n, s in zip("lxpo", (1, 8, 8, 8), strict=True)
    )
    values = new_buffer("values", (3,), per_case=False)
    ops.softmax_fprop(x, probs)
    if between_them == "reads":
        ops.add_scaled(probs, 2.0, other)
    else:
        ops.add_scaled(other, 2.0, x)
    ops.logreg_cost(labels, probs, 1, values)
    assert not program.judge_while_predicting(recorder.calls)
    assert [c.op for c in recorder.calls] == ["softmax_fprop", "add_scaled", "logreg_cost"]


@pytest.mark.parametrize("ops", [ReferenceOps(np.float64), CpuOps()], ids=lambda ops: ops.name)
@pytest.mark.parametrize("conserve", [False, True])
def test_no_bit_changes(ops: Ops, conserve: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    merged = make_net(RESIDUAL, ops=ops, conserve_mem=conserve)
    for mode in (TRAIN, TEST):
        merged.recording(mode)
    for name in (
        "leave_out_copies",
        "add_while_normalising",
        "judge_while_predicting",
        "take_gradients_through_relus",
    ):
        monkeypatch.setattr(program, name, lambda *args: set())
    plain = make_net(RESIDUAL, ops=ops)
    for seed in range(3):
        costs = [net.train_step(make_batch(seed=seed)) for net in (merged, plain)]
        np.testing.assert_array_equal(costs[0]["cost"], costs[1]["cost"])
    tests = [net.forward(make_batch(seed=4), TEST)["cost"] for net in (merged, plain)]
    np.testing.assert_array_equal(tests[0], tests[1])
    for name, values in plain.state().items():
        np.testing.assert_array_equal(merged.state()[name], values, err_msg=name)
