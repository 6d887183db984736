import numpy as np
import pytest

from data_providers import ProviderOptions, create


def dummy(name, **options):
    return create(name, None, [1, 77], ProviderOptions(**options), test=False)


@pytest.mark.parametrize(
    ("name", "cases", "labelled"),
    [
        ("dummy-27", 512, False),
        ("dummy-cn-27", 512, True),
        ("dummy-labeled-27", 7, True),
        ("dummy-lr-27", 7, True),
    ],
)
def test_matrices(name, cases, labelled):
    source = dummy(name)
    matrices = source.load(77, 1)
    assert source.shapes == ((3, 3, 3), (1, 1, 1))[: 1 + labelled]
    assert len(source.label_names) == (10 if labelled else 0)
    assert [m.shape for m in matrices] == [(27, cases), (1, cases)][: 1 + labelled]
    assert all(m.dtype == np.float32 and m.flags.c_contiguous for m in matrices)
    assert matrices[0].min() >= 0
    assert matrices[0].max() < 1
    if labelled:
        assert set(matrices[1].ravel()) <= set(range(10))


@pytest.mark.parametrize(("name", "fresh"), [("dummy-cn-4", True), ("dummy-labeled-4", False)])
def test_fresh_or_the_same(name, fresh):
    source = dummy(name)
    first = source.load(1, 1)[0]
    np.testing.assert_array_equal(dummy(name).load(1, 1)[0], first)
    for other in (source.load(2, 1), source.load(1, 2)):
        assert np.array_equal(other[0], first) != fresh
    assert not np.array_equal(dummy(name, seed=1).load(1, 1)[0], first)


def test_batch_size():
    assert dummy("dummy-cn-4", batch_size=11).load(1, 1)[0].shape == (4, 11)
