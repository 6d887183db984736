import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from convnet import cli
from data_providers import DataError, ProviderOptions, create, names, registry
from data_providers.prepare import RECIPES

TEXT = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return found


def test_the_provider_of_the_walk_through(tmp_path, monkeypatch):
    (tmp_path / "my_module.py").write_text(block("python"))
    monkeypatch.syspath_prepend(tmp_path)
    rng = np.random.default_rng(0)
    for number, cases in ((1, 4), (2, 3)):
        images = rng.integers(0, 256, (cases, 5, 6), dtype=np.uint8)
        np.savez(tmp_path / f"{number}.npz", images=images, digits=np.arange(cases))
    target = tomllib.loads(block("toml"))["project"]["entry-points"][registry.ENTRY_POINT_GROUP]
    dotted = target["npz"].replace(":", ".")
    source = create(dotted, tmp_path, [1, 2], ProviderOptions(), test=False)
    data, labels = source.load(2, epoch=1)
    assert source.shapes == ((1, 5, 6), (1, 1, 1))
    assert (data.shape, labels.shape) == ((30, 3), (1, 3))
    assert data.dtype == labels.dtype == np.float32
    assert data.flags.c_contiguous
    np.testing.assert_allclose(data, images.reshape(3, -1).T / 255, atol=0.1)
    np.testing.assert_array_equal(source.load(2, 1)[0], data)
    with pytest.raises(DataError, match="no batch 3"):
        create(dotted, tmp_path, [3], ProviderOptions(), test=False)


def test_every_option_of_make_data_is_described(capsys):
    with pytest.raises(SystemExit):
        cli.main(["make-data", "--help"])
    options = set(re.findall(r"--[\w-]+", capsys.readouterr().out)) - {"--help"}
    _, _, section = TEXT.partition("## Making batches of JPEGs")
    assert set(re.findall(r"^\| `(--[\w-]+)`", section, re.MULTILINE)) == options


def test_every_provider_and_data_set_is_described():
    for name in names():
        assert f"`{re.sub('-n$', '-N', name)}`" in TEXT
    for name in RECIPES:
        assert f"| `{name}` |" in TEXT
