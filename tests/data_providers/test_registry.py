from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from data_providers import DataError, DataProvider, ProviderOptions, create, names, registry


class Mine(DataProvider):
    """A provider of this test."""

    def open(self):
        self.shapes = ((1, 1, 1),)

    def load(self, number, epoch):
        return []


def make(name, path=Path("x")):
    return create(name, path, [1], ProviderOptions(), test=False)


def test_names_describe_themselves():
    assert set(names()) >= {"cifar", "batches", "idx", "folder", "dummy-n", "dummy-lr-n"}
    assert all(text and "\n" not in text for text in names().values())


def test_dotted_names():
    assert isinstance(make(f"{__name__}.Mine"), Mine)


def test_entry_points(monkeypatch):
    point = EntryPoint("mine", f"{__name__}:Mine", registry.ENTRY_POINT_GROUP)

    def entry_points(group, name=None):
        return [point] if group == registry.ENTRY_POINT_GROUP and name in (None, "mine") else []

    monkeypatch.setattr(registry, "entry_points", entry_points)
    assert isinstance(make("mine"), Mine)
    assert names()["mine"] == f"installed: {__name__}:Mine"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cifr", "no data provider 'cifr'; did you mean cifar?"),
        ("xyzzy", "no data provider 'xyzzy'; known are batches, cifar, cifar-cropped, image, "),
        ("dummy-cn-0", "no data provider 'dummy-cn-0'; did you mean dummy-cn-n"),
        ("no.such.Class", "data provider 'no.such.Class': cannot import no.such.Class: No module"),
        (f"{__name__}.Yours", "cannot import .*Yours: module .* has no attribute 'Yours'"),
        ("..x", "data provider '..x': cannot import ..x: "),
        (".x", "data provider '.x': cannot import .x: "),
        ("pathlib.Path", "'pathlib.Path': pathlib.Path is not a subclass of DataProvider"),
    ],
)
def test_wrong_names(name, text):
    with pytest.raises(DataError, match=text):
        make(name)


def test_a_path_is_needed():
    with pytest.raises(DataError, match="data provider cifar needs --data-path"):
        make("cifar", path=None)
