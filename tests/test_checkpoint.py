import contextlib
import errno
import json
import os
import random

import numpy as np
import pytest

from convnet import cli
from convnet.checkpoint import (
    Checkpoint,
    TrainingState,
    checkpoint_files,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
    write_atomically,
)
from convnet.config.reader import Source
from convnet.errors import CheckpointError, ConvnetError
from convnet.options import Options
from tests.train.helpers import Workplace, as_arguments, assert_same


def example(epoch=3, batch=12, **changes) -> Checkpoint:
    rng = np.random.default_rng(epoch)
    weights = {
        "conv.weights.0": rng.standard_normal((18, 5)).astype(np.float32),
        "conv.biases": np.array([[0.1, -0.0, np.float32(1e-45)]], np.float32).T,
    }
    values = {
        "weights": weights,
        "definition": Source("nets/layers.cfg", "[data]\n# \u00e4\u4e2d\ntype=data\n"),
        "parameters": Source("params.toml", "a = 1\n", toml=True),
        "data_shapes": [(2, 6, 7), (1, 1, 1)],
        "label_names": ["cat", "dog"],
        "options": Options(mini=4, train_range=[1, 2], scalar_mean=0.5).as_dict(),
        "state": TrainingState(
            epoch,
            batch,
            minibatch=2,
            steps=31,
            partial={"cost": [0.1, 2.0]},
            train_outputs=[({"cost": [1 / 3, 1.0], "sum": [1e-300]}, 7)],
            test_outputs=[({"cost": [2.5, 0.0]}, 3)],
            test_times=[1],
        ),
    }
    return Checkpoint(**values | changes)


def test_everything_comes_back(tmp_path):
    expected = example()
    path = save_checkpoint(tmp_path / "runs" / "a", expected)
    assert path == tmp_path / "runs" / "a" / "3.12.safetensors"
    found = load_checkpoint(path)
    assert_same(found, expected)
    for name in ("definition", "parameters", "data_shapes", "label_names", "options"):
        assert getattr(found, name) == getattr(expected, name)
    assert_same(load_checkpoint(path.parent), expected)
    assert os.listdir(path.parent) == ["3.12.safetensors"]


def test_the_last_is_found_by_number(tmp_path):
    names = ["2.10", "2.9", "1.11", "10.1", "9.100"]
    for name in [*names, "data_batch_99", "99", "99.1.2", ".99.1"]:
        (tmp_path / f"{name}.safetensors").touch()
    found = [path.stem for path in checkpoint_files(tmp_path)]
    assert found == ["1.11", "2.9", "2.10", "9.100", "10.1"]
    assert find_checkpoint(tmp_path).stem == "10.1"


def test_as_many_are_kept_as_fit(tmp_path):
    size = save_checkpoint(tmp_path, example(batch=1)).stat().st_size
    for limit, kept in ((3.5, [2, 3, 4]), (2.5, [4, 5]), (0.5, [6])):
        for batch in range(kept[0], kept[-1] + 1):
            save_checkpoint(tmp_path, example(batch=batch), 1, int(limit * size))
        assert [p.stem for p in checkpoint_files(tmp_path)] == [f"3.{n}" for n in kept]


def test_one_of_an_earlier_version_comes_back(tmp_path):
    """Without the number of steps."""
    path = save_checkpoint(tmp_path, example())
    path.write_bytes(path.read_bytes().replace(b'\\"steps\\": 31, ', b""))
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little") - len(b'\\"steps\\": 31, ')
    path.write_bytes(size.to_bytes(8, "little") + content[8:])
    assert load_checkpoint(path).state.steps == 0


def test_the_last_of_a_run_are_kept(tmp_path):
    for batch in range(1, 6):
        save_checkpoint(tmp_path, example(batch=batch), keep=3)
    assert [p.stem for p in checkpoint_files(tmp_path)] == ["3.3", "3.4", "3.5"]
    save_checkpoint(tmp_path, example(batch=6), keep=1)
    assert [p.stem for p in checkpoint_files(tmp_path)] == ["3.6"]


def test_after_going_back_what_was_abandoned_is_removed(tmp_path):
    for batch, left in ((2, "3.2"), (5, "3.2 3.5"), (6, "3.5 3.6"), (5, "3.5"), (9, "3.5 3.9")):
        save_checkpoint(tmp_path, example(batch=batch), keep=2)
        assert [p.stem for p in checkpoint_files(tmp_path)] == left.split()


def test_foreign_files_are_left_alone(tmp_path):
    (tmp_path / "data_batch_1.safetensors").touch()
    (tmp_path / "1.1.txt").touch()
    save_checkpoint(tmp_path, example())
    assert len(os.listdir(tmp_path)) == 3


# --- writing that fails ---------------------------------------------------------------------


def fail(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("batch", [12, 13])
def test_a_full_disk(tmp_path, monkeypatch, call, batch):
    """Whether or not the checkpoint replaces one of the same name."""
    expected = example()
    save_checkpoint(tmp_path, expected)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync" if call == "fsync" else "pathlib.Path.replace", fail)
        with pytest.raises(CheckpointError) as info:
            save_checkpoint(tmp_path, example(batch=batch, weights={}))
    path = tmp_path / f"3.{batch}.safetensors"
    assert str(info.value) == f"{path}: cannot write the checkpoint: No space left on device"
    assert os.listdir(tmp_path) == ["3.12.safetensors"]
    assert_same(load_checkpoint(tmp_path), expected)


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(number):
        raise KeyboardInterrupt

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(CheckpointError, match="cannot write the checkpoint: Not a directory"):
            save_checkpoint(folder, example())


# --- reading what is damaged ----------------------------------------------------------------


def test_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"none: no such checkpoint file or run directory"):
        load_checkpoint(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"no checkpoint \(EPOCH.BATCH.safetensors\) in"):
        load_checkpoint(tmp_path)


def test_truncated_anywhere(tmp_path):
    path = save_checkpoint(tmp_path, example())
    content = path.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="not a readable checkpoint") as info:
            load_checkpoint(path)
        assert "\n" not in str(info.value)


def test_damaged_anywhere(tmp_path):
    """No damage of a few bytes causes anything but a CheckpointError, or goes unnoticed."""
    path = save_checkpoint(tmp_path, example())
    content = path.read_bytes()
    rng = random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            load_checkpoint(path)


def header_of(content: bytes) -> dict:
    size = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["convnet"])


def replaced(node, rng):
    """The same JSON value with one random part replaced by something of another kind."""
    if isinstance(node, dict) and node and rng.random() < 0.8:
        key = rng.choice(sorted(node))
        return {**node, key: replaced(node[key], rng)}
    if isinstance(node, list) and node and rng.random() < 0.8:
        index = rng.randrange(len(node))
        return [*node[:index], replaced(node[index], rng), *node[index + 1 :]]
    return rng.choice([None, -1, 0.5, "text", [], {}, [[1]], True, 10**30, {"a": None}])


def test_headers_of_any_content(tmp_path, monkeypatch):
    """Either refused on loading, or usable: the run goes on or ends with one of our errors."""
    place = Workplace(tmp_path)
    assert place.train("run", epochs=1) == 0
    (path,) = checkpoint_files(tmp_path / "run")
    content = path.read_bytes()
    from safetensors.numpy import load, save

    weights, header = load(content), header_of(content)
    rng = random.Random(1)
    refused = 0
    for _ in range(60):
        path.write_bytes(save(weights, {"convnet": json.dumps(replaced(header, rng))}))
        try:
            load_checkpoint(path)
        except CheckpointError:
            refused += 1
            continue
        assert cli.main(as_arguments({"load_file": path, "test_only": 1})) in (0, 1)
    assert 10 < refused < 60


def test_checkpoint_errors_are_shown_to_users():
    assert issubclass(CheckpointError, ConvnetError)


def test_every_test_has_its_time(tmp_path):
    state = TrainingState(1, 1, test_outputs=[({"cost": [1.0]}, 3)])
    path = save_checkpoint(tmp_path, example(state=state))
    with pytest.raises(CheckpointError, match=r"damaged checkpoint header.*0 times of 1 tests"):
        load_checkpoint(path)
