import json

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image
from safetensors.numpy import load, save

from convnet import cli
from convnet.checkpoint import load_checkpoint
from convnet.errors import CheckpointError
from convnet.show.picture import draw_run
from tests.train.helpers import DEFINITION, Workplace, write_batches

FC_ONLY = DEFINITION.replace(DEFINITION[DEFINITION.index("[conv]") : DEFINITION.index("[fc]")], "")
FC_ONLY = FC_ONLY.replace("inputs = drop", "inputs = data")
FC_PARAMETERS = "[fc]\nepsW=0.0001\nepsB=0\nmomW=0\nmomB=0\nwc=0\n[logprob]\ncoeff=1\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("show"))
    assert place.train("run") == 0
    return place


def show(run, out) -> int:
    return cli.main(["show", f"--load-file={run}", f"--out={out}"])


def test_a_picture_of_a_run(place, capsys):
    out = place.root / "new" / "run.png"
    assert show(place.root / "run", out) == 0
    (costs, cases) = place.checkpoint("run").state.test_outputs[-1]
    printed = capsys.readouterr().out
    assert f"{costs['logprob'][1] / cases:.4f}" in printed
    assert str(out) in printed
    with Image.open(out) as picture:
        picture.load()
        assert picture.format == "PNG"
        width, height = picture.size
        colours = len(picture.convert("RGB").getcolors(2**20))
    assert width > 2 * height  # curve and filters, side by side
    assert colours > 20
    assert [p.name for p in out.parent.iterdir()] == ["run.png"]


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".PNG"])
def test_other_formats(place, suffix):
    out = place.root / f"run{suffix}"
    assert show(place.root / "run" / "3.4.safetensors", out) == 0
    start = {".svg": b"<?xml", ".pdf": b"%PDF", ".PNG": b"\x89PNG"}[suffix]
    assert out.read_bytes().startswith(start)


def test_tests_are_drawn_when_they_were_made(place, monkeypatch):
    """Also where --test-freq changed on resume."""
    drawn = {}
    plot = Axes.plot

    def recorded(self, x, y, **style):
        drawn[style["label"]] = (np.asarray(x) * 4).tolist()  # 4 batches are an epoch
        return plot(self, x, y, **style)

    monkeypatch.setattr(Axes, "plot", recorded)
    assert place.train("twice", epochs=1, test_freq=3) == 0
    assert place.resume("twice", epochs=2, test_freq=2) == 0
    assert place.checkpoint("twice").state.test_times == [3, 4, 6, 8]
    draw_run(place.root / "twice", place.root / "twice.png")
    assert drawn == {"training": [1, 2, 3, 4, 5, 6, 7, 8], "test": [3, 4, 6, 8]}


def test_the_same_run_gives_the_same_picture(place):
    pictures = []
    for name in ("one.png", "two.png"):
        assert show(place.root / "run", place.root / name) == 0
        pictures.append((place.root / name).read_bytes())
    assert pictures[0] == pictures[1]


def test_a_net_without_filters(place):
    definition, parameters = place.root / "fc.cfg", place.root / "fc-params.cfg"
    definition.write_text(FC_ONLY)
    parameters.write_text(FC_PARAMETERS)
    files = {"layer_def": definition, "layer_params": parameters}
    assert place.train("fc", epochs=1, **files) == 0
    out = place.root / "fc.png"
    assert show(place.root / "fc", out) == 0
    with Image.open(out) as picture:
        assert picture.size[0] < 2 * picture.size[1]


def test_a_net_with_colour_filters(tmp_path):
    place = Workplace(tmp_path)
    write_batches(tmp_path / "colour", (3, 6, 7))
    place.definition.write_text(DEFINITION.replace("channels = 2", "channels = 3"))
    assert place.train("run", data_path=tmp_path / "colour", epochs=1) == 0
    # The background is white, and a picture in grey has three equal channels.
    assert show(tmp_path / "run", tmp_path / "run.png") == 0
    with Image.open(tmp_path / "run.png") as picture:
        right = np.asarray(picture.convert("RGB").crop((700, 60, 1300, 520))).astype(int)
    assert np.abs(right[..., 0] - right[..., 2]).max() > 50


def test_of_several_costs_the_one_with_an_error_is_drawn(place):
    definition, parameters = place.root / "two.cfg", place.root / "two-params.cfg"
    # The sum of squares comes first.
    at = FC_ONLY.index("[probs]")
    definition.write_text(FC_ONLY[:at] + "[size]\ntype=cost.sum2\ninputs=fc\n" + FC_ONLY[at:])
    parameters.write_text(FC_PARAMETERS + "[size]\ncoeff=0.001\n")
    files = {"layer_def": definition, "layer_params": parameters}
    assert place.train("two", epochs=1, **files) == 0
    result = draw_run(place.root / "two", place.root / "two.png")
    assert result.startswith("logprob: error 0.")


def test_names_are_not_formulas(place):
    definition, parameters = place.root / "dollar.cfg", place.root / "dollar-params.cfg"
    definition.write_text(FC_ONLY.replace("[logprob]", "[$x^^$]"))
    parameters.write_text(FC_PARAMETERS.replace("[logprob]", "[$x^^$]"))
    files = {"layer_def": definition, "layer_params": parameters}
    assert place.train("dollar", epochs=1, **files) == 0
    assert show(place.root / "dollar", place.root / "dollar.png") == 0


def test_a_run_without_a_test(place, monkeypatch):
    from convnet.train import trainer

    monkeypatch.setattr(trainer.StopRequest, "__bool__", lambda self: True)
    assert place.train("stopped") == 0
    assert draw_run(place.root / "stopped", place.root / "stopped.png") == "not tested yet"


@pytest.mark.parametrize("shape", [None, (17, 3)])
def test_a_checkpoint_without_the_filters(place, tmp_path, shape):
    path = place.root / "run" / "3.4.safetensors"
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + size])["__metadata__"]
    weights = load(content)
    del weights["conv.weights.0"]
    if shape:
        weights["conv.weights.0"] = np.zeros(shape, np.float32)
    (tmp_path / "1.1.safetensors").write_bytes(save(weights, metadata))
    load_checkpoint(tmp_path)
    text = rf"'conv.weights.0' must have shape \(18, 3\); found {shape or 'none'}"
    with pytest.raises(CheckpointError, match=text.replace("(17, 3)", r"\(17, 3\)")):
        draw_run(tmp_path, tmp_path / "run.png")
    assert not (tmp_path / "run.png").exists()
