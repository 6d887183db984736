"""Costs of nets that compare images: margins, triplets, centers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convnet.errors import BatchError, NonFiniteError
from convnet.layer_types.base import CHECK, TEST
from convnet.net import Net
from convnet.ops.cpu import CpuOps
from convnet.ops.philox import uniform
from convnet.plan import Clock
from tests import reference_metric as formulas
from tests.helpers import (
    BELOW,
    CLASSES,
    DATA,
    MASKED,
    assert_gradients,
    assert_gradients_with_mask,
    emulated_ops,
    layer,
    layer_errors,
    make_batch,
    make_net,
)

COSINES = layer("scores", "cosfc", "below", outputs=CLASSES, initW=0.1)


def cost_net(kind: str, layers: str, inputs: str, extra: str = "", **arguments: Any) -> Net:
    text = DATA + BELOW + layers + layer("cost", kind, inputs)
    return make_net(text, f"[cost]\n{extra}", **arguments)


# --- margins ------------------------------------------------------------------------------------

MARGINS = {
    "arcface": ("scale=64\n", (1, 0.5, 0, 64, 0)),
    "cosface": ("m2=0\nm3=0.35\nscale=30\n", (1, 0, 0.35, 30, 0)),
    "combined": ("m1=1.2\nm2=0.3\nm3=0.2\nscale=8\nsmoothing=0.1\n", (1.2, 0.3, 0.2, 8, 0.1)),
}
every_margin = pytest.mark.parametrize(("extra", "margins"), MARGINS.values(), ids=MARGINS)


def margin_net(extra: str = "", **arguments: Any) -> Net:
    return cost_net("cost.margin", COSINES, "labels,scores", extra, **arguments)


@every_margin
def test_margins_of_the_parameter_file(extra: str, margins: tuple[float, ...]) -> None:
    net = margin_net(extra + "topk=2\n", keep=("scores",))
    matrices = make_batch()
    for mode in (TEST, CHECK):
        got = net.forward(matrices, mode)["cost"]
        cosines = net.activity("scores").reshape(CLASSES, 4)
        expected = formulas.margin_cost(matrices[1], cosines, margins, 2)
        np.testing.assert_allclose(got, expected, rtol=1e-10)
    assert net.costs[0].format(got, 4, []) == ", ".join(f"{v / 4:.6f}" for v in expected)


@every_margin
def test_gradients_with_margins(extra: str, margins: tuple[float, ...]) -> None:
    assert_gradients(margin_net(extra))


def test_some_classes_at_a_time() -> None:
    """Those that are not drawn get no gradient; in tests all count."""
    many = 40
    text = layer("scores", "cosfc", "below", outputs=many, initW=0.1)
    nets = [
        cost_net("cost.margin", text, "labels,scores", extra, keep=["scores.weights.0"])
        for extra in ("", "sampleRate=0.3\n")
    ]
    matrices, clock = make_batch(), Clock(seed=4, minibatch=2)
    full, sampled = (net.forward(matrices, TEST)["cost"] for net in nets)
    np.testing.assert_array_equal(full, sampled)
    net = nets[1]
    lower = net.forward(matrices, MASKED, clock)["cost"]
    assert lower[0] < full[0]
    net.backward()
    gradient = net.gradient("scores.weights.0")
    drawn = uniform(net.graph["cost"].random_key()(clock), many)
    chosen = formulas.chosen_classes(matrices[1], 0.3, drawn)
    assert CLASSES < chosen.sum() < many
    np.testing.assert_array_equal((gradient != 0).any(axis=0), chosen > 0)


def test_gradients_among_some_classes() -> None:
    text = layer("scores", "cosfc", "below", outputs=40, initW=0.1)
    extra = "sampleRate=0.3\nsmoothing=0.1\nscale=8\n"
    net = cost_net("cost.margin", text, "labels,scores", extra)
    assert_gradients_with_mask(net, Clock(seed=4))


def test_images_that_have_reached_their_class_learn_on() -> None:
    """Cosines of 1, where the angle has no derivative."""
    net = margin_net("scale=64\n", ops=CpuOps())
    matrices = make_batch()
    matrices[0][:] = matrices[0][:, :1]
    matrices[1][:] = 1
    net.keep("below", "scores")
    net.forward(matrices, TEST)
    weights = net.get_weights("scores.weights.0")
    weights[:, 1] = net.activity("below").reshape(-1, 4)[:, 0]
    net.set_weights("scores.weights.0", weights)
    for _ in range(3):
        assert np.isfinite(net.train_step(matrices)["cost"]).all()
    assert net.activity("scores").reshape(CLASSES, 4)[1].min() > 0.999
    assert all(np.isfinite(value).all() for value in net.state().values())


def test_margins_of_other_layers_than_cosines() -> None:
    text = DATA + BELOW + layer("cost", "cost.margin", "labels,below")
    assert layer_errors(text) == [
        "second input must be a cosfc layer; found 'below' of type 'conv'"
    ]


@pytest.mark.parametrize("label", [-1, CLASSES, 0.5])
def test_labels_beyond_the_classes(label: float) -> None:
    matrices = make_batch()
    matrices[1][0, 2] = label
    with pytest.raises(BatchError) as caught:
        margin_net().train_step(matrices)
    assert str(caught.value).endswith(
        f"labels must be whole numbers from 0 to 2, the classes of 'scores'; found {label:g}"
    )


def test_mistakes_of_margins() -> None:
    text = DATA + BELOW + COSINES + layer("cost", "cost.margin", "labels,scores")
    errors = layer_errors(text, "[cost]\nm1=0\nm2=-1\nscale=0\nsmoothing=1.5\nsampleRate=0\n")
    wrong = {"m1": 0, "m2": -1, "scale": 0, "smoothing": 1.5, "sampleRate": 0}
    assert [error.partition(": Layer 'cost': ")[2].partition(":")[0] for error in errors] == [
        f"parameter '{key}' is '{value}'" for key, value in wrong.items()
    ]


# --- triplets -----------------------------------------------------------------------------------

UNITS = layer("code", "fc", "below", outputs=6, initW=0.3) + layer("unit", "l2norm", "code")


def triplet_net(extra: str = "", **arguments: Any) -> Net:
    return cost_net("cost.triplet", UNITS, "labels,unit", extra, keep=("unit",), **arguments)


def people(*labels: int) -> list[np.ndarray]:
    matrices = make_batch(cases=len(labels))
    matrices[1][:] = labels
    return matrices


@pytest.mark.parametrize("semihard", [False, True])
def test_triplets_of_the_parameter_file(semihard: bool) -> None:
    extra = f"margin=1.5\nnegatives={'semihard' if semihard else 'violating'}\n"
    net = triplet_net(extra, batch_size=9)
    matrices, clock = people(0, 0, 0, 1, 1, 2, 2, 2, 2), Clock(seed=4, epoch=2, minibatch=3)
    got = net.forward(matrices, CHECK, clock)["cost"]
    drawn = uniform(net.graph["cost"].random_key()(clock), 81)
    units = net.activity("unit").reshape(6, 9)
    expected = formulas.triplet_cost(matrices[1], units, 1.5, semihard, drawn)
    np.testing.assert_allclose(got, expected, rtol=1e-10)


@pytest.mark.parametrize("negatives", ["violating", "semihard"])
def test_gradients_of_triplets(negatives: str) -> None:
    net = triplet_net(f"negatives={negatives}\nmargin=1\n", batch_size=9)
    assert_gradients(net, people(0, 0, 0, 1, 1, 2, 2, 2, 2))


def test_what_is_printed_of_triplets() -> None:
    net = triplet_net("margin=0.25\n")
    cost = net.costs[0]
    assert cost.format([0.5, 30, 60, 2, 4], 4, []) == (
        "0.125000, (triplets) 30 of 60, (distances) 0.500000, 1.000000"
    )
    assert cost.format([1, 60, 60, 0, 1e-6], 4, []).endswith("0.000000, 0.000000, collapsed")
    none = net.forward(people(0, 1, 2))["cost"]
    assert cost.format(none, 3, []) == "0.000000, no two images of one label"


def test_trouble_with_triplets() -> None:
    """Loss, triplets, pairs, distances: sums over 4 images."""
    (cost,) = triplet_net().costs
    assert cost.trouble([0.8, 5, 6, 1.0, 2.0], 4) == ""
    assert cost.trouble([0, 0, 0, 0, 1.0], 4).startswith("no minibatch has two images of one label")
    assert cost.trouble([0, 0, 6, 0.1, 9.0], 4) == ""  # all are right
    assert cost.trouble([0.8, 5, 6, 1e-5, 4e-5], 4).startswith(
        "collapsed: 83% of the pairs make triplets, but images of different labels have a mean "
        "squared distance of 1.0e-05 only, with margin 0.2; "
    )


def test_a_minibatch_without_pairs_changes_nothing() -> None:
    net = triplet_net("margin=0.25\n")
    net.train_step(people(0, 1, 2, 3))
    for name, value in net.state().items():
        if name.endswith(".inc") and "biases" in name:  # weights decay all the same
            assert (value == 0).all(), name


def test_triplets_bring_people_apart() -> None:
    net = triplet_net("margin=0.5\n", batch_size=6, ops=CpuOps())
    matrices = people(0, 0, 1, 1, 2, 2)
    first = net.forward(matrices)["cost"]
    for step in range(60):
        net.train_step(matrices, Clock(minibatch=step))
    last = net.forward(matrices)["cost"]
    assert last[1] < first[1]
    assert last[4] - last[3] > first[4] - first[3]


def test_labels_that_are_no_numbers() -> None:
    matrices = people(0, 0, 1, 1)
    matrices[1][0, 0] = np.nan
    with pytest.raises(BatchError, match="labels of 'cost' must be finite numbers"):
        triplet_net().train_step(matrices)


def test_mistakes_of_triplets() -> None:
    text = DATA + BELOW + layer("cost", "cost.triplet", "labels,below")
    errors = layer_errors(text, "[cost]\nmargin=0\nnegatives=hard\n")
    assert [error.partition(": Layer 'cost': ")[2] for error in errors] == [
        "parameter 'margin' is '0': expected a finite number > 0",
        "parameter 'negatives' is 'hard': expected one of violating, semihard",
    ]


def test_contrasts() -> None:
    net = cost_net(
        "cost.contrastive", UNITS, "labels,unit", "margin=1.5\n", keep=("unit",), batch_size=6
    )
    matrices = people(0, 0, 1, 1, 2, -1)
    got = net.forward(matrices, CHECK)["cost"]
    expected = formulas.contrastive_cost(matrices[1], net.activity("unit").reshape(6, 6), 1.5)
    np.testing.assert_allclose(got, expected, rtol=1e-10)
    assert net.costs[0].format([2, 7, 1, 4], 4, []) == (
        "0.500000, (near others) 7, (distances) 0.250000, 1.000000"
    )
    assert_gradients(net, matrices)


# --- centers ------------------------------------------------------------------------------------


def center_net(extra: str = "", layers: str = "", **arguments: Any) -> Net:
    text = DATA + BELOW + layer("feature", "fc", "below", outputs=5, initW=0.3)
    text += layer("cost", "cost.center", "labels,feature", classes=CLASSES) + layers
    return make_net(text, f"[cost]\n{extra}", keep=("feature",), **arguments)


def test_centers_move_after_the_gradients() -> None:
    net = center_net("centersRate=0.25\n")
    centers = np.zeros((5, CLASSES))
    for step, labels in enumerate([(0, 0, 1, 0), (1, 0, 1, 1), (0, 0, 0, 0)]):
        matrices = people(*labels)
        np.testing.assert_allclose(net.state()["cost.centers"], centers, rtol=1e-12)
        got = net.train_step(matrices, Clock(minibatch=step))["cost"]
        features = net.activity("feature").reshape(5, 4)
        expected = formulas.center_cost(matrices[1], features, centers)
        np.testing.assert_allclose(got, expected, rtol=1e-10)
        centers = formulas.center_track(matrices[1], features, centers, 0.25)
    assert (centers[:, 2] == 0).all()
    for mode in (TEST, CHECK):
        net.forward(people(2, 2, 1, 0), mode)
    np.testing.assert_allclose(net.state()["cost.centers"], centers, rtol=1e-12)


def test_centers_of_a_net_that_saves_memory() -> None:
    states = []
    for conserve_mem in (False, True):
        net = center_net(conserve_mem=conserve_mem)
        for step in range(3):
            net.train_step(people(0, 1, 2, 1), Clock(minibatch=step))
        states.append(net.state())
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value, name)
    assert (states[0]["cost.centers"] != 0).all()


def test_gradients_together_with_classes() -> None:
    classes = layer("scores", "fc", "feature", outputs=CLASSES, initW=0.1)
    classes += layer("probs", "softmax", "scores") + layer("logprob", "cost.logreg", "labels,probs")
    net = center_net("coeff=0.3\n", classes)
    centers = np.random.default_rng(0).standard_normal((5, CLASSES))
    net.load_state(net.state() | {"cost.centers": centers})
    assert_gradients(net)
    np.testing.assert_array_equal(net.state()["cost.centers"], centers)


def test_centers_move_for_each_part_of_a_hybrid_net() -> None:
    """Four devices below, two above: the cost sees half of the minibatch at a time."""
    below = BELOW.replace("initW=0.3\n", "initW=0.3\ngpu=0,1,2,3\n")
    text = DATA + below + layer("feature", "fc", "below", outputs=5, initW=0.3, gpu="0,1")
    text += layer("cost", "cost.center", "labels,feature", classes=CLASSES)
    net = make_net(text, keep=("feature",), batch_size=7)
    matrices = people(0, 0, 1, 2, 1, 1, 0)
    net.train_step(matrices)
    features, centers = net.activity("feature").reshape(5, 7), np.zeros((5, CLASSES))
    for part in (slice(0, 4), slice(4, 7)):
        labels = matrices[1][:, part]
        centers = formulas.center_track(labels, features[:, part], centers, 0.5)
    np.testing.assert_allclose(net.state()["cost.centers"], centers, rtol=1e-10)


def test_a_step_that_is_not_taken_moves_no_center() -> None:
    net = center_net()
    net.set_weights("feature.biases", np.full((1, 5), np.nan))
    with pytest.raises(NonFiniteError):
        net.train_step(make_batch())
    assert (net.state()["cost.centers"] == 0).all()


def test_labels_beyond_the_centers() -> None:
    with pytest.raises(BatchError) as caught:
        center_net().train_step(people(0, 1, 3, 1))
    assert str(caught.value).endswith(
        "labels must be whole numbers from 0 to 2, the classes of 'cost'; found 3"
    )


def test_mistakes_of_centers() -> None:
    text = DATA + BELOW + layer("cost", "cost.center", "labels,below")
    assert layer_errors(text) == ["required parameter 'classes' missing"]
    text = text + "classes=3\n"
    (error,) = layer_errors(text, "[cost]\ncentersRate=1.5\n")
    assert error.endswith(
        "parameter 'centersRate' is '1.5': expected a finite number >= 0 and <= 1"
    )


# --- backends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["margin", "triplet", "contrastive", "center"])
def test_steps_on_the_emulated_device(kind: str) -> None:
    """They go as on the CPU, and twice give the same bits."""
    top = layer("bent", "prelu", "below") + layer("code", "fc", "bent", outputs=6, initW=0.3)
    top += layer("unit", "l2norm", "code")
    keys = {"classes": CLASSES} if kind == "center" else {}
    inputs = "unit"
    if kind == "margin":
        top, inputs = top + layer("scores", "cosfc", "unit", outputs=CLASSES, initW=0.1), "scores"
    text = DATA + BELOW + top + layer("cost", f"cost.{kind}", f"labels,{inputs}", **keys)
    matrices = people(0, 0, 1, 1, 1, 2)
    runs = []
    for ops in (CpuOps(), emulated_ops(), emulated_ops()):
        net = make_net(text, "[DEFAULT]\nepsW=0.01\nepsB=0.01\n", ops=ops, batch_size=6)
        costs = [net.train_step(matrices, Clock(minibatch=step))["cost"] for step in range(3)]
        runs.append({"costs": np.array(costs), **net.state()})
    for name, expected in runs[0].items():
        np.testing.assert_allclose(runs[1][name], expected, rtol=1e-4, atol=1e-5, err_msg=name)
        np.testing.assert_array_equal(runs[1][name], runs[2][name], name)
