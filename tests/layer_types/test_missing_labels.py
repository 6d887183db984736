"""Several tasks on one trunk, of which an image may lack the label."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.errors import BatchError
from convnet.layer_types.base import CHECK
from convnet.net import Net
from convnet.ops.reference import ReferenceOps
from tests.helpers import (
    BACKENDS,
    BELOW,
    DATA,
    SHAPES,
    assert_gradients,
    layer,
    layer_errors,
    make_batch,
    make_net,
    ops_of,
)

TWO_TASKS = (*SHAPES, (1, 1, 1))
OTHER = layer("other", "data", dataIdx=2)
CASES = 8


def head(name: str, labels: str) -> str:
    return (
        layer(f"{name}_scores", "fc", "below", outputs=3, initW=0.2)
        + layer(f"{name}_probs", "softmax", f"{name}_scores")
        + layer(name, "cost.logreg", f"{labels},{name}_probs", missing=1, topk=2)
    )


TASKS = DATA + OTHER + BELOW + head("one", "labels") + head("two", "other")


def batch(unknown: slice, seed: int = 0) -> list[np.ndarray]:
    """A minibatch in which some images have no label of task `two`."""
    matrices = make_batch(TWO_TASKS, CASES, seed)
    matrices[2][0, unknown] = -1
    return matrices


def train(net: Net, matrices: list[np.ndarray]) -> dict[str, np.ndarray]:
    for _ in range(3):
        net.train_step(matrices)
    return net.state()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_task_without_labels_is_as_if_it_were_not_there(backend: str) -> None:
    ops = ops_of(backend)
    both = make_net(TASKS, shapes=TWO_TASKS, ops=ops, batch_size=CASES)
    one = make_net(
        DATA + BELOW + head("one", "labels"), shapes=TWO_TASKS, ops=ops, batch_size=CASES
    )
    matrices = batch(slice(None))
    before = both.get_weights("two_scores.biases")
    state = train(both, matrices)
    np.testing.assert_array_equal(state["two_scores.biases"], before)
    tolerance = 0 if backend == "reference" else 1e-6
    for name, values in train(one, matrices).items():
        np.testing.assert_allclose(state[name], values, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_reported(backend: str) -> None:
    """Means are over the images that have a label, over several minibatches too."""
    net = make_net(TASKS, shapes=TWO_TASKS, ops=ops_of(backend), batch_size=CASES)
    matrices = batch(slice(2, 7))
    costs = net.forward(matrices)["two"]
    known = [0, 1, 7]
    alone = net.forward([m[:, known] for m in matrices])["two"]
    np.testing.assert_allclose(costs, alone, rtol=1e-5)
    assert costs[-1] == 3
    layer_ = net.costs[1]
    assert layer_.value_names == ("logprob", "error", "top-k error", "images with a label")
    means = ", ".join(f"{value / 3:.6f}" for value in costs[:3])
    assert layer_.format(costs, CASES, []) == f"{means}, (labels) 3 of 8"
    assert layer_.format([0, 0, 0, 0], 8, []) == "0.000000, 0.000000, 0.000000, (labels) 0 of 8"


def test_predictions_of_several_views_are_judged_without_them() -> None:
    net = make_net(TASKS, shapes=TWO_TASKS, batch_size=CASES, keep=["two_probs"])
    matrices = batch(slice(2, 7))
    expected = net.forward(matrices)["two"]
    found = net.cost_values(net.costs[1], matrices, net.activity("two_probs"))
    np.testing.assert_allclose(found, expected)


def test_tasks_have_weights() -> None:
    """The trunk's gradient is that of the sum of the costs times their coeff."""
    matrices = batch(slice(2, 7))
    gradients = []
    for one, two in ((1, 0), (0, 1), (0.5, 3)):
        parameters = f"[one]\ncoeff={one}\n[two]\ncoeff={two}\n"
        net = make_net(
            TASKS, parameters, shapes=TWO_TASKS, batch_size=CASES, ops=ReferenceOps(np.float64)
        )
        net.forward(matrices, CHECK)
        net.backward()
        gradients.append(net.gradient("below.weights.0"))
    expected = 0.5 * gradients[0] + 3 * gradients[1]
    np.testing.assert_allclose(gradients[2], expected, atol=1e-12)


@pytest.mark.parametrize("cost", ["logreg", "margin", "center"])
def test_gradients(cost: str) -> None:
    top = {
        "logreg": head("two", "other"),
        "margin": layer("scores", "cosfc", "below", outputs=3, initW=0.2)
        + layer("two", "cost.margin", "other,scores", missing=1),
        "center": layer("code", "fc", "below", outputs=6, initW=0.2)
        + layer("two", "cost.center", "other,code", missing=1, classes=3),
    }[cost]
    text = (DATA + BELOW + top).replace("other", "labels")
    net = make_net(text, "[two]\nscale=8\n" * (cost == "margin"))
    matrices = make_batch()
    matrices[1][0, 1:3] = -1
    assert_gradients(net, matrices)


def test_labels_that_may_not_be_missing() -> None:
    net = make_net(TASKS.replace("missing=1", "missing=0"), shapes=TWO_TASKS, batch_size=CASES)
    with pytest.raises(BatchError, match="labels must be whole numbers from 0 to 2, the classes"):
        net.forward(batch(slice(1, 2)))
    net = make_net(TASKS, shapes=TWO_TASKS, batch_size=CASES)
    matrices = batch(slice(1, 2))
    matrices[2][0, 0] = -2
    with pytest.raises(BatchError, match=r"the classes of 'two_probs', or -1; found -2"):
        net.forward(matrices)


def test_children_and_parents_count_the_same() -> None:
    text = TASKS.replace("missing=1", "missing=0", 1) + "children=one\n"
    assert "children: 'one' must have the same value of missing" in layer_errors(
        text, shapes=TWO_TASKS
    )
    net = make_net(TASKS + "children=one\n", shapes=TWO_TASKS, batch_size=CASES)
    assert [len(cost.value_names) for cost in net.costs] == [4, 4]
