"""Each backward operation is the derivative of its forward operation.

On the reference backend in float64; the other backends are compared with it elsewhere. The
random inputs have no ties and no element near a neuron's kink.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convnet.geometry import Norm, Pool, Window
from convnet.neurons import IDENT, Neuron
from convnet.ops.base import RandomKey
from convnet.ops.reference import ReferenceOps
from convnet.resampling import Resampling, bilinear, gaussian
from tests.ops.check import apply
from tests.ops.gradients import check_gradient
from tests.ops.neuron_examples import NEURONS, POSITIVE

OPS = ReferenceOps(np.float64)


def run(name: str, output: str, shape: tuple[int, ...], **arguments: Any) -> np.ndarray:
    return apply(OPS, name, **arguments, **{output: shape})[output]


def draw(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("kind", ["conv", "local"])
@pytest.mark.parametrize("biases_for", ["filters", "outputs"])
@pytest.mark.parametrize(
    "g",
    [
        Window(3, 5, 6, 4, 3),
        Window(4, 6, 5, 6, 3, padding=1, stride=2, groups=2),
        Window(2, 7, 8, 3, 4, stride=3),
    ],
    ids=["plain", "groups", "strided"],
)
def test_convolution(kind: str, biases_for: str, g: Window) -> None:
    n = 3
    filters_shape = g.local_filters_shape if kind == "local" else g.conv_filters_shape
    entries = g.filters * (g.out_pixels if biases_for == "outputs" else 1)
    acts_shape = (*g.acts_shape, n)
    images, filters, biases, acts_grad = draw(
        (*g.images_shape, n), filters_shape, (entries, 1), acts_shape
    )

    def forward(**arguments: np.ndarray) -> np.ndarray:
        return run(f"{kind}_fprop", "acts", acts_shape, g=g, neuron=IDENT, **arguments)

    arguments = {"images": images, "filters": filters, "biases": biases}
    conv = {"g": g, "acts_grad": acts_grad}
    gradients = {
        "images": run(f"{kind}_dgrad", "images_grad", images.shape, filters=filters, **conv),
        "filters": run(f"{kind}_wgrad", "filters_grad", filters.shape, images=images, **conv),
        "biases": run("bias_grad", "biases_grad", biases.shape, acts_grad=acts_grad),
    }
    check_gradient(forward, arguments, acts_grad, gradients)


def test_fully_connected() -> None:
    k, f, n = 5, 4, 3
    inputs, weights, biases, acts_grad = draw((k, n), (k, f), (f, 1), (f, n))
    check_gradient(
        lambda **arguments: run("fc_fprop", "acts", (f, n), neuron=IDENT, **arguments),
        {"inputs": inputs, "weights": weights, "biases": biases},
        acts_grad,
        {
            "inputs": run("fc_dgrad", "inputs_grad", (k, n), weights=weights, acts_grad=acts_grad),
            "weights": run("fc_wgrad", "weights_grad", (k, f), inputs=inputs, acts_grad=acts_grad),
            "biases": run("bias_grad", "biases_grad", (f, 1), acts_grad=acts_grad),
        },
    )


pools = pytest.mark.parametrize(
    "g", [Pool(2, 6, 7, 3, 2), Pool(2, 5, 5, 3, 2, start=-1)], ids=["clipped", "negative start"]
)


@pools
def test_max_pooling(g: Pool) -> None:
    images, acts_grad = draw((*g.images_shape, 3), (*g.acts_shape, 3))

    def forward(images: np.ndarray) -> np.ndarray:
        return run("pool_max_fprop", "acts", acts_grad.shape, g=g, images=images)

    arguments = {"images": images, "acts": forward(images), "acts_grad": acts_grad}
    gradient = run("pool_max_bprop", "images_grad", images.shape, g=g, **arguments)
    check_gradient(forward, {"images": images}, acts_grad, {"images": gradient})


@pools
def test_l2_pooling(g: Pool) -> None:
    images, acts_grad = draw((*g.images_shape, 3), (*g.acts_shape, 3))

    def forward(images: np.ndarray) -> np.ndarray:
        return run("pool_l2_fprop", "acts", acts_grad.shape, g=g, images=images)

    arguments = {"images": images, "acts": forward(images), "acts_grad": acts_grad}
    gradient = run("pool_l2_bprop", "images_grad", images.shape, g=g, **arguments)
    check_gradient(forward, {"images": images}, acts_grad, {"images": gradient})


@pools
@pytest.mark.parametrize("divide", [True, False])
def test_average_pooling(g: Pool, divide: bool) -> None:
    images, acts_grad = draw((*g.images_shape, 3), (*g.acts_shape, 3))

    def forward(images: np.ndarray) -> np.ndarray:
        return run("pool_avg_fprop", "acts", acts_grad.shape, g=g, divide=divide, images=images)

    arguments = {"g": g, "divide": divide, "acts_grad": acts_grad}
    gradient = run("pool_avg_bprop", "images_grad", images.shape, **arguments)
    check_gradient(forward, {"images": images}, acts_grad, {"images": gradient})


@pytest.mark.parametrize(
    ("kind", "norm", "shape"),
    [
        ("rnorm", Norm(3, 0.5, 0.75), (2, 4, 5, 3)),
        ("rnorm", Norm(4, 0.25, 0.5, 2.0), (2, 5, 4, 3)),
        ("cmrnorm", Norm(3, 0.5, 0.75), (7, 2, 2, 3)),
        ("cmrnorm", Norm(4, 0.25, 0.5, 2.0), (7, 2, 2, 3)),
        ("cmrnorm", Norm(3, 0.5, 0.75, blocked=True), (8, 2, 2, 3)),
    ],
)
def test_response_normalisation(kind: str, norm: Norm, shape: tuple[int, ...]) -> None:
    images, acts_grad = draw(shape, shape)

    def forward(images: np.ndarray) -> dict[str, np.ndarray]:
        return apply(OPS, f"{kind}_fprop", norm=norm, images=images, denoms=shape, acts=shape)

    arguments = {"images": images, "denoms": forward(images)["denoms"], "acts_grad": acts_grad}
    gradient = run(f"{kind}_bprop", "images_grad", shape, norm=norm, **arguments)
    check_gradient(
        lambda images: forward(images)["acts"], {"images": images}, acts_grad, {"images": gradient}
    )


@pytest.mark.parametrize("norm", [Norm(3, 0.5, 0.75), Norm(4, 0.25, 0.5, 2.0)])
def test_contrast_normalisation(norm: Norm) -> None:
    shape = (2, 5, 4, 3)
    images, acts_grad = draw(shape, shape)
    outputs = {"diffs": shape, "denoms": shape, "acts": shape}

    def forward(images: np.ndarray) -> dict[str, np.ndarray]:
        return apply(OPS, "cnorm_fprop", norm=norm, images=images, **outputs)

    stored = {name: forward(images)[name] for name in ("diffs", "denoms")}
    arguments = {"norm": norm, "images": images, **stored, "acts_grad": acts_grad}
    gradient = run("cnorm_bprop", "images_grad", shape, **arguments)
    check_gradient(
        lambda images: forward(images)["acts"], {"images": images}, acts_grad, {"images": gradient}
    )


def test_resampling() -> None:
    g = Resampling(2, bilinear(5, 3, 1.6), gaussian(4, 3, 0.8))
    images, acts_grad = draw((*g.images_shape, 3), (*g.acts_shape, 3))
    gradient = run("resample_bprop", "images_grad", images.shape, g=g, acts_grad=acts_grad)
    check_gradient(
        lambda images: run("resample_fprop", "acts", acts_grad.shape, g=g, images=images),
        {"images": images},
        acts_grad,
        {"images": gradient},
    )


def test_lab_curve() -> None:
    inputs, acts_grad = draw((5, 3), (5, 3))
    arguments = {"inputs": inputs, "acts_grad": acts_grad}
    gradient = run("lab_curve_bprop", "inputs_grad", inputs.shape, **arguments)
    check_gradient(
        lambda inputs: run("lab_curve_fprop", "acts", (5, 3), offset=0.5, inputs=inputs),
        {"inputs": inputs},
        acts_grad,
        {"inputs": gradient},
    )


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_neuron(neuron: Neuron) -> None:
    inputs, acts_grad = draw((5, 3), (5, 3))
    if neuron.kind in POSITIVE:
        inputs = np.abs(inputs)

    def forward(inputs: np.ndarray) -> np.ndarray:
        return run("neuron_fprop", "acts", inputs.shape, neuron=neuron, inputs=inputs)

    values = forward(inputs) if neuron.from_output else inputs
    arguments = {"neuron": neuron, "values": values, "acts_grad": acts_grad}
    gradient = run("neuron_bprop", "inputs_grad", inputs.shape, **arguments)
    check_gradient(forward, {"inputs": inputs}, acts_grad, {"inputs": gradient})


def test_eltmax() -> None:
    inputs, second, acts_grad = draw((5, 3), (5, 3), (5, 3))

    def forward(inputs: np.ndarray) -> np.ndarray:
        return run("eltmax", "acts", inputs.shape, first=inputs, second=second)

    arguments = {"inputs": inputs, "acts": forward(inputs), "acts_grad": acts_grad}
    gradient = run("eltmax_bprop", "inputs_grad", inputs.shape, **arguments)
    check_gradient(forward, {"inputs": inputs}, acts_grad, {"inputs": gradient})


def test_dropout_is_its_own_backward_pass() -> None:
    inputs, acts_grad = draw((5, 3), (5, 3))
    rule = {"keep": 0.5, "scale": 2.0, "key": RandomKey(1, 2, 3, 4, 5)}

    def dropout(inputs: np.ndarray) -> np.ndarray:
        return run("dropout", "acts", inputs.shape, inputs=inputs, **rule)

    check_gradient(dropout, {"inputs": inputs}, acts_grad, {"inputs": dropout(acts_grad)})


def test_softmax() -> None:
    inputs, acts_grad = draw((5, 3), (5, 3))

    def forward(inputs: np.ndarray) -> np.ndarray:
        return run("softmax_fprop", "acts", inputs.shape, inputs=inputs)

    arguments = {"acts": forward(inputs), "acts_grad": acts_grad}
    gradient = run("softmax_bprop", "inputs_grad", inputs.shape, **arguments)
    check_gradient(forward, {"inputs": inputs}, acts_grad, {"inputs": gradient})


def test_logistic_regression() -> None:
    (inputs,) = draw((5, 3))
    coeff, labels = np.array([0.75]), np.array([[4.0, 0, 2]])

    def probabilities(inputs: np.ndarray) -> np.ndarray:
        return run("softmax_fprop", "acts", inputs.shape, inputs=inputs)

    def cost(probs: np.ndarray) -> np.ndarray:
        return run("logreg_cost", "values", (3,), labels=labels, probs=probs, top=1)[:1]

    probs = probabilities(inputs)
    arguments = {"labels": labels, "probs": probs, "coeff": coeff.item()}
    gradient = run("logreg_bprop", "probs_grad", probs.shape, **arguments)
    check_gradient(cost, {"probs": probs}, coeff, {"probs": gradient})

    gradient = run("softmax_logreg_bprop", "inputs_grad", inputs.shape, **arguments)
    check_gradient(
        lambda inputs: cost(probabilities(inputs)), {"inputs": inputs}, coeff, {"inputs": gradient}
    )


def test_a_wrong_gradient_is_named() -> None:
    (x,) = draw((2, 2))
    gradient = 2 * x
    gradient[1, 0] += 0.5
    with pytest.raises(AssertionError, match=r"gradient of x at \(1, 0\): expected .*, got "):
        check_gradient(lambda x: x**2, {"x": x}, np.ones((2, 2)), {"x": gradient})
