"""Tests without training, ten views, features, and NaNs wherever they come from."""

import ast
import json
import re

import numpy as np
import pytest

import convnet
from convnet import cli
from convnet.net import Net
from data_providers import ProviderOptions, create
from data_providers.images import ImageProvider
from data_providers.pickles import load_pickle
from tests.train.helpers import CASES, DEFINITION, Workplace, as_arguments, assert_same


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("testing"))
    assert place.train("run") == 0
    return place


def run(place, **options) -> int:
    return cli.main(as_arguments({"load_file": place.root / "run", **options}))


def loaded(place, number, *, multiview=False):
    """Data and labels of a test batch, which the provider's own tests check."""
    options = ProviderOptions(inner_size=5, multiview_test=multiview)
    return create("batches", place.data, [number], options, test=True).load(number, 1)


def softmax_of(place, images):
    net = convnet.load(place.root / "run", batch_size=images.shape[1], keep=["probs"])
    net.forward([images, np.zeros((1, images.shape[1]), np.float32)])
    return net.activity("probs").reshape(3, -1).astype(np.float64)


def costs_of(probs, labels):
    """-log p, error and top-2 error, summed over the images."""
    found = np.zeros(3)
    for p, label in zip(probs.T, labels.astype(int), strict=True):
        rank = np.sum(p > p[label])
        found += [-np.log(p[label]), rank > 0, rank > 1]
    return found


@pytest.mark.parametrize("multiview", [False, True])
def test_test_only(place, capsys, multiview):
    before = {p: p.read_bytes() for p in (place.root / "run").iterdir()}
    assert run(place, test_only=1, multiview_test=int(multiview)) == 0
    assert {p: p.read_bytes() for p in (place.root / "run").iterdir()} == before
    lines = capsys.readouterr().out.splitlines()
    expected = []
    for number in (5, 6):
        images, labels = loaded(place, number, multiview=multiview)
        views = [
            softmax_of(place, images[:, start : start + CASES])
            for start in range(0, images.shape[1], CASES)
        ]
        assert len(views) == (10 if multiview else 1)
        expected.append(costs_of(np.mean(views, axis=0), labels[0, :CASES]))
    matches = [re.match(r"batch (\d): (\(.*?\}, \d+\)) \(\d\.\d{3} sec\)$", x) for x in lines]
    printed = {int(m[1]): ast.literal_eval(m[2]) for m in matches if m}
    assert list(printed) == [5, 6]
    for (costs, cases), right in zip(printed.values(), expected, strict=True):
        assert cases == CASES
        np.testing.assert_allclose(costs["logprob"], right, rtol=1e-5)
    at = lines.index("=" * 22 + "Test output" + "=" * 22)
    found = [float(x) for x in lines[at + 1].removeprefix("logprob:  ").split(", ")]
    np.testing.assert_allclose(found, np.sum(expected, axis=0) / (2 * CASES), atol=2e-6)
    assert not any("Averages" in line or "Saved" in line for line in lines)
    assert lines[-1] == "=" * 55
    assert lines[at + 3].startswith("Layer 'conv' weights[0]: ")


def test_views_while_training(place, capsys):
    """They change the tests and nothing else."""
    assert place.train("views", multiview_test=1, epochs=1) == 0
    assert place.train("view", epochs=1) == 0
    views, view = place.checkpoint("views"), place.checkpoint("view")
    assert views.state.test_outputs != view.state.test_outputs
    views.state.test_outputs = view.state.test_outputs
    assert_same(views, view)


def test_a_new_net_can_be_tested(place, capsys):
    arguments = place.arguments(test_only=1, train_range=None)
    assert cli.main(arguments) == 0
    assert "Test output" in capsys.readouterr().out


def test_views_are_never_in_memory_together(place, monkeypatch, capsys):
    monkeypatch.setattr(ImageProvider, "load", None)
    assert run(place, test_only=1, multiview_test=1) == 0


def test_views_need_a_cost_that_can_average(place, capsys):
    definition = place.root / "sum2.cfg"
    without_labels = DEFINITION.replace("[labels]\ntype = data\ndataIdx = 1\n", "")
    layers = without_labels[: without_labels.index("[probs]")]
    definition.write_text(layers + "[logprob]\ntype = cost.sum2\ninputs = fc\n")
    arguments = place.arguments(
        layer_def=definition, save_file=place.root / "sum2", multiview_test=1, epochs=1
    )
    assert cli.main(arguments) == 1
    expected = "error: --multiview-test needs a cost.logreg layer; the net has none\n"
    assert capsys.readouterr().err == expected


# --- features -------------------------------------------------------------------------------


def expected_features(place, name, number):
    images, labels = loaded(place, number)
    net = convnet.load(place.root / "run", batch_size=CASES, keep=[name])
    net.forward([images, labels])
    return net.activity(name).reshape(-1, CASES).T, labels


@pytest.mark.parametrize("name", ["conv", "conv_neuron", "fc", "probs", "data", "labels"])
def test_features(place, tmp_path, capsys, name):
    path = tmp_path / "new" / "features"
    assert run(place, write_features=name, feature_path=path) == 0
    files = {number: path / f"data_batch_{number}.npz" for number in (5, 6)}
    assert sorted(path.iterdir()) == [*files.values(), path / "features.json"]
    printed = capsys.readouterr().out.splitlines()
    for number, file in files.items():
        assert f"Wrote feature file {file}" in printed
        right, labels = expected_features(place, name, number)
        with np.load(file, allow_pickle=False) as content:
            assert sorted(content) == ["features", "labels"]
            assert content["features"].dtype == np.float32
            assert content["features"].flags.c_contiguous
            np.testing.assert_allclose(content["features"], right, rtol=1e-5, atol=1e-7)
            np.testing.assert_array_equal(content["labels"], labels[0])
    assert json.loads((path / "features.json").read_text()) == {
        "source_model": str(place.root / "run"),
        "layer": name,
        "numbers": right.shape[1],
        "label_names": ["a", "b", "c"],
        "batches": {"5": "data_batch_5.npz", "6": "data_batch_6.npz"},
    }


def test_a_layer_stands_for_what_its_neuron_makes_of_it(place, tmp_path):
    """As in cuda-convnet, where the neuron overwrites the output of its layer."""
    for name in ("conv", "conv_neuron"):
        assert run(place, write_features=name, feature_path=tmp_path / name) == 0
    conv, neuron = (np.load(tmp_path / n / "data_batch_5.npz") for n in ("conv", "conv_neuron"))
    with conv, neuron:
        np.testing.assert_array_equal(conv["features"], neuron["features"])
        assert conv["features"].min() == 0
        assert conv["features"].shape == (CASES, 3 * 5 * 5)


def test_a_neuron_that_needs_its_input_leaves_it(tmp_path):
    place = Workplace(tmp_path)
    place.definition.write_text(DEFINITION.replace("neuron = relu", "neuron = square"))
    for name in ("conv", "conv_neuron"):
        arguments = place.arguments(
            test_range=5, write_features=name, feature_path=tmp_path / name, train_range=None
        )
        assert cli.main(arguments) == 0
    before, after = (np.load(tmp_path / n / "data_batch_5.npz") for n in ("conv", "conv_neuron"))
    with before, after:
        assert before["features"].min() < 0
        np.testing.assert_allclose(after["features"], before["features"] ** 2, rtol=1e-6)


def test_pickled_features(place, tmp_path):
    assert run(place, write_features="fc", feature_path=tmp_path, feature_format="pickle") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "batches.meta",
        "data_batch_5",
        "data_batch_6",
    ]
    for number in (5, 6):
        right, labels = expected_features(place, "fc", number)
        content = load_pickle(tmp_path / f"data_batch_{number}")
        assert list(content) == ["data", "labels"]
        assert content["data"].dtype == content["labels"].dtype == np.float32
        np.testing.assert_allclose(content["data"], right, rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(content["labels"], labels)
    assert load_pickle(tmp_path / "batches.meta") == {
        "source_model": str(place.root / "run"),
        "num_vis": 3,
        "batch_size": 4,
    }


def test_a_run_tested_on_ten_views_gives_features_of_one(place, tmp_path):
    assert place.train("ten", multiview_test=1, epochs=1, test_range=5) == 0
    options = {"load_file": place.root / "ten", "write_features": "fc", "feature_path": tmp_path}
    assert cli.main(as_arguments(options)) == 0
    with np.load(tmp_path / "data_batch_5.npz") as content:
        assert content["features"].shape == (CASES, 3)


def test_features_of_data_without_labels(tmp_path):
    definition = "[data]\ntype=data\ndataIdx=0\n[fc]\ntype=fc\ninputs=data\noutputs=4\n"
    (tmp_path / "def.cfg").write_text(definition + "[size]\ntype=cost.sum2\ninputs=fc\n")
    rates = "[fc]\nepsW=0\nepsB=0\nmomW=0\nmomB=0\nwc=0\n[size]\ncoeff=1\n"
    (tmp_path / "params.cfg").write_text(rates)
    options = {
        "data_provider": "dummy-12",
        "batch_size": 6,
        "test_range": 1,
        "layer_def": tmp_path / "def.cfg",
        "layer_params": tmp_path / "params.cfg",
        "write_features": "fc",
        "feature_path": tmp_path,
    }
    assert cli.main(as_arguments(options)) == 0
    with np.load(tmp_path / "data_batch_1.npz") as content:
        assert {name: content[name].shape for name in content} == {"features": (6, 4)}
    assert cli.main(as_arguments({**options, "feature_format": "pickle"})) == 0
    assert list(load_pickle(tmp_path / "data_batch_1")) == ["data"]


# --- NaNs -----------------------------------------------------------------------------------


def test_a_nan_in_the_data(place, capsys, monkeypatch):
    load = ImageProvider.load

    def damaged(self, number, epoch):
        data, labels = map(np.asarray, load(self, number, epoch))
        if (number, epoch) == (2, 2):
            data[7, 9] = np.nan
        return [data, labels]

    monkeypatch.setattr(ImageProvider, "load", damaged)
    assert place.train("nan-data") == 1
    assert capsys.readouterr().err.startswith(
        "error: batch 2.2, minibatch 2: Layer 'data': its data holds a NaN or infinity; mend"
    )
    # The last test came after batch 2.1.
    assert place.checkpoint("nan-data").state.batch == 1


def test_weights_that_are_no_numbers_are_never_saved(place, capsys, monkeypatch):
    """The last step before a test can make them, and the costs looked at so far were finite."""
    steps = 0
    train_step = Net.train_step

    def spoiled(self, *args):
        nonlocal steps
        steps += 1
        costs = train_step(self, *args)
        if steps == 30:  # the last minibatch before the second test
            weights = self.get_weights("fc.weights.0")
            weights[0, 0] = np.nan
            self.set_weights("fc.weights.0", weights)
        return costs

    monkeypatch.setattr(Net, "train_step", spoiled)
    assert place.train("nan-weights") == 1
    assert capsys.readouterr().err == (
        "error: after batch 3.2: test batch 6: Layer 'fc': fc.weights.0 holds a NaN or infinity; "
        "lower the learning rates (epsW, epsB) or initW and go on from the last checkpoint\n"
    )
    assert [p.name for p in (place.root / "nan-weights").glob("*.safetensors")] == [
        "2.1.safetensors"
    ]


def test_an_increment_that_is_no_number_is_never_saved(place, capsys, monkeypatch):
    state = Net.state

    def spoiled(self):
        values = state(self)
        values["conv.biases.inc"][0, 0] = np.inf
        return values

    monkeypatch.setattr(Net, "state", spoiled)
    assert place.train("nan-increment") == 1
    assert capsys.readouterr().err == (
        "error: batch 2.1: 'conv.biases.inc' holds a NaN or infinity and is not saved; "
        "lower the learning rates (epsW, epsB) or initW and go on from the last checkpoint\n"
    )
    assert not list((place.root / "nan-increment").glob("*.safetensors"))


def test_nan_while_testing_only(place, capsys, monkeypatch):
    load_view = ImageProvider.load_view

    def damaged(self, number, view):
        data, labels = load_view(self, number, view)
        return [np.asarray(data) * np.float32(np.nan), labels]

    monkeypatch.setattr(ImageProvider, "load_view", damaged)
    for options in ({"test_only": 1}, {"write_features": "fc", "feature_path": place.root / "f"}):
        assert run(place, **options) == 1
        assert "Layer 'data': its data holds a NaN or infinity" in capsys.readouterr().err
    assert not (place.root / "f").exists()


@pytest.mark.parametrize("multiview", [False, True])
def test_predictions_of_a_test_are_written(place, tmp_path, multiview):
    options = {"test_only": 1, "multiview_test": int(multiview), "test_out": tmp_path / "out"}
    assert run(place, **options) == 0
    for number in (5, 6):
        images, _ = loaded(place, number, multiview=multiview)
        views = [
            softmax_of(place, images[:, start : start + CASES])
            for start in range(0, images.shape[1], CASES)
        ]
        with np.load(tmp_path / f"out/test_preds_{number}.npz") as file:
            assert file["predictions"].dtype == np.float32
            np.testing.assert_allclose(file["predictions"], np.mean(views, axis=0).T, rtol=1e-5)


def test_predictions_in_the_form_of_the_original(place, tmp_path):
    assert run(place, test_only=1, test_out=tmp_path, feature_format="pickle") == 0
    content = load_pickle(tmp_path / "test_preds_5")
    assert content["note"] == f"generated from {place.root / 'run'}"
    assert (content["data"].dtype, content["data"].shape) == (np.float32, (CASES, 3))
    np.testing.assert_allclose(content["data"].sum(axis=1), 1, rtol=1e-5)


def test_predictions_need_to_know_which_cost(place, tmp_path, capsys):
    options = {"test_only": 1, "multiview_test": 1, "logreg_name": "absent"}
    assert run(place, **options) == 1
    assert run(place, **options, test_out=tmp_path / "out") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == 2 * [
        "error: --logreg-name: expected a cost.logreg layer, whose predictions --test-out "
        "writes; the net has logprob, found 'absent'"
    ]
    assert not (tmp_path / "out").exists()


def test_costs_of_one_layer_need_no_name(tmp_path, capsys):
    place = Workplace(tmp_path)
    parent = "\n[parent]\ntype=cost.logreg\ninputs=labels,probs\nchildren=logprob\n"
    place.definition.write_text(DEFINITION + parent)
    place.parameters.write_text(place.parameters.read_text() + "\n[parent]\ncoeff=1\n")
    tested = place.arguments(test_only=1, multiview_test=1, test_out=tmp_path / "out")
    assert cli.main(tested) == 0
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert re.search(r"^parent:  [\d., ]+$", capsys.readouterr().out, re.M)


def test_force_save_saves_after_features(place, tmp_path, capsys):
    features = {"write_features": "fc", "feature_path": tmp_path / "features", "test_range": 5}
    assert run(place, **features, force_save=1, save_file=tmp_path / "again") == 0
    assert f"Saved checkpoint to {tmp_path / 'again'}" in capsys.readouterr().out
    again = convnet.checkpoint.load_checkpoint(tmp_path / "again")
    assert_same(again, place.checkpoint("run"))


def test_force_save_saves_after_a_test(place, tmp_path, capsys):
    assert run(place, test_only=1, force_save=1, save_file=tmp_path / "again") == 0
    assert f"Saved checkpoint to {tmp_path / 'again'}" in capsys.readouterr().out
    assert_same(convnet.checkpoint.load_checkpoint(tmp_path / "again"), place.checkpoint("run"))


def test_a_transformed_net_can_be_saved_and_gives_the_same(place, tmp_path, capsys):
    def tested(**options):
        assert run(place, test_only=1, **options) == 0
        out = capsys.readouterr().out
        return [float(n) for n in re.search(r"^logprob:  (.*)$", out, re.M)[1].split(", ")]

    before = tested()
    local = tested(conv_to_local="conv", force_save=1, save_file=tmp_path / "local")
    np.testing.assert_allclose(local, before, atol=2e-6)
    assert cli.main(as_arguments({"load_file": tmp_path / "local", "test_only": 1})) == 0
    assert "locally-connected layer 'conv'" in capsys.readouterr().out
    # The run goes on as a local net; the option is not repeated.
    assert cli.main(as_arguments({"load_file": tmp_path / "local", "epochs": 4})) == 0


def test_a_warning_about_a_transformed_net_comes_once(tmp_path, capsys):
    place = Workplace(tmp_path)
    place.parameters.write_text(place.parameters.read_text() + "\n[gone]\nepsW=1\n")
    options = {"lenient": 1, "conv_to_local": "conv", "test_only": 1}
    assert cli.main(place.arguments(**options)) == 0
    assert capsys.readouterr().out.count("warning: ") == 1


def test_options_that_do_nothing_say_so(place, capsys):
    assert run(place, test_only=1, num_gpus=2, zip_save=1) == 0
    out = capsys.readouterr().out
    assert "warning: --num-gpus: one device computes all; the option does nothing\n" in out
    assert (
        "warning: --zip-save: checkpoints are safetensors files and are not compressed; the option "
        "does nothing\n"
    ) in out


def test_short_name_of_load_file(place, capsys):
    assert cli.main(["-f", str(place.root / "run"), "--test-only", "1"]) == 0
    assert "Test output" in capsys.readouterr().out
