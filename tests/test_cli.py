import os
import runpy
import subprocess
import sys

import pytest

from convnet import cli
from convnet.version import __version__
from tests.train.helpers import SHAPE, Workplace


@pytest.fixture
def place(tmp_path):
    return Workplace(tmp_path)


def test_check_prints_the_layers(place, capsys):
    arguments = [
        "check",
        f"--layer-def={place.definition}",
        f"--layer-params={place.parameters}",
        f"--input-shape={'x'.join(map(str, SHAPE))}",
    ]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "layer        type         inputs        output  parameters  mult-adds  bytes"
    )
    rows = {line.split()[0]: line.split() for line in lines[1:]}
    # 3 filters of 2 x 3 x 3 and 3 biases; 6 x 7 windows; 3 x 6 x 7 float32 numbers.
    assert rows["conv"][1:] == ["conv", "data", "3x6x7", "57", "2,268", "504"]
    assert rows["fc"][1:] == ["fc", "drop", "3x1x1", "381", "378", "12"]
    assert rows["total"][1] == "438"


def test_check_without_parameters_and_with_warnings(place, capsys):
    place.definition.write_text(place.definition.read_text().replace("padding", "paddinng"))
    arguments = ["check", f"--layer-def={place.definition}", "--input-shape=2X6X7,1x1x1"]
    assert cli.main(arguments) == 1
    assert "unknown parameter 'paddinng'; did you mean 'padding'?" in capsys.readouterr().err
    assert cli.main([*arguments, "--lenient=1"]) == 0
    assert capsys.readouterr().out.startswith("warning: ")


def test_check_works_out_the_shape_of_the_data(place, capsys):
    text = place.definition.read_text()
    for channels in ("3", "1", "7"):
        place.definition.write_text(text.replace("channels = 2", f"channels = {channels}"))
        assert cli.main(["check", f"--layer-def={place.definition}"]) == 0
        assert capsys.readouterr().out.startswith(
            f"note: the data are taken to be {channels}x32x32,1x1x1; name others with "
            "--input-shape\n"
        )
    place.definition.write_text(text.replace("filterSize = 3", "filterSize = 1000"))
    assert cli.main(["check", f"--layer-def={place.definition}"]) == 1
    assert "filterSize must be at most" in capsys.readouterr().err


def test_data_prepares_and_verifies(tmp_path, capsys):
    from tests.data_providers.helpers import picture_tree

    picture_tree(tmp_path / "tree")
    arguments = ["data", "folder", f"--source={tmp_path / 'tree'}", f"--out={tmp_path / 'out'}"]
    assert cli.main(arguments) == 0
    assert f"wrote {tmp_path / 'out'}" in capsys.readouterr().out
    assert cli.main(arguments) == 0
    assert "complete, nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--help"], ["check", "--help"], ["data", "--help"], ["show", "--help"]]
)
def test_help_is_no_error(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("usage: python -m convnet")


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"cudaconvnet {__version__}\n"


def test_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["convnet", "--mini"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("convnet", run_name="__main__")
    assert exit_.value.code == 1
    assert capsys.readouterr().err == "error: --mini: expected one argument; see --help\n"


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (OSError(28, "No space left on device", "x/y"), 1, "error: x/y: No space left on device\n"),
        (OSError("the machine stopped"), 1, "error: the machine stopped\n"),
        (
            MemoryError("Unable to allocate 9 EiB"),
            1,
            "error: out of memory: Unable to allocate 9 EiB; try a smaller --mini, batches or "
            "layers\n",
        ),
    ],
)
def test_no_traceback(error, status, says, monkeypatch, capsys):
    def fail(arguments):
        raise error

    monkeypatch.setitem(cli.COMMANDS, "check", fail)
    assert cli.main(["check"]) == status
    assert capsys.readouterr().err == says


def test_a_reader_that_goes_away(place):
    """As in `python -m convnet ... | head -1`."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "convnet", *place.arguments(save_file=place.root / "run")],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert (process.returncode, process.stderr) == (1, "")


def test_gradient_check_passes(place, capsys):
    options = {"save_file": None, "test_range": None, "data_path": place.data}
    assert cli.main(place.arguments(check_grads=1, **options)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "ALL 4 TESTS PASSED"
    assert [line.split()[1] for line in lines if line.startswith("(PASS)")] == [
        "conv.weights.0",
        "conv.biases",
        "fc.weights.0",
        "fc.biases",
    ]


def test_gradient_check_warns(place, capsys):
    text = place.definition.read_text().replace("padding = 1", "padding = 1\npaddinng = 1")
    place.definition.write_text(text)
    assert cli.main(place.arguments(check_grads=1, lenient=1)) == 0
    assert "unknown parameter 'paddinng'" in capsys.readouterr().out.splitlines()[0]


def test_gradient_check_finds_a_wrong_gradient(place, capsys, monkeypatch):
    from convnet.ops.reference import ReferenceOps

    right = ReferenceOps.fc_wgrad

    def wrong(self, *args, **kwargs):
        right(self, *args, **kwargs)
        target = kwargs["weights_grad"]
        target *= 1.01

    monkeypatch.setattr(ReferenceOps, "fc_wgrad", wrong)
    assert cli.main(place.arguments(check_grads=1)) == 1
    out = capsys.readouterr().out
    assert "(FAIL) fc.weights.0" in out
    assert "(PASS) conv.weights.0" in out
    assert out.splitlines()[-1] == "1/4 TESTS FAILED"
