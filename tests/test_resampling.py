"""Maps along one side of an image, and what a random scale draws."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.resampling import RandomScale, bilinear, gaussian, picked


def test_picked() -> None:
    assert picked([2, 0], 3).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_gaussian_is_normalised_inside_and_fades_at_the_border() -> None:
    matrix = gaussian(9, 5, 1.0)
    # exp(-2), exp(-1/2), 1, ... over their sum
    np.testing.assert_allclose(
        matrix[4, 2:7], [0.054489, 0.244201, 0.402620, 0.244201, 0.054489], atol=1e-6
    )
    np.testing.assert_allclose(matrix[2:7].sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(matrix[0].sum(), 0.402620 + 0.244201 + 0.054489, atol=1e-6)


def test_bilinear_reads_between_pixels_and_stops_at_the_border() -> None:
    assert bilinear(4, 2, 2.0).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]
    np.testing.assert_allclose(bilinear(4, 3, 1.25) @ np.arange(4), [0.125, 1.375, 2.625])
    # Far outside: the last place is 1.01 before the end.
    np.testing.assert_allclose(bilinear(4, 4, 2.0) @ np.arange(4), [0, 0, 2, 2.99])
    assert bilinear(1, 2, 0.5).tolist() == [[1], [1]]


def test_a_random_scale_at_its_ends() -> None:
    scale = RandomScale(1, size=8, target=5, max_scale=1.6)
    smallest = scale.drawn([0.0, 0.5, 0.9, 0.9])
    np.testing.assert_array_equal(smallest.rows, bilinear(8, 5, (8 / 6 + 8 / 5) / 2))
    largest = scale.drawn([0.999, 0.5, 0.0, 0.999])  # of the image itself a square is cut
    np.testing.assert_array_equal(largest.rows, picked(range(5), 8))
    np.testing.assert_array_equal(largest.columns, picked(range(3, 8), 8))


def test_chances_of_a_random_scale() -> None:
    """Sizes 5, 6, 7, 8 are drawn as 1 : 4 : 9 : 16."""
    scale = RandomScale(1, size=8, target=5, max_scale=1.6)
    numbers = np.random.default_rng(0).random((3000, 4))
    whole = [np.array_equal(scale.drawn(u).rows.max(axis=1), np.ones(5)) for u in numbers]
    assert np.mean(whole) == pytest.approx(16 / 30, abs=0.03)


@pytest.mark.parametrize("target", [5, 6, 8])
def test_draws_stay_inside(target: int) -> None:
    scale = RandomScale(2, size=8, target=target, max_scale=1.6)
    for numbers in np.random.default_rng(1).random((200, 4)):
        drawn = scale.drawn(numbers)
        assert drawn.acts_shape == scale.fixed.acts_shape == (2, target, target)
        for matrix in (drawn.rows, drawn.columns):
            np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)
            assert (matrix >= 0).all()
