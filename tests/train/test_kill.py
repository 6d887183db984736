"""A process that is killed at any instant leaves a checkpoint from which the run goes on."""

import contextlib
import multiprocessing
import os
import random
import subprocess
import sys
import time

import pytest

from convnet import cli
from convnet.checkpoint import checkpoint_files
from tests.train.helpers import Workplace, assert_same

KILLS = 20
# So that checkpoints are being written at many of the instants.
OPTIONS = {"epochs": 120, "test_freq": 2, "test_range": 5, "keep": 2}


def run_quietly(arguments: list[str]) -> None:
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        sys.exit(cli.main(arguments))


@pytest.fixture(scope="module")
def processes():
    """Makes processes that are forked from one that has imported all modules."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["convnet.ops.cpu", "convnet.train.drivers", __name__])
    return context


def events(log) -> str:
    return log.read_text() if log.exists() else ""


def wait_for_training(process, log, start) -> None:
    """Until the start of this number has trained a batch, its kernels being loaded then."""
    deadline = time.monotonic() + 60
    while '"event": "train"' not in "".join(events(log).split('"event": "start"')[start:]):
        assert process.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_at_random_instants(tmp_path, processes):
    place = Workplace(tmp_path)
    rng = random.Random(0)
    # First, as it also leaves compiled kernels for the processes to load.
    assert place.train("whole", **OPTIONS) == 0
    arguments = place.arguments(save_file=tmp_path / "killed", **OPTIONS)
    log = tmp_path / "killed" / "log.jsonl"
    loaded = 0
    for kill in range(KILLS):
        process = processes.Process(target=run_quietly, args=(arguments,))
        process.start()
        wait_for_training(process, log, kill + 1)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.join()
        assert process.exitcode == -9
        if checkpoint_files(log.parent):
            place.checkpoint("killed")
            loaded += 1
    assert loaded > KILLS / 2
    assert events(log).count('"event": "stop"') == 0
    assert cli.main(arguments) == 0
    assert_same(place.checkpoint("killed"), place.checkpoint("whole"))
    # Half-written files are overwritten when the run comes to the same place again.
    assert len(list(log.parent.iterdir())) == 3


@pytest.mark.slow
def test_kernels_just_compiled_and_kernels_from_the_cache_give_the_same_bits(tmp_path):
    place = Workplace(tmp_path)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for run in ("compiled", "loaded"):
        arguments = place.arguments(save_file=tmp_path / run, epochs=20)
        subprocess.run(
            [sys.executable, "-m", "convnet", *arguments],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    assert_same(place.checkpoint("loaded"), place.checkpoint("compiled"))
