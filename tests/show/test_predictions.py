import json
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.axes import Axes

import convnet
from convnet import cli
from convnet.errors import ConvnetError, NonFiniteError
from convnet.show.predictions import (
    Example,
    draw_predictions,
    examples,
    open_classifier,
    predict_all,
    write_predictions,
)
from convnet.train.session import open_session
from data_providers import ProviderOptions, create
from tests.show.conftest import pixels_of
from tests.train.helpers import CASES, DEFINITION, Workplace, write_batches


def classifier_of(place, **options):
    given = {"load_file": str(place.root / "run"), "test_only": True, **options}
    return open_classifier(open_session(given))


def provider_of(place, **options):
    return create(
        "batches", place.data, [5, 6], ProviderOptions(inner_size=5, **options), test=True
    )


def expected_probs(place, images):
    """The net's softmax, averaged over the views that `images` holds side by side."""
    net = convnet.load(place.root / "run", batch_size=CASES, backend="reference", keep=["probs"])
    total = 0
    views = images.shape[1] // CASES
    for view in range(views):
        net.forward([images[:, view * CASES :][:, :CASES], np.zeros((1, CASES), np.float32)])
        total = total + net.activity("probs").reshape(3, CASES) / views
    return total.T


@pytest.mark.parametrize("multiview", [False, True])
def test_predictions_are_means_over_views(place, multiview):
    provider = provider_of(place, multiview_test=multiview)
    assert provider.num_views == (10 if multiview else 1)
    batches = dict(predict_all(classifier_of(place, multiview_test=multiview)))
    assert list(batches) == [5, 6]
    for number, found in batches.items():
        images, labels = provider.load(number, 1)
        np.testing.assert_allclose(found.probs, expected_probs(place, images), rtol=1e-4)
        assert found.labels.tolist() == labels[0, :CASES].tolist()


def test_examples_are_all_test_images_in_random_order(place):
    classifier = classifier_of(place)
    found = list(examples(classifier, only_errors=False, seed=1))
    assert len(found) == 2 * CASES
    order = {5: [], 6: []}
    for number in order:
        images, labels = provider_of(place).load(number, 1)
        shown = provider_of(place).plottable(images)
        probs = expected_probs(place, images)
        for example in found:
            same = [i for i in range(CASES) if np.array_equal(shown[i], example.pixels)]
            if same:
                order[number] += same
                assert example.label == labels[0, same[0]]
                np.testing.assert_allclose(example.probs, probs[same[0]], rtol=1e-4)
    for places in order.values():
        assert sorted(places) == list(range(CASES))
        assert places != sorted(places)
    again = list(examples(classifier, only_errors=False, seed=1))
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(found, again, strict=True))
    other = list(examples(classifier, only_errors=False, seed=2))
    assert not all(np.array_equal(a.pixels, b.pixels) for a, b in zip(found, other, strict=True))


def test_only_errors(place):
    classifier = classifier_of(place)
    everything = list(examples(classifier, only_errors=False, seed=0))
    wrong = list(examples(classifier, only_errors=True, seed=0))
    expected = [e for e in everything if np.argmax(e.probs) != e.label]
    assert 0 < len(expected) < len(everything)
    assert [e.label for e in wrong] == [e.label for e in expected]


def drawn_by(monkeypatch, found, names, out):
    """Draws examples; returns pictures, titles and bars as (class, probability, colour)."""
    pictures, titles, bars = [], [], []
    imshow, barh, title, text = Axes.imshow, Axes.barh, Axes.set_title, Axes.text

    def record_bars(self, places, widths, color, **style):
        bars.append(list(zip(widths.round(4).tolist(), color, strict=True)))
        return barh(self, places, widths, color=color, **style)

    def record_name(self, x, y, name, **style):
        bars[-1][y] = (name, *bars[-1][y])
        return text(self, x, y, name, **style)

    monkeypatch.setattr("convnet.show.predictions.examples", lambda *args: iter(found))
    monkeypatch.setattr(Axes, "barh", record_bars)
    monkeypatch.setattr(Axes, "text", record_name)
    monkeypatch.setattr(Axes, "imshow", lambda *a, **k: pictures.append(a[1]) or imshow(*a, **k))
    monkeypatch.setattr(Axes, "set_title", lambda *a, **k: titles.append(a[1]) or title(*a, **k))

    result = draw_predictions(SimpleNamespace(names=names), False, 0, out)
    return result, pictures, titles, bars


def test_what_is_drawn(tmp_path, monkeypatch):
    names = ["cat, house cat", "dog", "emu", "fox", "gnu", "$h^^$"]
    grey = Example(np.full((4, 5, 1), 0.25), np.array([0.1, 0.5, 0.05, 0.2, 0.03, 0.12]), 0)
    colour = Example(np.full((4, 5, 3), [0, 0.5, 1]), np.array([0.9, 0.1, 0, 0, 0, 0]), 0)
    two = Example(np.full((4, 5, 2), [0, 1]), np.array([0, 0, 0, 0, 0, 1.0]), 5)
    result, pictures, titles, bars = drawn_by(
        monkeypatch, [grey, colour, two] * 4, names, tmp_path / "preds.png"
    )
    assert result == "5 of 8 images are classified right"
    assert titles == ["cat", "cat", "$h^^$"] * 2 + ["cat", "cat"]
    # The five best, the best at the top, that is last.
    assert bars[0] == [
        ("emu", 0.05, "tab:blue"),
        ("cat", 0.1, "tab:red"),
        ("$h^^$", 0.12, "tab:blue"),
        ("fox", 0.2, "tab:blue"),
        ("dog", 0.5, "tab:blue"),
    ]
    np.testing.assert_array_equal(pictures[0], np.full((4, 5, 3), 0.25))
    np.testing.assert_array_equal(pictures[1], colour.pixels)
    np.testing.assert_array_equal(pictures[2], np.full((4, 5, 3), 0.5))
    assert len(pictures) == len(bars) == 8
    # Red, blue, and the pictures.
    assert len(np.unique(pixels_of(tmp_path / "preds.png").reshape(-1, 3), axis=0)) > 10


def test_fewer_images_and_classes_than_there_is_room(tmp_path, monkeypatch):
    example = Example(np.zeros((2, 2, 1)), np.array([0.75, 0.25]), 1)
    result, pictures, _, bars = drawn_by(monkeypatch, [example], ["a", "b"], tmp_path / "p.svg")
    assert result == "0 of 1 images are classified right"
    assert len(pictures) == 1
    assert bars == [[("b", 0.25, "tab:red"), ("a", 0.75, "tab:blue")]]


def test_no_errors(tmp_path, monkeypatch):
    text = "--only-errors: no test image is misclassified; leave it out"
    with pytest.raises(ConvnetError, match=text):
        drawn_by(monkeypatch, [], ["a"], tmp_path / "p.png")


def test_command_and_old_spelling(show, place, tmp_path, monkeypatch):
    seen = []
    draw = draw_predictions

    def record(classifier, *rest):
        seen.append((classifier.softmax, *rest))
        return draw(classifier, *rest)

    monkeypatch.setattr("convnet.show.cli.draw_predictions", record)
    beside = place.root / "run" / "preds-probs.png"
    assert show("preds").startswith(f"Wrote {beside}; ")
    assert pixels_of(beside).std() > 10
    beside.unlink()
    out = tmp_path / "p.png"
    show(show_preds="probs", only_errors=1, seed=3, out=out)
    assert seen == [("probs", False, 0, beside), ("probs", True, 3, out)]


def test_other_data_than_those_of_the_run(show, place, tmp_path):
    write_batches(tmp_path / "other", batches=3)
    options = {"data_path": tmp_path / "other", "test_range": 3, "scalar_mean": 100, "gpu": "0,1"}
    more = {"data_provider": "cifar", "inner_size": 5, "multiview_test": 1}
    show("preds", save_preds=tmp_path / "out", **options, **more)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "predictions.json",
        "test_preds_3.npz",
    ]
    other = ProviderOptions(inner_size=5, multiview_test=True, scalar_mean=100)
    images, _ = create("batches", tmp_path / "other", [3], other, test=True).load(3, 1)
    with np.load(tmp_path / "out" / "test_preds_3.npz") as file:
        np.testing.assert_allclose(file["predictions"], expected_probs(place, images), rtol=1e-4)


def test_saved_predictions(show, place, tmp_path):
    out = tmp_path / "saved"
    printed = show("preds", save_preds=out)
    files = [out / "test_preds_5.npz", out / "test_preds_6.npz", out / "predictions.json"]
    assert printed.splitlines() == [f"Wrote {file}" for file in files]
    found = json.loads(files[-1].read_text())
    assert found == {
        "source_model": str(place.root / "run"),
        "layer": "probs",
        "label_names": ["a", "b", "c"],
        "batches": {"5": "test_preds_5.npz", "6": "test_preds_6.npz"},
    }
    for number, file in zip((5, 6), files, strict=False):
        images, labels = provider_of(place).load(number, 1)
        with np.load(file) as arrays:
            assert arrays["predictions"].dtype == np.float32
            probs = expected_probs(place, images)
            np.testing.assert_allclose(arrays["predictions"], probs, rtol=1e-4)
            assert arrays["labels"].tolist() == labels[0].tolist()


def test_names_where_the_data_have_too_few(place):
    session = open_session({"load_file": str(place.root / "run"), "test_only": True})
    assert open_classifier(session).names == ["a", "b", "c"]
    session.test_data.label_names = ("only",)
    assert open_classifier(session).names == ["0", "1", "2"]


def test_a_nan_is_told_with_its_batch(place, tmp_path):
    classifier = classifier_of(place)
    weights = classifier.session.net.get_weights("fc.weights.0")
    classifier.session.net.set_weights("fc.weights.0", weights * np.inf)
    with pytest.raises(NonFiniteError, match=r"^test batch 5: Layer 'fc': fc\.weights\.0 holds"):
        list(write_predictions(classifier, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_pictures_in_colour(tmp_path):
    place = Workplace(tmp_path)
    write_batches(tmp_path / "colour", (3, 6, 7))
    place.definition.write_text(DEFINITION.replace("channels = 2", "channels = 3"))
    assert place.train("run", data_path=tmp_path / "colour", epochs=1) == 0
    out = tmp_path / "colour.png"
    assert cli.main(["show", "preds", "-f", str(tmp_path / "run"), "--out", str(out)]) == 0
    pixels = pixels_of(out)[:, :300]
    assert np.abs(pixels[..., 0] - pixels[..., 2]).max() > 50
