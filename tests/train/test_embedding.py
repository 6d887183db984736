"""Features of pictures are those of the same pictures in a test batch."""

import numpy as np
import pytest

from convnet import cli
from convnet.train.embedding import embed
from convnet.train.session import open_session
from tests.faces.conftest import FacePlace
from tests.train.helpers import as_arguments


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = FacePlace(tmp_path_factory.mktemp("embedding"))
    assert place.train("run", multiview_test=1) == 0
    return place


@pytest.fixture
def session(place):
    session = open_session({"load_file": str(place.root / "run"), "test_only": True})
    session.net.keep("features")
    return session


def test_pictures_are_prepared_as_in_the_run(place, session):
    features = place.root / "features"
    arguments = {"load_file": place.root / "run", "write_features": "features",
                 "feature_path": features, "multiview_test": 0}  # fmt: skip
    assert cli.main(as_arguments(arguments)) == 0
    expected = np.load(features / "data_batch_2.npz")["features"]
    store = session.test_data.store
    files = [store.tree.files[case] for case in store.batches[2]]
    found = embed(session.net, session.test_data, "features", files, flip=False)
    assert found.dtype == np.float32
    assert np.abs(expected).max() > 0
    np.testing.assert_array_equal(found, expected)


def test_the_mirrored_picture_is_added(session):
    files = session.test_data.store.tree.files[:7]
    data, net = session.test_data, session.net
    both = embed(net, data, "features", files, flip=True)
    crops = data.prepare(files[:5]).crops()[:, :, ::-1].transpose(3, 1, 2, 0)
    turned = np.ascontiguousarray(crops - data.mean[..., np.newaxis]).reshape(75, 5)
    net.forward([turned, np.zeros((1, 5), np.float32)])
    mirrored = net.activity("features").reshape(-1, 5).T
    straight = embed(net, data, "features", files, flip=False)
    np.testing.assert_allclose(both[:5], straight[:5] + mirrored, rtol=1e-5)
