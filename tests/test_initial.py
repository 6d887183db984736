"""initWFunc and initBFunc: built-in functions, those of the user's modules, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import convnet
from convnet.checkpoint import Checkpoint, TrainingState, save_checkpoint
from convnet.config.reader import Source
from convnet.errors import ConfigError
from tests.helpers import SHAPES, between, layer, make_net, parameter_file

MODULE = """
import numpy as np

calls = []

def weights(name, index, shape, params=None):
    calls.append((name, index, shape, params))
    return np.full(shape, float(params[0]) if params else 1.0, np.float32)

def biases(name, shape, params=None):
    calls.append((name, shape, params))
    return np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)

def doubles(name, index, shape, params=None):
    return np.zeros(shape)

def wrong_shape(name, index, shape, params=None):
    return np.zeros((1, 2), np.float32)

def nothing(name, index, shape, params=None):
    pass

def fails(name, index, shape, params=None):
    raise RuntimeError("no such table")
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_values.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)


def build(top: str, modules: tuple[str, ...] = ("my_values",)) -> convnet.Net:
    text = between(top)
    return convnet.build(
        Source("net.cfg", text),
        Source("params.cfg", parameter_file(text)),
        data_shapes=SHAPES,
        backend="reference",
        init_modules=modules,
    )


def fc(**keys: str) -> str:
    return layer("top", "fc", "below", outputs=5, **keys)


def test_functions_of_a_module() -> None:
    top = layer("top", "fc", "below,data", outputs=5, initWFunc="my_values.weights(2.5,x)",
                initBFunc="my_values.biases")  # fmt: skip
    net = build(top)
    for index in (0, 1):
        assert (net.get_weights(f"top.weights.{index}") == 2.5).all()
    assert net.get_weights("top.biases").tolist() == [[0, 1, 2, 3, 4]]
    import my_values  # type: ignore[import-not-found]

    assert my_values.calls == [
        ("top", 0, (140, 5), ["2.5", "x"]),
        ("top", 1, (70, 5), ["2.5", "x"]),
        ("top", (1, 5), []),
    ]


def test_other_layers_begin_as_ever() -> None:
    plain = make_net(between(fc()), seed=0)
    net = build(fc(initWFunc="my_values.weights"))
    np.testing.assert_array_equal(
        net.get_weights("below.weights.0"), plain.get_weights("below.weights.0")
    )


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (
            "os.system(true)",
            "this would import and run the Python module 'os'; if you trust it, allow it with "
            "--init-modules os",
        ),
        ("weights", "expected module.function or module.function(a,b)"),
        ("my_values.weights(a,,b)", "an argument is empty"),
        ("my_values.absent", "cannot import it: module 'my_values' has no attribute 'absent'"),
        ("my_values.doubles", "must return float32 (140, 5); found float64 (140, 5)"),
        ("my_values.wrong_shape", "must return float32 (140, 5); found float32 (1, 2)"),
        ("my_values.nothing", "must return float32 (140, 5); found None"),
        ("my_values.fails", "no such table"),
        ("initw.absent", "initw has makew, makeb, makewcat, makebcat, makeb_vec"),
        ("initw.makew(gone)", "gone: no such checkpoint file or run directory"),
    ],
)
def test_mistakes(function: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(fc(initWFunc=function))
    head = f"net.cfg:15: Layer 'top': initWFunc = {function}: "
    assert str(caught.value) == head + says


def saved(tmp_path: Path) -> convnet.Net:
    """A net with layers a and b of 2 and 3 units, saved in `run`."""
    text = between(
        layer("a", "fc", "below", outputs=2) + layer("b", "fc", "below", outputs=3)
        + layer("top", "concat", "a,b")
    )  # fmt: skip
    net = make_net(text)
    for name in ("a.biases", "b.biases"):
        net.set_weights(name, np.random.default_rng(0).random(net.parameters[name].shape))
    checkpoint = Checkpoint(
        {name: values.astype(np.float32) for name, values in net.state().items()},
        Source("net.cfg", text),
        Source("params.cfg", parameter_file(text)),
        list(SHAPES),
        [],
        {},
        TrainingState(1, 1),
    )
    save_checkpoint(tmp_path / "run", checkpoint)
    return net


def test_weights_from_a_checkpoint(tmp_path: Path) -> None:
    old = saved(tmp_path)
    new = build(
        fc(initWFunc="initw.makewcat(run,a,b)", initBFunc="initw.makebcat(run,a, b)").replace(
            "[top]", layer("a", "fc", "below", outputs=2, initWFunc="initw.makew(run)",
                           initBFunc="initw.makeb(run)") + layer("s", "cost.sum2", "a") + "[top]"
        ),
        modules=(),
    )  # fmt: skip
    for kind, axis in (("weights.0", 1), ("biases", 1)):
        a, b = (old.get_weights(f"{name}.{kind}").astype(np.float32) for name in "ab")
        np.testing.assert_array_equal(new.get_weights(f"a.{kind}"), a)
        np.testing.assert_array_equal(
            new.get_weights(f"top.{kind}"), np.concatenate([a, b], axis=axis)
        )


def test_literal_biases_of_columns_and_rows() -> None:
    conv = layer("top", "conv", "below", channels=4, filters=3, filterSize=3,
                 initBFunc="initw.makeb_vec(1,2.5,-3)")  # fmt: skip
    assert build(conv, ()).get_weights("top.biases").tolist() == [[1], [2.5], [-3]]
    row = build(fc(initBFunc="initw.makeb_vec(1,2,3,4,5)"), ()).get_weights("top.biases")
    assert row.tolist() == [[1, 2, 3, 4, 5]]


def test_a_checkpoint_without_the_layer(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(ConfigError, match=r"run: holds no 'c\.biases'$"):
        build(fc(initBFunc="initw.makebcat(run,c)"))


def test_nothing_is_imported_when_a_run_goes_on(tmp_path: Path) -> None:
    """A checkpoint brings its weights: its files may name any module."""
    text = between(fc(initWFunc="os.system(true)"))
    plain = make_net(text)
    checkpoint = Checkpoint(
        {name: values.astype(np.float32) for name, values in plain.state().items()},
        Source("net.cfg", text),
        Source("params.cfg", parameter_file(text)),
        list(SHAPES),
        [],
        {},
        TrainingState(1, 1),
    )
    save_checkpoint(tmp_path / "run", checkpoint)
    net = convnet.load(tmp_path / "run")
    np.testing.assert_allclose(
        net.get_weights("top.weights.0"), plain.get_weights("top.weights.0"), rtol=1e-6
    )
