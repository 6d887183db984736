from pathlib import Path

import pytest

from convnet import cli, resources
from convnet.errors import ConvnetError
from convnet.resources import find_folder

ROOT = Path(__file__).resolve().parents[1]


def test_in_a_checkout_the_folders_are_beside_the_package():
    assert find_folder("layers") == ROOT / "layers"
    assert find_folder("kernels") == ROOT / "kernels"


def test_in_a_wheel_they_are_inside_whatever_lies_beside_the_package(tmp_path, monkeypatch):
    package = tmp_path / "convnet"
    (package / "_layers").mkdir(parents=True)
    (tmp_path / "layers").mkdir()
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert find_folder("layers") == package / "_layers"


def test_a_missing_folder_is_reported_with_both_places(tmp_path, monkeypatch):
    package = tmp_path / "convnet"
    monkeypatch.setattr(resources, "PACKAGE", package)
    with pytest.raises(ConvnetError) as caught:
        find_folder("kernels")
    assert str(caught.value) == (
        f"the folder kernels that comes with the program is neither at {package / '_kernels'} "
        f"(installed) nor at {tmp_path / 'kernels'} (checkout); install the program again"
    )


def test_shipped_layer_files_are_found_from_any_directory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", "--layer-def", "layers/layers-mnist-quick.cfg"]) == 0
    assert "fc128" in capsys.readouterr().out
    assert cli.main(["check", "--layer-def", "layers/no-such.cfg"]) == 1
    (tmp_path / "layers").mkdir()
    own = tmp_path / "layers" / "layers-mnist-quick.cfg"
    own.write_text("[mine]\ntype=unheard-of\n")
    assert cli.main(["check", "--layer-def", "layers/layers-mnist-quick.cfg"]) == 1
    assert "unheard-of" in capsys.readouterr().err
