"""Pictures turned, zoomed and shifted, against the formula on single pixels."""

import math

import numpy as np
import pytest

from data_providers.jitter import Jitter

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (7, 9, 3), dtype=np.uint8)


def bilinear(picture, x, y):
    """The colours at a place, pixel (i, j) having its centre at (j + 1/2, i + 1/2)."""
    height, width, _ = picture.shape
    left, top = math.floor(x - 0.5), math.floor(y - 0.5)
    colour = np.zeros(3)
    for i in (top, top + 1):
        for j in (left, left + 1):
            weight = (1 - abs(x - 0.5 - j)) * (1 - abs(y - 0.5 - i))
            colour += weight * picture[np.clip(i, 0, height - 1), np.clip(j, 0, width - 1)]
    return colour


@pytest.mark.parametrize(
    "jitter",
    [
        Jitter(),
        Jitter(turn=10),
        Jitter(turn=-75),
        Jitter(zoom=1.3),
        Jitter(zoom=0.8),
        Jitter(right=0.31, down=-0.12),
        Jitter(20, 0.9, -0.1, 0.2),
    ],
)
def test_each_pixel(jitter):
    changed = jitter.apply(PICTURE)
    height, width, _ = PICTURE.shape
    turn = math.radians(jitter.turn)
    expected = np.empty(PICTURE.shape)
    for i in range(height):
        for j in range(width):
            # A point goes to R (point - centre) * zoom + centre + shift; back again.
            x = j + 0.5 - width / 2 - jitter.right * height
            y = i + 0.5 - height / 2 - jitter.down * height
            source_x = (math.cos(turn) * x - math.sin(turn) * y) / jitter.zoom + width / 2
            source_y = (math.sin(turn) * x + math.cos(turn) * y) / jitter.zoom + height / 2
            expected[i, j] = bilinear(PICTURE, source_x, source_y)
    assert np.abs(changed - expected).max() <= 1


def test_a_quarter_turn_is_anticlockwise():
    square = PICTURE[:, :7]
    changed = Jitter(turn=90).apply(square).astype(int)
    assert np.abs(changed - np.rot90(square)).max() <= 1  # cos 90° is 6e-17


def test_a_shift_draws_out_the_border():
    moved = Jitter(right=2 / 7).apply(PICTURE)
    np.testing.assert_array_equal(moved[:, 2:], PICTURE[:, :-2])
    np.testing.assert_array_equal(moved[:, 0], PICTURE[:, 0])


def test_jitters_are_drawn_within_their_scale():
    drawn = Jitter.draw(4.0, 500, np.random.default_rng(1))
    values = np.array([[j.turn, (j.zoom - 1) * 100, j.right * 100, j.down * 100] for j in drawn])
    assert np.abs(values).max() <= 4
    assert (np.abs(values).max(axis=0) > 3.9).all()
    assert np.abs(values.mean(axis=0)).max() < 0.4
