"""A run that was stopped and goes on ends with the very bits of one that was not."""

import shutil
import signal
import time

import numpy as np
import pytest

from convnet import cli
from convnet.checkpoint import checkpoint_files
from convnet.layer_types.base import TEST
from convnet.net import Net
from tests.train.helpers import (
    Workplace,
    as_arguments,
    assert_same,
    start_process,
    write_batches,
)

STEPS = 12 * 3  # batches times minibatches


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("resume"))
    assert place.train("whole") == 0
    return place


@pytest.fixture
def run(request):
    """A name for the run of a test."""
    return request.node.name


def test_the_same_run_twice(place, run):
    assert place.train(run) == 0
    assert_same(place.checkpoint(run), place.checkpoint("whole"))


def test_another_seed_is_another_run(place, run):
    assert place.train(run, seed=1) == 0
    weights = place.checkpoint(run).weights["fc.weights.0"]
    assert not np.array_equal(weights, place.checkpoint("whole").weights["fc.weights.0"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize("step", [1, 2, 3, 14, 15, STEPS])
def test_stopped_in_a_minibatch(place, run, signals_at, number, step, capsys):
    signals_at(step, numbers=(number,))
    assert place.train(run) == 0
    stopped = place.checkpoint(run).state
    batch = (step - 1) // 3
    assert (stopped.epoch, stopped.batch) == (1 + batch // 4, 1 + batch % 4)
    assert stopped.minibatch == (step - 1) % 3 + 1
    last = capsys.readouterr().out.splitlines()[-1]
    saved = place.root / run / f"{stopped.epoch}.{stopped.batch}.safetensors"
    assert last == f"{number.name}: saved {saved}; go on with --load-file {saved.parent}"
    assert place.resume(run) == 0
    assert_same(place.checkpoint(run), place.checkpoint("whole"))


def test_stopped_twice(place, run, signals_at):
    signals_at(5, 5 + 17)
    assert place.train(run) == 0
    assert place.resume(run) == 0
    assert len(place.checkpoint(run).state.train_outputs) == 7
    assert place.resume(run) == 0
    assert_same(place.checkpoint(run), place.checkpoint("whole"))


def test_stopped_twice_in_one_batch(place, run, signals_at):
    signals_at(4, 5)
    for _ in range(2):
        assert place.train(run) == 0
    assert place.checkpoint(run).state.minibatch == 2
    assert place.train(run) == 0
    assert_same(place.checkpoint(run), place.checkpoint("whole"))


def test_stopped_in_a_test(place, run, monkeypatch):
    """The test that follows the fifth batch is finished and saved."""
    forward = Net.forward

    def stopping(self, matrices, mode=TEST, *args):
        if mode == TEST:
            monkeypatch.setattr(Net, "forward", forward)
            signal.raise_signal(signal.SIGINT)
        return forward(self, matrices, mode, *args)

    monkeypatch.setattr(Net, "forward", stopping)
    assert place.train(run) == 0
    state = place.checkpoint(run).state
    assert (state.epoch, state.batch, state.minibatch) == (2, 1, 0)
    assert len(state.test_outputs) == 1
    assert place.resume(run) == 0
    assert_same(place.checkpoint(run), place.checkpoint("whole"))


def test_from_the_checkpoint_of_a_test(place, run):
    """As after a crash: the run goes on from a checkpoint in the middle."""
    assert place.train(run, keep=9) == 0
    for checkpoint in ("3.2", "3.4"):
        (place.root / run / f"{checkpoint}.safetensors").unlink()
    assert place.resume(run) == 0
    assert_same(place.checkpoint(run), place.checkpoint("whole"))


def test_fewer_epochs_first(place, run):
    """The rates of a constant schedule do not depend on the length of the training."""
    parameters = place.root / "constant.cfg"
    parameters.write_text(place.parameters.read_text().replace("exp[base=0.0002;tgtFactor=5]", "0"))
    same = {"layer_params": parameters, "test_freq": 4}
    assert place.train(run, epochs=1, **same) == 0
    assert place.resume(run, epochs=2) == 0
    assert place.train(f"{run}-whole", epochs=2, **same) == 0
    assert_same(place.checkpoint(run), place.checkpoint(f"{run}-whole"))


def test_second_signal_ends_at_once(place, run, signals_at, capsys):
    before = signal.getsignal(signal.SIGINT)
    signals_at(20, numbers=(signal.SIGINT, signal.SIGINT))
    assert place.train(run) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert signal.getsignal(signal.SIGINT) is before
    # What was saved last is intact.
    assert place.checkpoint(run).state.test_outputs
    assert place.resume(run) == 0
    assert_same(place.checkpoint(run), place.checkpoint("whole"))


def test_any_second_signal_has_its_usual_effect(place, run, signals_at, monkeypatch):
    def usual(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, usual)
    try:
        signals_at(2, numbers=(signal.SIGINT, signal.SIGTERM))
        assert place.train(run) == 130
        assert signal.getsignal(signal.SIGTERM) is usual
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_real_process_is_stopped(place, run, number):
    many = {"epochs": 400, "test_freq": 20}
    process = start_process(place.arguments(save_file=place.root / run, **many))
    log = place.root / run / "log.jsonl"
    while not log.exists() or log.read_text().count("\n") < 30:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1].startswith(f"{number.name}: saved ")
    state = place.checkpoint(run).state
    shutil.copytree(place.root / run, place.root / f"{run}-copy")
    # Going on for a while by either way gives the same.
    for name in (run, f"{run}-copy"):
        assert place.resume(name, epochs=state.epoch + 1) == 0
    assert_same(place.checkpoint(run), place.checkpoint(f"{run}-copy"))


# --- what may be changed on resume ----------------------------------------------------------


def test_the_parameter_file_is_read_again(place, run, signals_at, capsys):
    parameters = place.root / "changing.cfg"
    parameters.write_text(place.parameters.read_text())
    assert place.train(run, layer_params=parameters, epochs=1) == 0
    before = place.checkpoint(run).weights
    frozen = parameters.read_text().replace("epsB = 0.002", "epsB = 0")
    frozen = frozen.replace("exp[base=0.0002;tgtFactor=5]", "0")
    parameters.write_text(frozen)
    capsys.readouterr()
    assert place.resume(run, epochs=2) == 0
    after = place.checkpoint(run)
    assert after.parameters.text == frozen
    for name in ("conv.weights.0", "fc.weights.0", "fc.biases"):
        np.testing.assert_array_equal(after.weights[name], before[name])
    assert "warning: " not in capsys.readouterr().out


def test_a_parameter_file_that_is_gone(place, run, signals_at, capsys):
    parameters = place.root / "gone.cfg"
    parameters.write_text(place.parameters.read_text())
    signals_at(7)
    assert place.train(run, layer_params=parameters) == 0
    parameters.unlink()
    capsys.readouterr()
    assert place.resume(run) == 0
    expected = f"{parameters}: not found; using the layer parameters stored in the checkpoint"
    assert capsys.readouterr().out.startswith(f"warning: {expected}\n")
    assert_same(place.checkpoint(run), place.checkpoint("whole"))


def test_the_definition_is_that_of_the_checkpoint(place, run, signals_at):
    definition = place.root / "definition.cfg"
    definition.write_text(place.definition.read_text())
    signals_at(7)
    assert place.train(run, layer_def=definition) == 0
    definition.unlink()
    assert place.resume(run) == 0
    assert_same(place.checkpoint(run), place.checkpoint("whole"))
    assert place.checkpoint(run).definition.text == place.definition.read_text()


def test_a_definition_that_differs_in_comments_may_be_given(place, run, signals_at):
    definition = place.root / "commented.cfg"
    definition.write_text("# the net\n" + place.definition.read_text().replace(" = ", "="))
    signals_at(7)
    assert place.train(run) == 0
    assert place.resume(run, layer_def=definition) == 0
    assert_same(place.checkpoint(run), place.checkpoint("whole"))


def test_save_file_goes_on_if_it_has_a_checkpoint(place, run, signals_at):
    (place.root / run).mkdir()
    signals_at(7)
    assert place.train(run) == 0
    assert place.checkpoint(run).state.minibatch
    assert place.train(run) == 0
    assert_same(place.checkpoint(run), place.checkpoint("whole"))


def test_a_checkpoint_file_can_go_on_elsewhere(place, run, signals_at):
    signals_at(7)
    assert place.train(run) == 0
    source = place.root / run / "1.3.safetensors"
    before = source.read_bytes()
    other = place.root / f"{run}-other"
    assert cli.main(as_arguments({"load_file": source, "save_file": other})) == 0
    assert source.read_bytes() == before
    assert_same(place.checkpoint(other.name), place.checkpoint("whole"))


def test_options_are_kept_and_can_be_changed(place, run):
    assert place.train(run, epochs=1) == 0
    assert place.resume(run, epochs=2, test_freq=2, keep=3) == 0
    options = place.checkpoint(run).options
    assert (options["epochs"], options["test_freq"], options["mini"]) == (2, 2, 4)
    assert sorted(p.stem for p in (place.root / run).glob("*.safetensors")) == ["1.4", "2.2", "2.4"]


def test_another_train_range(place, run, signals_at):
    signals_at(7)  # in the middle of batch 3
    assert place.train(run) == 0
    assert place.resume(run, train_range="1-2", epochs=2) == 0
    # Batch 3 is no longer there, so its epoch begins anew.
    state = place.checkpoint(run).state
    assert (state.epoch, state.batch, state.minibatch) == (2, 2, 0)
    assert len(state.train_outputs) == 2 + 4


def test_another_train_range_with_the_batch_in_it(place, run):
    assert place.train(run, train_range="1-3", epochs=1) == 0
    assert place.resume(run, train_range="2-4", epochs=2) == 0
    state = place.checkpoint(run).state
    assert (state.epoch, state.batch) == (2, 4)
    assert len(state.train_outputs) == 3 + 1 + 3  # batch 4 of epoch 1, then all of epoch 2


def test_another_minibatch_size(place, run, signals_at):
    assert place.train(run, epochs=1) == 0
    assert place.resume(run, mini=11, epochs=2) == 0
    assert len(place.checkpoint(run).state.train_outputs) == 8


def test_a_finished_run(place, run, capsys):
    assert place.train(run, epochs=1) == 0
    before = (place.root / run / "1.4.safetensors").read_bytes()
    capsys.readouterr()
    assert place.resume(run) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "Nothing to do: 1 epochs are done; raise --epochs to go on"
    assert (place.root / run / "1.4.safetensors").read_bytes() == before


def test_a_batch_in_progress_that_has_shrunk(place, run, signals_at, capsys):
    signals_at(3)  # the last minibatch of batch 1
    assert place.train(run) == 0
    write_batches(place.root / "small", cases=4)
    assert place.resume(run, data_path=place.root / "small") == 1
    assert capsys.readouterr().err == (
        "error: batch 1: 3 minibatches of it are done, but it holds 4 images now; "
        "go on with the data that the run began with\n"
    )


def test_tests_and_features_may_cut_a_batch_in_progress_otherwise(place, run, signals_at, capsys):
    signals_at(2)
    assert place.train(run) == 0
    assert place.resume(run, mini=3, test_only=1) == 0
    # But not if that is saved: the run would go on in another place.
    assert place.resume(run, mini=3, test_only=1, force_save=1) == 1
    assert "saved in the middle of batch 1.1, with --mini 4" in capsys.readouterr().err


def test_another_save_path_gets_a_directory_of_its_own(place, run):
    runs = place.root / "runs"
    assert cli.main(place.arguments(save_path=runs, epochs=1)) == 0
    (first,) = runs.iterdir()
    assert place.resume(first, save_path=runs, epochs=2) == 0
    assert list(runs.iterdir()) == [first]
    assert place.resume(first, save_path=place.root / "others", epochs=3) == 0
    (second,) = (place.root / "others").iterdir()
    assert (checkpoint_files(first)[-1].stem, checkpoint_files(second)[-1].stem) == ("2.4", "3.4")
