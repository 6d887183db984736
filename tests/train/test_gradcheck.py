"""The gradient check on data that come as they are."""

import numpy as np

from tests.helpers import BELOW, assert_gradients, layer, make_net

SHAPES = ((2, 5, 7), (3, 1, 1))
TAGGED = (
    layer("data", "data", dataIdx=0)
    + layer("tags", "data", dataIdx=1)
    + BELOW
    + layer("scores", "fc", "below", outputs=3, initW=0.1, neuron="logistic")
    + layer("cost", "cost.bce", "tags,scores")
)


def test_pixels_saturate_nothing():
    """Rounding would hide the gradient of a logistic neuron whose input is far from 0."""
    rng = np.random.default_rng(3)
    images = rng.normal(0, 200, (70, 4)).astype(np.float32)
    tags = rng.integers(0, 2, (3, 4)).astype(np.float32)
    assert_gradients(make_net(TAGGED, shapes=SHAPES), [images, tags])
