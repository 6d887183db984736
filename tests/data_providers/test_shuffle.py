import numpy as np

from data_providers.shuffle import stratified_order


def test_an_order_of_all_cases():
    labels = np.random.default_rng(0).integers(0, 4, 101)
    assert sorted(stratified_order(labels, 0)) == list(range(101))


def test_equal_classes_are_exactly_balanced_in_every_batch():
    labels = np.repeat(np.arange(5), 12)
    dealt = labels[stratified_order(labels, 3)]
    for start in range(0, 60, 20):
        np.testing.assert_array_equal(np.bincount(dealt[start : start + 20]), [4] * 5)


def test_unequal_classes_keep_their_share():
    labels = np.array([0] * 80 + [1] * 20)
    dealt = labels[stratified_order(labels, 1)]
    for start in range(0, 100, 10):
        assert 1 <= dealt[start : start + 10].sum() <= 3


def test_the_seed_decides():
    labels = np.zeros(50, int)
    np.testing.assert_array_equal(stratified_order(labels, 1), stratified_order(labels, 1))
    assert not np.array_equal(stratified_order(labels, 1), stratified_order(labels, 2))
