import json
import re

import numpy as np
import pytest
from safetensors.numpy import load, save

from convnet.errors import CheckpointError
from convnet.show.figures import open_run
from convnet.show.overview import draw_overview
from tests.show.conftest import pixels_of
from tests.train.helpers import DEFINITION, Workplace, write_batches

FC_ONLY = DEFINITION.replace(DEFINITION[DEFINITION.index("[conv]") : DEFINITION.index("[fc]")], "")
FC_ONLY = FC_ONLY.replace("inputs = drop", "inputs = data")
FC_PARAMETERS = "[fc]\nepsW=0.0001\nepsB=0\nmomW=0\nmomB=0\nwc=0\n[logprob]\ncoeff=1\n"


def draw(place, run, out) -> str:
    return draw_overview(open_run(place.root / run), place.root / out)


def test_a_picture_of_a_run(place, show):
    out = place.root / "new" / "run.png"
    printed = show(out=out)
    (costs, cases) = place.checkpoint("run").state.test_outputs[-1]
    assert f"{costs['logprob'][1] / cases:.4f}" in printed
    assert str(out) in printed
    pixels = pixels_of(out)
    height, width, _ = pixels.shape
    assert width > 2 * height  # curve and filters, side by side
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    assert [p.name for p in out.parent.iterdir()] == ["run.png"]


@pytest.mark.parametrize("suffix", [".svg", ".pdf", ".PNG"])
def test_other_formats(place, show, suffix):
    out = place.root / f"run{suffix}"
    show(run=place.root / "run" / "3.4.safetensors", out=out)
    start = {".svg": b"<?xml", ".pdf": b"%PDF", ".PNG": b"\x89PNG"}[suffix]
    assert out.read_bytes().startswith(start)


def test_the_same_run_gives_the_same_picture(place, show):
    pictures = []
    for name in ("one.png", "two.png"):
        show(out=place.root / name)
        pictures.append((place.root / name).read_bytes())
    assert pictures[0] == pictures[1]


def test_a_net_without_filters(place):
    definition, parameters = place.root / "fc.cfg", place.root / "fc-params.cfg"
    definition.write_text(FC_ONLY)
    parameters.write_text(FC_PARAMETERS)
    files = {"layer_def": definition, "layer_params": parameters}
    assert place.train("fc", epochs=1, **files) == 0
    draw(place, "fc", "fc.png")
    height, width, _ = pixels_of(place.root / "fc.png").shape
    assert width < 2 * height


def test_a_net_with_colour_filters(tmp_path):
    place = Workplace(tmp_path)
    write_batches(tmp_path / "colour", (3, 6, 7))
    place.definition.write_text(DEFINITION.replace("channels = 2", "channels = 3"))
    assert place.train("run", data_path=tmp_path / "colour", epochs=1) == 0
    # The background is white, and a picture in grey has three equal channels.
    draw(place, "run", "run.png")
    right = pixels_of(tmp_path / "run.png")[60:520, 700:1300]
    assert np.abs(right[..., 0] - right[..., 2]).max() > 50


def test_of_several_costs_the_one_with_an_error_is_drawn(place):
    definition, parameters = place.root / "two.cfg", place.root / "two-params.cfg"
    # The sum of squares comes first.
    at = FC_ONLY.index("[probs]")
    definition.write_text(FC_ONLY[:at] + "[size]\ntype=cost.sum2\ninputs=fc\n" + FC_ONLY[at:])
    parameters.write_text(FC_PARAMETERS + "[size]\ncoeff=0.001\n")
    files = {"layer_def": definition, "layer_params": parameters}
    assert place.train("two", epochs=1, **files) == 0
    assert draw(place, "two", "two.png").startswith("logprob: error 0.")


def test_names_are_not_formulas(place):
    definition, parameters = place.root / "dollar.cfg", place.root / "dollar-params.cfg"
    definition.write_text(FC_ONLY.replace("[logprob]", "[$x^^$]"))
    parameters.write_text(FC_PARAMETERS.replace("[logprob]", "[$x^^$]"))
    files = {"layer_def": definition, "layer_params": parameters}
    assert place.train("dollar", epochs=1, **files) == 0
    draw(place, "dollar", "dollar.png")


def test_a_run_without_a_test(place, monkeypatch):
    from convnet.train import trainer

    monkeypatch.setattr(trainer.StopRequest, "__bool__", lambda self: True)
    assert place.train("stopped") == 0
    assert draw(place, "stopped", "stopped.png") == "not tested yet"


def test_a_checkpoint_without_the_filters(place, tmp_path):
    content = (place.root / "run" / "3.4.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + size])["__metadata__"]
    weights = load(content)
    del weights["conv.weights.0"]
    path = tmp_path / "1.1.safetensors"
    path.write_bytes(save(weights, metadata))
    text = f"{tmp_path}: weights do not belong to this net: without 'conv.weights.0'"
    with pytest.raises(CheckpointError, match=re.escape(text)):
        open_run(tmp_path)
