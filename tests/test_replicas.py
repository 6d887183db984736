"""Several devices on one: data and model parallelism, hybrid nets, update periods.

What hybrid nets should do is computed here from the gradients of a plain net, microbatch by
microbatch, with the update rule written out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from convnet.layer_types.base import CHECK, TRAIN
from convnet.net import Net
from convnet.plan import Clock
from tests.helpers import (
    BELOW,
    CLASSIFIER,
    DATA,
    between,
    config_error,
    layer,
    make_batch,
    make_net,
)

BATCH = 8
RATES = {"weights": (0.1, 0.5, 0.01), "biases": (0.2, 0.25, 0.0)}  # of tests.helpers.PARAMETERS


def net_text(conv: str = "", upper: str = "") -> str:
    """A convolution and two fc layers, with values of gpu for the two parts."""

    def on(text: str, devices: str) -> str:
        return text + f"gpu={devices}\n" if devices else text

    top = layer("top", "fc", "below", outputs=5, initW=0.3, neuron="tanh[1,1]")
    return DATA + on(BELOW, conv) + on(top, upper) + CLASSIFIER


def run(net: Net, steps: int, cases: int = BATCH) -> dict[str, np.ndarray]:
    """The state after some minibatches, all different."""
    for step in range(steps):
        net.train_step(make_batch(cases=cases, seed=step), Clock(minibatch=step, steps=step))
    return net.state()


def expected(
    steps: int,
    periods: dict[str, int],
    replicas: dict[str, int],
    cases: int = BATCH,
    text: str = "",
) -> dict[str, np.ndarray]:
    """The state after some minibatches, from the definition of passes and periods.

    Args:
        periods, replicas: by layer.
    """
    net = make_net(text or net_text(), batch_size=BATCH)
    most, least = max(replicas.values()), min(replicas.values())
    passes = most // least
    micro = -(-cases // most)
    sums: dict[str, np.ndarray] = {}
    increments = {name: np.zeros(p.shape) for name, p in net.parameters.items()}
    for step in range(steps):
        batch = make_batch(cases=cases, seed=step)
        for number in range(passes):
            part = [m[:, number * least * micro :][:, : least * micro] for m in batch]
            empty = part[0].shape[1] == 0
            if not empty:
                net.forward(part, CHECK)
                net.backward()
            gradients = {n: np.zeros(()) if empty else net.gradient(n) for n in net.parameters}
            for name, gradient in gradients.items():
                owner, kind = name.split(".")[:2]
                active = replicas[owner] // least
                if empty and active == 1:
                    continue  # no images, no update
                period = max(periods.get(owner, 0), active)
                done = step * passes + number + 1
                sums[name] = sums.get(name, 0) + gradient
                # Layers with more replicas run once for several of these passes.
                if done % period == 0:
                    rate, momentum, decay = RATES[kind]
                    divisor = period * (-(-BATCH // passes) if kind == "biases" else BATCH / passes)
                    weights = net.get_weights(name)
                    increments[name] = (
                        momentum * increments[name]
                        - rate / divisor * sums.pop(name)
                        - decay * rate * weights
                    )
                    net.set_weights(name, weights + increments[name])
    return {name: net.get_weights(name) for name in net.parameters} | {
        f"{name}.inc": values for name, values in increments.items()
    }


def assert_equal(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    for name, values in wanted.items():
        np.testing.assert_allclose(got[name], values, rtol=1e-11, atol=1e-13, err_msg=name)


ONE = {"below": 1, "top": 1, "scores": 1}


def replicas(below: int, top: int, scores: int | None = None) -> dict[str, int]:
    return {"below": below, "top": top, "scores": top if scores is None else scores}


def period(**periods: int) -> str:
    return "".join(f"[{name}]\nupdatePeriod={value}\n" for name, value in periods.items())


@pytest.mark.parametrize("devices", ["0,1", "3,1,2,0", "0"])
def test_data_parallelism_is_one_device_with_the_whole_minibatch(devices: str) -> None:
    states = [run(make_net(net_text(on), batch_size=BATCH), 3) for on in ("", devices)]
    for name, values in states[0].items():
        np.testing.assert_array_equal(states[1][name], values, err_msg=name)


def test_model_parallelism_is_one_device() -> None:
    split = (
        layer("a", "fc", "below", outputs=3, initW=0.3, gpu=0)
        + layer("b", "fc", "below", outputs=2, initW=0.3, gpu=1)
        + layer("top", "concat", "a,b", gpu=1)
    )
    plain = make_net(between(split.replace("gpu=0\n", "").replace("gpu=1\n", "")))
    assert_equal(run(make_net(between(split)), 2, 4), run(plain, 2, 4))


@pytest.mark.parametrize("cases", [8, 7, 5, 2])
@pytest.mark.parametrize(("conv", "count"), [("0,1", 2), ("0,1,2,3", 4)])
def test_hybrid_nets_learn_after_each_microbatch(conv: str, count: int, cases: int) -> None:
    """The fully-connected part sees the minibatch in `count` passes and learns after each.

    Where images are few, the last microbatches are smaller or empty.
    """
    net = make_net(net_text(conv, "0"), batch_size=BATCH)
    wanted = expected(3, {}, replicas(count, 1), cases)
    assert_equal(run(net, 3, cases), wanted)


@pytest.mark.parametrize("value", [1, 2, 4, 8, 3, 6])
def test_hybrid_nets_with_a_period(value: int) -> None:
    """1: after each pass; 4: once a minibatch; more, or 3: sums that cross minibatches."""
    net = make_net(net_text("0,1,2,3", "0"), period(top=value), batch_size=BATCH)
    assert_equal(run(net, 5), expected(5, {"top": value}, replicas(4, 1)))
    assert ("top.weights.0.grad" in net.state()) == (4 % value != 0)


def test_a_period_of_all_passes_is_one_device_with_the_whole_minibatch() -> None:
    periods = period(top=2, scores=2)
    hybrid = make_net(net_text("0,1", "0"), periods, batch_size=BATCH)
    assert_equal(run(hybrid, 2), run(make_net(net_text(), batch_size=BATCH), 2))


def test_period_of_a_plain_net() -> None:
    net = make_net(net_text(), period(below=3, top=2), batch_size=BATCH)
    assert_equal(run(net, 7), expected(7, {"below": 3, "top": 2}, ONE))


def test_three_numbers_of_replicas() -> None:
    text = net_text("0,1,2,3", "0,1").replace("inputs=top\n", "inputs=top\ngpu=1\n")
    net = make_net(text, batch_size=BATCH)
    # `top` runs twice a minibatch, on two microbatches at a time, and learns after each.
    calls = [c.op for c in net.recording(TRAIN).program.calls if c.op == "copy_cases"]
    # Into `top`, twice; into `scores` and of the labels, four times; gradients back, 4 + 2.
    assert len(calls) == 2 + 4 + 4 + 2 + 4 + 2
    assert_equal(run(net, 3), expected(3, {}, replicas(4, 2, 1)))


def test_costs_are_those_of_the_whole_minibatch() -> None:
    plain = make_net(net_text(), batch_size=BATCH)
    hybrid = make_net(net_text("0,1,2,3", "0"), period(top=4, scores=4), batch_size=BATCH)
    for cases in (8, 5):
        costs, wanted = (net.train_step(make_batch(cases=cases))["cost"] for net in (hybrid, plain))
        np.testing.assert_allclose(costs, wanted, rtol=1e-12)


def test_outputs_of_all_parts_are_read_together() -> None:
    kept = {"batch_size": BATCH, "keep": ["probs"]}
    hybrid = make_net(net_text("0,1", "0"), period(top=2, scores=2), **kept)
    plain = make_net(net_text(), **kept)
    for net in (hybrid, plain):
        net.train_step(make_batch(cases=7))
    np.testing.assert_allclose(hybrid.activity("probs"), plain.activity("probs"), rtol=1e-12)


def test_testing_and_gradient_checks_know_no_passes() -> None:
    hybrid, plain = make_net(net_text("0,1", "0")), make_net(net_text())
    for mode in (CHECK,):
        got, wanted = ([c.op for c in n.recording(mode).program.calls] for n in (hybrid, plain))
        assert got == wanted


def test_parts_draw_random_numbers_of_their_own() -> None:
    text = net_text("0,1", "0").replace("inputs=top\n", "inputs=drop\n")
    text = text.replace("[scores]", layer("drop", "dropout", "top") + "[scores]")
    net = make_net(text, batch_size=2, keep=["drop"])
    same = [np.repeat(m[:, :1], 2, axis=1) for m in make_batch()]
    net.train_step(same)
    drawn = net.activity("drop") == 0
    assert (drawn[..., 0] != drawn[..., 1]).any()


def test_carried_gradients_are_saved_and_loaded() -> None:
    def fresh() -> Net:
        return make_net(net_text(), period(top=3), batch_size=BATCH)

    whole, first, second = fresh(), fresh(), fresh()
    wanted = run(whole, 4)
    for step in range(4):
        net = first if step < 2 else second
        if step == 2:
            second.load_state(first.state())
        net.train_step(make_batch(cases=BATCH, seed=step), Clock(minibatch=step, steps=step))
    for name, values in wanted.items():
        np.testing.assert_array_equal(second.state()[name], values, err_msg=name)


def test_a_changed_period_drops_or_begins_the_sums() -> None:
    with_sums, without = make_net(net_text(), period(top=3)), make_net(net_text())
    run(with_sums, 1, 4)
    state = with_sums.state()
    without.load_state(state)
    assert "top.weights.0.grad" not in without.state()
    with_sums.load_state(without.state())
    assert not with_sums.state()["top.weights.0.grad"].any()


def errors(text: str, extra: str = "") -> Sequence[str]:
    return [line.partition(": ")[2] for line in config_error(text, extra).splitlines()]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            net_text("0", "0,1"),
            ["Layer 'top': gpu: its number of devices, 2, must divide that of its inputs; "
             "'below_neuron' has 1"],
        ),
        (
            between(
                layer("a", "fc", "below", outputs=3, gpu="0,1")
                + layer("b", "fc", "below", outputs=3, gpu=0)
                + layer("top", "eltsum", "a,b")
            ).replace("initW=0.3\n", "initW=0.3\ngpu=0,1\n", 1),
            ["Layer 'top': gpu: its inputs must have equal numbers of devices; 'a' has 2; "
             "'b' has 1",
             "Layer 'below': gpu: all its users must have equal numbers of devices; found 1, 2"],
        ),
        (
            net_text("0,1", "0,1").replace("labels,probs\n", "labels,probs\ngpu=0\n"),
            ["Layer 'cost': gpu: a cost must have as many devices as its inputs, not 1; "
             "'probs' has 2"],
        ),
        (
            between(
                layer("a", "fc", "below", outputs=140, gpu="0,1", initW=0.1)
                + layer("top", "fc", "a", outputs=140, weightSource="a", gpu=0)
            ).replace("initW=0.3\n", "initW=0.3\ngpu=0,1\n", 1),
            ["Layer 'top': gpu: it shares weights with 'a', which has 2 devices, not 1"],
        ),
    ],
)  # fmt: skip
def test_mistakes_of_devices(text: str, says: list[str]) -> None:
    assert errors(text.replace("neuron=relu", "")) == [s.replace("_neuron", "") for s in says]


def test_period_must_fit_the_passes() -> None:
    make_net(net_text("0,1", "0"), period(below=1))  # as soon as it has run
    assert errors(net_text("0,1", "0"), period(below=3)) == [
        "Layer 'below': updatePeriod must be a multiple of 2, the passes in which the layer is run "
        "once; found 3"
    ]


@pytest.mark.parametrize("value", ["0,0", "a", "1.5", ""])
def test_devices_are_different_numbers(value: str) -> None:
    (error,) = errors(net_text("0").replace("gpu=0\n", f"gpu={value}\n"))
    assert error == (
        f"Layer 'below': parameter 'gpu' is '{value}': expected a comma-separated list of "
        "different device numbers"
    )
