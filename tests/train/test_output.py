"""How many batches are trained, and the lines and log that tell of them."""

import json
import re

import numpy as np
import pytest

from convnet import cli
from convnet.net import Net
from convnet.options import Options
from convnet.train import session
from tests.train.helpers import CASES, Workplace, as_arguments

NUMBER = r"\d+\.\d{6}"
COSTS = rf"logprob:  {NUMBER}, {NUMBER}, {NUMBER}"
SECONDS = r"\(\d+\.\d{3} sec\)"
TRAINED = rf"(\d+)\.(\d+) \((\d+\.\d\d)%\)\.\.\. ({COSTS})"
FLOAT = r"\d\.\d{6}e[+-]\d\d"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Workplace(tmp_path_factory.mktemp("output"))


def train(place, capsys, run, **changes):
    """The lines that a run prints."""
    assert place.train(run, **changes) == 0
    return capsys.readouterr().out.splitlines()


def trained_batches(lines):
    """Epoch, batch and percentage of each training line."""
    matches = [m for line in lines if (m := re.match(TRAINED, line))]
    return [(int(m[1]), int(m[2]), m[3]) for m in matches]


def test_batches_are_counted_exactly(place, capsys):
    lines = train(place, capsys, "count", train_range="2-4", epochs=2)
    numbers = [(epoch, batch) for epoch in (1, 2) for batch in (2, 3, 4)]
    assert trained_batches(lines) == [
        (*number, f"{100 * i / 6:.2f}") for i, number in enumerate(numbers)
    ]
    state = place.checkpoint("count").state
    assert (state.epoch, state.batch, len(state.train_outputs)) == (2, 4, 6)


def test_start(place, capsys):
    lines = train(place, capsys, "start", epochs=1)
    assert lines[:4] == [
        "Initialized data layer 'data', producing 5x5 2-channel output",
        "Initialized data layer 'labels', producing 1 outputs",
        "Initialized convolutional layer 'conv', producing 5x5 3-channel output",
        "Initialized neuron layer 'conv_neuron', producing 5x5 3-channel output",
    ]
    rules = [i for i, line in enumerate(lines) if line == "=" * 25]
    assert lines[rules[0] + 1] == "Training ConvNet"
    assert "--mini            images per minibatch: 4" in lines[rules[0] : rules[1]]
    running, current, saving = lines[rules[1] + 1 : rules[2]]
    assert running.startswith("Running on the CPU")
    assert re.fullmatch(r"Current time: \w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}", current)
    assert saving == f"Saving checkpoints to {place.root / 'start'}"
    assert lines[rules[2] + 1].startswith("1.1 (0.00%)... ")


def test_lines_of_batches_and_tests(place, capsys):
    lines = train(place, capsys, "lines", epochs=1, test_freq=3)
    lines = lines[lines.index(next(line for line in lines if line.startswith("1.1 "))) :]
    block = [
        "",
        "======================Test output======================",
        COSTS,
        "",
        "----------------------Averages-------------------------",
        COSTS,
        "-------------------------------------------------------",
        rf"Layer 'conv' weights\[0\]: {FLOAT} \[{FLOAT}\] \[{FLOAT}\]",
        rf"Layer 'conv' biases: {FLOAT} \[{FLOAT}\]",
        rf"Layer 'fc' weights\[0\]: {FLOAT} \[{FLOAT}\] \[{FLOAT}\]",
        rf"Layer 'fc' biases: {FLOAT} \[{FLOAT}\]",
        "-------------------------------------------------------",
        rf"Saved checkpoint to {re.escape(str(place.root / 'lines'))}/1\.%s\.safetensors",
        rf"======================================================= {SECONDS}",
    ]
    expected = [rf"{TRAINED} {SECONDS}"] * 2 + [TRAINED, *block, TRAINED, *block]
    saved = iter("34")
    for line, pattern in zip(lines, expected, strict=True):
        if "%s" in pattern:
            pattern %= next(saved)
        assert re.fullmatch(pattern, line), (line, pattern)


def test_numbers_are_means_over_images(place, capsys):
    lines = train(place, capsys, "means", epochs=1, test_freq=2)
    state = place.checkpoint("means").state
    costs, cases = state.train_outputs[0]
    assert cases == CASES
    printed = [re.match(TRAINED, line)[4] for line in lines if line.startswith("1.1 ")]
    assert printed == ["logprob:  " + ", ".join(f"{x / CASES:.6f}" for x in costs["logprob"])]


def test_weight_statistics(place, capsys):
    lines = train(place, capsys, "statistics", epochs=1)
    weights = place.checkpoint("statistics").weights
    size = np.abs(weights["fc.weights.0"].astype(np.float64)).mean()
    step = np.abs(weights["fc.weights.0.inc"].astype(np.float64)).mean()
    (line,) = [line for line in lines if line.startswith("Layer 'fc' weights")]
    assert line == f"Layer 'fc' weights[0]: {size:e} [{step:e}] [{step / size:e}]"
    size, step = (np.abs(weights[f"fc.biases{x}"].astype(np.float64)).mean() for x in ("", ".inc"))
    (line,) = [line for line in lines if line.startswith("Layer 'fc' biases")]
    assert line == f"Layer 'fc' biases: {size:e} [{step:e}]"


def test_a_checkpoint_and_its_statistics_share_one_download(place, capsys, monkeypatch):
    taken = []
    state = Net.state
    monkeypatch.setattr(Net, "state", lambda net: taken.append(net) or state(net))
    train(place, capsys, "download", epochs=1, test_freq=2)
    assert len(taken) == 2


def test_tests_take_one_batch_in_turn(place, capsys, monkeypatch):
    from data_providers.images import ImageProvider

    loaded = []
    load_view = ImageProvider.load_view

    def recorded(self, number, view):
        loaded.append(number)
        return load_view(self, number, view)

    monkeypatch.setattr(ImageProvider, "load_view", recorded)
    train(place, capsys, "turn", epochs=2, test_freq=2, test_range="4-6")
    assert loaded == [4, 5, 6, 4]
    loaded.clear()
    train(place, capsys, "all", epochs=1, test_freq=2, test_range="4-6", test_one=0)
    assert loaded == [4, 5, 6, 4, 5, 6]


@pytest.mark.parametrize("test_one", [0, 1])
def test_averages_are_over_as_many_tests_as_there_are_test_batches(place, capsys, test_one):
    run = f"averages{test_one}"
    lines = train(place, capsys, run, epochs=2, test_freq=2, test_one=test_one)
    outputs = place.checkpoint(run).state.test_outputs
    assert len(outputs) == 4
    assert [cases for _, cases in outputs] == [CASES if test_one else 2 * CASES] * 4
    expected = []
    for last in range(4):
        recent = outputs[max(0, last - 1) : last + 1]
        sums = np.sum([costs["logprob"] for costs, _ in recent], axis=0)
        means = sums / sum(cases for _, cases in recent)
        expected.append("logprob:  " + ", ".join(f"{x:.6f}" for x in means))
    at = [i + 1 for i, line in enumerate(lines) if "Averages" in line]
    assert [lines[i] for i in at] == expected


def test_every_test_and_the_last_batch_leave_a_checkpoint(place, capsys):
    lines = train(place, capsys, "saved", epochs=2, test_freq=3, keep=9)
    expected = ["1.3", "2.2", "2.4"]
    assert [p.stem for p in sorted((place.root / "saved").glob("*.safetensors"))] == expected
    assert len([line for line in lines if line.startswith("Saved checkpoint to ")]) == 3


def test_log(place, capsys):
    train(place, capsys, "log", epochs=1, test_freq=3)
    lines = (place.root / "log" / "log.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    names = [event["event"] for event in events]
    assert names == ["start", *["train"] * 3, "test", "train", "test"]
    start, first, last = events[0], events[1], events[-1]
    assert (start["done"], start["total"], start["options"]["mini"]) == (0, 4, 4)
    state = place.checkpoint("log").state
    assert (first["epoch"], first["batch"]) == (1, 1)
    assert [first["costs"], first["cases"]] == list(state.train_outputs[0])
    assert [last["costs"], last["cases"]] == list(state.test_outputs[-1])
    assert last["checkpoint"] == str(place.root / "log" / "1.4.safetensors")
    assert first["sec"] > 0
    assert sorted(e["time"] for e in events) == [e["time"] for e in events]


def test_a_new_run_makes_a_dated_directory(place, capsys):
    path = place.root / "runs"
    assert cli.main(place.arguments(save_path=path, epochs=1)) == 0
    (run,) = path.iterdir()
    assert re.fullmatch(r"ConvNet__\d{4}-\d\d-\d\d_\d\d\.\d\d\.\d\d", run.name)
    assert f"Saving checkpoints to {run}" in capsys.readouterr().out


def test_layer_path_is_put_before_both_files(place, capsys):
    layers = place.root / "layers"
    layers.mkdir()
    for path in (place.definition, place.parameters):
        (layers / path.name).write_text(path.read_text())
    names = {"layer_def": "layers.cfg", "layer_params": "params.cfg"}
    train(place, capsys, "layer-path", layer_path=layers, epochs=1, **names)


def test_the_plan_is_shown_first(place, capsys):
    lines = train(place, capsys, "plan", epochs=1, show_plan=1)
    (arena,) = [i for i, line in enumerate(lines) if line.startswith("# arena ")]
    assert lines[arena + 1].startswith("# memory ")
    assert arena < lines.index("Training ConvNet")


def test_dummy_data_need_no_path(place, capsys):
    options = {
        "data_provider": "dummy-cn-75",
        "batch_size": 6,
        "data_path": None,
        "inner_size": None,
    }
    definition = place.definition.read_text().replace("channels = 2", "channels = 3")
    definition = definition.replace("outputs = 3", "outputs = 10")
    (place.root / "ten.cfg").write_text(definition)
    lines = train(place, capsys, "dummy", layer_def=place.root / "ten.cfg", epochs=1, **options)
    assert len(trained_batches(lines)) == 4


def test_unknown_keys_are_warnings_if_lenient(place, capsys):
    definition = place.root / "lenient.cfg"
    definition.write_text(place.definition.read_text().replace("padding", "paddinng"))
    lines = train(place, capsys, "lenient", layer_def=definition, lenient=1, epochs=1)
    assert lines[0].startswith(f"warning: {definition}:")
    assert cli.main(as_arguments({"load_file": place.root / "lenient", "epochs": 2})) == 0
    assert cli.main(as_arguments({"load_file": place.root / "lenient", "lenient": 0})) == 1


def test_runs_of_the_same_second_have_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(session.time, "strftime", lambda form: "ConvNet__now")
    (tmp_path / "ConvNet__now").mkdir()
    (tmp_path / "ConvNet__now-2").mkdir()
    options = Options(save_path=str(tmp_path))
    assert session.run_directory(options, {}) == tmp_path / "ConvNet__now-3"


def test_children_are_added_to_their_parent(place, capsys):
    """In the lines, in the log and in the checkpoint, from which the run goes on."""
    definition, parameters = (place.definition.read_text(), place.parameters.read_text())
    twin = "[twin]\ntype = cost.logreg\ninputs = labels, probs\n\n[logprob]"
    layers, params = place.root / "children.cfg", place.root / "children-params.cfg"
    layers.write_text(definition.replace("[logprob]", twin) + "children = twin\n")
    params.write_text(parameters + "\n[twin]\ncoeff = 0\n")
    alone = train(place, capsys, "alone", epochs=1)
    files = {"layer_def": layers, "layer_params": params}
    both = train(place, capsys, "both", epochs=1, **files)
    (one,), (two,) = (
        [m[4] for line in lines if (m := re.match(TRAINED, line)) and m[2] == "4"]
        for lines in (alone, both)
    )
    values = [[float(x) for x in re.findall(NUMBER, text)] for text in (one, two)]
    assert values[1][:2] == pytest.approx([2 * x for x in values[0][:2]], abs=2e-6)
    assert not any("twin:" in line for line in both)
    state = place.checkpoint("both").state
    assert all(list(costs) == ["logprob"] for costs, _ in state.train_outputs + state.test_outputs)
    assert place.resume("both", epochs=2) == 0


def test_memory_of_a_gpu_that_is_too_small(place, capsys, monkeypatch):
    """On the emulated device, as no GPU is at hand; nothing is trained or written."""
    monkeypatch.setattr(session, "choose_backend", lambda gpu: ("emulated", ""))
    monkeypatch.setenv("CONVNET_EMULATED_MEMORY", "8")
    assert place.train("large", mini=1_000_000, epochs=1) == 1
    captured = capsys.readouterr()
    assert re.fullmatch(
        r"error: out of memory on the GPU: minibatches of 1000000 images need \d+\.\d MiB besides "
        r"0\.0 MiB of weights; found 8\.0 MiB free; --mini \d+ fits\n",
        captured.err,
    )
    assert not (place.root / "large").exists()
