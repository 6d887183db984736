"""A checkpoint of the original gives the net, the weights and the state that it holds."""

from __future__ import annotations

import numpy as np
import pytest

import convnet
from tests import reference
from tests.legacy.nets import CLASSES, compute, everything
from tests.legacy.old import old_checkpoint, write_old

VERSIONS = pytest.mark.parametrize("version", [1, 2])


@VERSIONS
def test_the_net_computes_what_the_stored_weights_imply(version, tmp_path):
    net = everything(version)
    path = write_old(tmp_path / "3.2", old_checkpoint(net))
    layers = [name for name, layer in net.layers.items() if layer["outputs"] > 1]
    rng = np.random.default_rng(5)
    images = rng.standard_normal((256, 3), np.float32)
    labels = rng.integers(0, CLASSES, (1, 3)).astype(np.float32)
    loaded = convnet.load(path, batch_size=3, backend="reference", keep=layers)
    costs = loaded.forward([images, labels])
    expected = compute(net, images)
    for name in layers:
        # The name of a layer with a neuron stands for the values after it.
        right = expected[net.linked.get(name, name)]
        np.testing.assert_allclose(
            loaded.activity(name).reshape(-1, 3), right.reshape(-1, 3), 1e-9, 1e-12, err_msg=name
        )
    top = 2 if version == 2 else 1
    np.testing.assert_allclose(
        costs["logprob"], reference.logreg_cost(labels, expected["probs"], top), 1e-9
    )
