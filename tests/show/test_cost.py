import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from convnet import cli
from convnet.show.cost import Value, curve, draw_curves, find_value
from convnet.show.figures import open_run
from tests.train.helpers import Workplace

ERROR = Value("logprob", 1, "error")
# Sums and numbers of images; the third has no such cost, the fourth too few values.
OUTPUTS = [
    ({"logprob": [1.0, 3.0]}, 10),
    ({"logprob": [2.0, 5.0]}, 30),
    ({"other": [9.0, 9.0]}, 10),
    ({"logprob": [9.0]}, 10),
    ({"logprob": [3.0, 1.0]}, 20),
    ({"logprob": [4.0, 8.0]}, 10),
]


@pytest.mark.parametrize("window", [1, 2, 3, 9])
def test_a_curve_is_a_running_mean_over_images(window):
    points = [(2, 3.0, 10), (3, 5.0, 30), (8, 1.0, 20), (13, 8.0, 10)]
    expected = []
    for i in range(len(points)):
        total = images = 0
        for j in range(max(0, i - window + 1), i + 1):
            total += points[j][1]
            images += points[j][2]
        expected.append(total / images)
    times, values = curve([2, 3, 4, 5, 8, 13], OUTPUTS, Value("logprob", 1, "error"), window)
    assert times.tolist() == [2, 3, 8, 13]
    np.testing.assert_allclose(values, expected, rtol=1e-14)


def test_an_empty_curve():
    times, values = curve([], [], Value("logprob", 0, "logprob"))
    assert times.shape == values.shape == (0,)


def test_a_mean_over_the_images_that_have_a_label():
    outputs = [({"cost": [6.0, 3.0, 4.0]}, 10), ({"cost": [0.0, 0.0, 0.0]}, 10)]
    _, values = curve([1, 2], outputs, Value("cost", 1, "error", counted=2))
    assert values.tolist() == [0.75, 0]


def lines(runs, value=ERROR, smooth=False):
    """The drawn curves by label, x in batches, and the results in words."""
    axes = Figure().subplots()
    results = draw_curves(axes, runs, value, smooth)
    drawn = {line.get_label(): line.get_xydata() * [4, 1] for line in axes.lines}
    assert [t.get_text() for t in axes.get_legend().get_texts()] == list(drawn)
    return drawn, results


def test_the_curves_of_a_run(place):
    run = open_run(place.root / "run")
    state = run.checkpoint.state
    drawn, results = lines([run])
    assert drawn.keys() == {"training", "test"}
    for points, times, outputs in (
        (drawn["training"], range(1, 13), state.train_outputs),
        (drawn["test"], [5, 10, 12], state.test_outputs),
    ):
        np.testing.assert_allclose(points[:, 0], times)
        np.testing.assert_allclose(points[:, 1], [c["logprob"][1] / n for c, n in outputs])
    assert results == [f"logprob: error {drawn['test'][-1, 1]:.4f} on the last test"]


def test_tests_are_averaged_over_the_test_range(place):
    run = open_run(place.root / "run")
    values = [costs["logprob"][1] for costs, _ in run.checkpoint.state.test_outputs]
    drawn, results = lines([run], smooth=True)
    # There are two test batches of 11 images, tested in turn.
    expected = [values[0] / 11, (values[0] + values[1]) / 22, (values[1] + values[2]) / 22]
    np.testing.assert_allclose(drawn["test"][:, 1], expected)
    assert results == [f"logprob: error {expected[-1]:.4f} on the last 2 tests"]
    # A test on the whole range is an average already.
    run.checkpoint.options["test_one"] = False
    drawn, results = lines([run], smooth=True)
    np.testing.assert_allclose(drawn["test"][:, 1], np.divide(values, 11))
    assert results[0].endswith("on the last test")


def test_tests_are_drawn_when_they_were_made(place):
    """Also where --test-freq changed on resume."""
    assert place.train("twice", epochs=1, test_freq=3) == 0
    assert place.resume("twice", epochs=2, test_freq=2) == 0
    assert place.checkpoint("twice").state.test_times == [3, 4, 6, 8]
    drawn, _ = lines([open_run(place.root / "twice")])
    assert drawn["training"][:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert drawn["test"][:, 0].tolist() == [3, 4, 6, 8]


def test_several_runs_are_told_apart(place, tmp_path):
    shutil.copytree(place.root / "run", tmp_path / "copy")
    shutil.copytree(place.root / "run", tmp_path / "run")
    run, copy, same = map(open_run, (place.root / "run", tmp_path / "copy", tmp_path / "run"))
    drawn, results = lines([run, copy])
    assert list(drawn) == ["run training", "run test", "copy training", "copy test"]
    assert [result.partition(":")[0] for result in results] == ["run logprob", "copy logprob"]
    # Of the same name: the whole path.
    drawn, _ = lines([run, same])
    assert list(drawn)[1::2] == [f"{run.path} test", f"{same.path} test"]


def test_all_runs_must_have_the_cost(place, tmp_path, capsys):
    other = Workplace(tmp_path)
    for file in (other.definition, other.parameters):
        file.write_text(file.read_text().replace("[logprob]", "[another]"))
    assert other.train("run", epochs=1) == 0
    words = ["show", "cost", "-f", str(place.root / "run"), str(tmp_path / "run")]
    assert cli.main(words) == 1
    says = f"error: --show-cost: {tmp_path / 'run'} has no cost 'logprob'; it has another\n"
    assert capsys.readouterr().err == says


def test_the_first_cost_and_value_are_the_default(place):
    assert find_value(open_run(place.root / "run")) == Value("logprob", 0, "logprob")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("cost",), "cost-logprob.png"),
        (("cost", "--show-cost=logprob", "--cost-idx=1"), "cost-logprob-1.png"),
        (("--show-cost=logprob", "--cost-idx", "2"), "cost-logprob-2.png"),
        (("cost", "--smooth-test-errors=0", "--test-range=5", "--train-range=1-2"),
         "cost-logprob.png"),
    ],
)  # fmt: skip
def test_command(show, tmp_path, place, options, name):
    run = Path(shutil.copytree(place.root / "run", tmp_path / "mine"))
    printed = show(*options, run=run).splitlines()
    assert printed[-1] == f"Wrote {run / name}"
    assert printed[0].startswith("logprob: ")
    assert (run / name).read_bytes().startswith(b"\x89PNG")


def test_ranges_set_the_length_of_epoch_and_mean(show, monkeypatch):
    seen = []

    def draw(runs, value, smooth, out):
        seen.append((runs[0].checkpoint.options, smooth))
        return []

    monkeypatch.setattr("convnet.show.cli.draw_cost", draw)
    show("cost", train_range="1-2", test_range="5")
    show("cost", smooth_test_errors="0")
    (options, smooth), (as_run, rough) = seen
    assert (options["train_range"], options["test_range"], smooth) == ([1, 2], [5], True)
    assert (as_run["train_range"], as_run["test_range"], rough) == ([1, 2, 3, 4], [5, 6], False)


@pytest.mark.parametrize("separator", [",", " ", None])
def test_several_runs_on_the_command_line(place, tmp_path, capsys, separator):
    first, second = place.root / "run", tmp_path / "second"
    shutil.copytree(first, second)
    words = {
        ",": [f"--load-file={first},{second}"],
        " ": ["--load-file", str(first), str(second)],
        None: ["-f", str(first), "-f", str(second)],
    }[separator]
    out = tmp_path / "both.svg"
    assert cli.main(["show", "cost", *words, f"--out={out}"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in printed] == [
        "run logprob",
        "second logprob",
        f"Wrote {out}",
    ]
    assert out.read_bytes().startswith(b"<?xml")
