"""Counter-based random numbers."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.ops.base import RandomKey
from convnet.ops.philox import normal, philox4x32, uniform

KEY = RandomKey(seed=1, stream=2, epoch=3, batch=4, minibatch=5)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_known_answers(counter: str, key: str, words: str) -> None:
    """Vectors of the authors' Random123 distribution."""
    c, k, w = ([int(word, 16) for word in text.split()] for text in (counter, key, words))
    got = philox4x32(np.array(c, np.uint32)[:, None], (k[0], k[1]))
    assert got[:, 0].tolist() == w


def test_elements_are_words_of_consecutive_blocks() -> None:
    counters = np.array([[0, 1], [5, 5], [4, 4], [3, 3]], np.uint32)
    words = philox4x32(counters, (1, 2))
    expected = [int(word) / 2**32 for word in (*words[:, 0], *words[:3, 1])]
    got = uniform(KEY, 7)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=2.0**-24)
    assert (got * 2**24 == np.floor(got * 2**24)).all()


def test_a_draw_does_not_depend_on_its_length() -> None:
    assert uniform(KEY, 0).shape == (0,)
    assert np.array_equal(uniform(KEY, 5), uniform(KEY, 1000)[:5])


def test_every_word_of_the_key_matters() -> None:
    draws = [uniform(KEY._replace(**{field: 9}), 4).tolist() for field in KEY._fields]
    assert len({*map(tuple, draws), tuple(uniform(KEY, 4).tolist())}) == 6


def test_words_are_taken_modulo_2_to_the_32() -> None:
    same = RandomKey(*(word + 2**32 for word in KEY))
    assert np.array_equal(uniform(KEY, 9), uniform(same, 9))


def test_uniform() -> None:
    draw = uniform(KEY, 100_000)
    assert 0 <= draw.min() < 1e-4
    assert 1 - 1e-4 < draw.max() < 1
    counts = np.histogram(draw, bins=10, range=(0, 1))[0]
    assert abs(counts - 10_000).max() < 500  # 5 standard deviations


def test_normal_numbers() -> None:
    u = uniform(KEY, 4).astype(np.float64)
    radius = np.sqrt(-2 * np.log(1 - u[0::2]))
    expected = [radius * np.cos(2 * np.pi * u[1::2]), radius * np.sin(2 * np.pi * u[1::2])]
    np.testing.assert_allclose(normal(KEY, 4), np.array(expected).T.reshape(-1), rtol=1e-12)
    np.testing.assert_array_equal(normal(KEY, 3), normal(KEY, 4)[:3])
    many = normal(KEY, 100_000)
    assert abs(many.mean()) < 0.01
    assert abs(many.std() - 1) < 0.01
