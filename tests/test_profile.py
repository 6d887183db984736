"""The table of how long each operation takes."""

from __future__ import annotations

import numba
import pytest

from convnet import cli, profile
from convnet.layer_types.base import TEST, TRAIN
from convnet.ops.cpu import CpuOps
from convnet.plan import Call, Part, new_buffer
from tests.helpers import BELOW, CLASSES, DATA, EVERYTHING, layer, make_net
from tests.train.helpers import SHAPE, Workplace


@pytest.fixture
def arguments(tmp_path):
    place = Workplace(tmp_path)
    threads = numba.get_num_threads()
    yield [
        "profile",
        f"--layer-def={place.definition}",
        f"--layer-params={place.parameters}",
        f"--input-shape={'x'.join(map(str, SHAPE))}",
        "--mini=4",
    ]
    numba.set_num_threads(threads)


def test_a_row_for_each_call(arguments, monkeypatch, capsys):
    monkeypatch.setattr(profile, "measure_peak", lambda: profile.Peak(1e12, 1e11))
    assert cli.main([*arguments, "--threads=1"]) == 0
    header, *rows, whole, peak = capsys.readouterr().out.splitlines()
    assert header.split("  ")[-4:] == ["GFLOP/s", "of peak", "GB/s", "of peak"]
    names = [row.split()[1:3] for row in rows]
    assert names[0] == ["conv", "conv_fprop"]
    assert ["fc", "fc_wgrad"] in names
    assert ["fc", "sgd"] in names
    assert [row.split()[0] for row in rows] == [str(i) for i in range(len(rows))]
    assert whole.startswith("    whole step")
    assert "100.0%" in whole
    assert peak == "peak, measured: 1000 GFLOP/s, 100.0 GB/s"

    assert cli.main([*arguments, "--test=1"]) == 0
    assert not any("sgd" in row or "grad" in row for row in capsys.readouterr().out.splitlines())


def test_every_operation_can_be_counted():
    net = make_net(EVERYTHING, batch_size=3)
    timings = profile.profile(net, TRAIN, repeats=1)
    assert [t.call for t in timings] == net.recording(TRAIN).program.calls
    for t in timings:
        products = t.call.op.startswith(("conv_", "local_", "fc_"))
        assert (t.flops > 0) == products, t.call
        assert t.bytes > 0
        assert t.call.layer in net.graph


def test_sizes_of_a_call():
    source, weights, target = (
        new_buffer(name, shape, per_case=name != "w")
        for name, shape in (("x", (10,)), ("w", (10, 4)), ("y", (4,)))
    )
    args = {"inputs": source, "weights": weights, "acts": target, "add": False}
    call = Call("fc_fprop", args)
    assert profile.count_flops(call, 8) == 2 * 10 * 4 * 8
    assert profile.count_bytes(call, 8) == 4 * (10 * 8 + 10 * 4 + 4 * 8)
    assert profile.count_bytes(Call("fc_fprop", args | {"add": True}), 8) == (
        4 * (10 * 8 + 10 * 4 + 2 * 4 * 8)
    )
    # Half of the minibatch.
    assert profile.count_flops(Call("fc_fprop", args, Part(0, 1, 2)), 8) == 2 * 10 * 4 * 4


def test_the_peak_is_that_of_the_machine():
    peak = profile.measure_peak()
    assert 1e8 < peak.bytes < 1e13
    assert 1e8 < peak.flops < 1e15


def test_weights_of_a_testing_step_stay():
    net = make_net(EVERYTHING, ops=CpuOps(), batch_size=3)
    before = net.state()
    profile.profile(net, TEST, repeats=1)
    assert all((before[name] == value).all() for name, value in net.state().items())


@pytest.mark.parametrize("kind", ["margin", "hingeloss", "center", "triplet"])
def test_the_minibatch_that_is_made_up_suits_the_costs(kind):
    scores = "cosfc" if kind == "margin" else "fc"
    keys = {"classes": CLASSES} if kind == "center" else {}
    text = layer("scores", scores, "below", outputs=CLASSES, initW=0.1)
    text = DATA + BELOW + text + layer("cost", f"cost.{kind}", "labels,scores", **keys)
    net = make_net(text)
    net.train_step(profile.random_batch(net))
