import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from types import SimpleNamespace

import pytest

from convnet import report
from convnet.errors import ConvnetError
from convnet.geometry import Shape
from convnet.options import FIELDS, Options, option_name, parse_range
from tests.helpers import between, layer, make_graph
from tests.train.helpers import Workplace


def test_costs():
    """In the order in which they come, however many values they have."""
    graph = make_graph(
        between(layer("top", "fc", "below", outputs=2)) + layer("b", "cost.sum2", "top")
    )
    costs = {"cost": [2.0, 1.0], "b": [0.5]}
    assert report.cost_text(costs, 4, graph) == "cost:  0.500000, 0.250000, b:  0.125000"


@pytest.mark.parametrize("text", ["1-2", "1-3", "4"])
def test_ranges_are_shown_as_they_are_given(text):
    table = report.option_table(Options(train_range=parse_range(text)))
    assert f"--train-range     batches to train on, e.g. 1-5: {text}\n" in table


def test_devices_are_shown_as_they_are_given():
    (line,) = [x for x in report.option_table(Options(gpu=[0, 1])).splitlines() if "--gpu" in x]
    assert line.endswith(": 0,1")


def test_the_table_of_a_huge_net():
    outputs = 10**20  # 4 x 10**20 bytes are more than 64 bits can count
    row = SimpleNamespace(
        name="big",
        type_name="fc",
        inputs=[],
        own_parameters=[SimpleNamespace(shape=(3, outputs))],
        multiply_adds=3 * outputs,
        shape=Shape(outputs),
    )
    table = report.layer_table({"big": row})
    assert f"{4 * outputs:,}" in table.splitlines()[2]


def test_option_table():
    options = Options(mini=64, train_range=[1, 2, 3], test_one=False)
    lines = report.option_table(options).splitlines()
    assert len(lines) == len(FIELDS)
    descriptions = [line.split(maxsplit=1)[1] for line in lines]
    assert descriptions == sorted(descriptions)
    for name, field in FIELDS.items():
        (line,) = [line for line in lines if line.startswith(f"{option_name(name)} ")]
        assert f" {field.metadata['help']}: " in line
        assert line.endswith(" [DEFAULT]") == (name not in ("mini", "train_range", "test_one"))
    assert "images per minibatch: 64" in report.option_table(options)
    assert "--test-one        test on one batch each time, in turn, not on all: 0" in lines


def test_a_test_without_training_before_it(capsys):
    report.print_test("logprob:  0.1", weights=["Layer 'x' biases: 1 [2]"])
    assert capsys.readouterr().out.splitlines() == [
        "",
        "======================Test output======================",
        "logprob:  0.1",
        "-------------------------------------------------------",
        "Layer 'x' biases: 1 [2]",
        "=======================================================",
    ]


def test_log(tmp_path):
    log = report.Log(tmp_path / "runs" / "log.jsonl")
    log.write("start", done=1)
    log.write("end", costs={"a": [1.5]})
    first, second = map(json.loads, (tmp_path / "runs" / "log.jsonl").read_text().splitlines())
    assert (first["event"], first["done"]) == ("start", 1)
    assert (second["event"], second["costs"]) == ("end", {"a": [1.5]})
    assert 0 <= second["time"] - first["time"] < 60


def test_a_log_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConvnetError, match=r"log.jsonl: cannot write the log: Not a directory"):
        report.Log(tmp_path / "file" / "run" / "log.jsonl").write("start")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Workplace(
        tmp_path_factory.mktemp("a-folder-whose-name-is-longer-than-the-terminal-is-wide")
    )


def on_a_terminal(command: list[str], columns: int) -> str:
    """What a command writes to a terminal that is so wide."""
    terminal, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command, stdout=program, stderr=program, env={**environment, "TERM": "xterm"}
    )
    os.close(program)
    parts = []
    # When the program has ended, reading fails on Linux and returns nothing elsewhere.
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 4096):
            parts.append(part)
    os.close(terminal)
    assert process.wait() == 0, parts
    return b"".join(parts).decode()


def test_a_terminal_shows_whole_lines_and_a_bar(place):
    run = place.root / "terminal"
    command = [sys.executable, "-m", "convnet", *place.arguments(save_file=run)]
    raw = on_a_terminal(command, 70)
    assert "\x1b[" in raw
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw)
    lines = re.split(r"[\r\n]+", shown)
    assert f"Saved checkpoint to {run / '3.4.safetensors'}" in lines
    assert len([line for line in lines if re.match(r"\d+\.\d+ \(", line)]) == 12
    (last, *_) = [line for line in reversed(lines) if line.startswith("training")]
    assert re.search(r"12/12 batches, to go", last)


def test_a_pipe_shows_no_bar(place):
    run = place.root / "pipe"
    process = subprocess.run(
        [sys.executable, "-m", "convnet", *place.arguments(save_file=run)],
        capture_output=True,
        text=True,
        env={**os.environ, "FORCE_COLOR": "1", "COLUMNS": "70"},
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert "\x1b" not in process.stdout
    assert "batches, to go" not in process.stdout
    assert f"Saved checkpoint to {run / '3.4.safetensors'}" in process.stdout.splitlines()
