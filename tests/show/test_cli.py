from pathlib import Path

import numpy as np
import pytest

from convnet import cli
from convnet.show.cli import PICTURES
from convnet.show.figures import default_out


@pytest.mark.parametrize("word", [*PICTURES, None])
def test_help(word, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["show", *([word] if word else []), "--help"])
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: python -m convnet show {word or '[-h]'}")
    assert "--load-file" in printed
    assert all(word in printed for word in PICTURES) or word


@pytest.mark.parametrize("words", [["features"], []])
def test_features(show, place, tmp_path, words):
    """As `python -m convnet --write-features` writes them."""
    options = {"write_features": "fc", "test_range": 6}
    show(*words, feature_path=tmp_path / "shown", gpu=0, **options)
    assert place.resume("run", feature_path=tmp_path / "direct", **options) == 0
    files = sorted(p.name for p in (tmp_path / "shown").iterdir())
    assert files == ["data_batch_6.npz", "features.json"]
    both = [np.load(tmp_path / folder / files[0])["features"] for folder in ("shown", "direct")]
    np.testing.assert_array_equal(*both)


def test_a_beginning_of_an_option_chooses_the_picture_too(show, tmp_path):
    assert show(show_cos="logprob", out=tmp_path / "x.png").startswith("logprob: logprob ")


def test_default_names(tmp_path):
    assert default_out(tmp_path, "cost-a b/c") == tmp_path / "cost-a_b_c.png"
    file = Path("runs/mine/1.4.safetensors")
    assert default_out(file, "overview") == Path("runs/mine/overview.png")
