import contextlib
import random

import numpy as np
import pytest

from data_providers.matfile import read_table
from tests.data_providers.matlab import mat_file

ROWS = [
    {"ID": 1, "words": "kit fox, Vulpes", "children": [], "height": 1.5},
    {"ID": 70000, "words": "caf\u00e9", "children": [3, 4, 5], "height": 0},
    {"ID": 3, "words": "", "children": [1], "height": -1},
]


@pytest.mark.parametrize("packed", [True, False])
def test_a_table(packed):
    content = mat_file({"other": [{"x": 1}], "synsets": ROWS}, packed)
    found = read_table(content, "synsets")
    assert len(found) == len(ROWS)
    for row, expected in zip(found, ROWS, strict=True):
        assert row.keys() == expected.keys()
        assert row["words"] == expected["words"]
        for name in ("ID", "children", "height"):
            np.testing.assert_array_equal(row[name], np.atleast_1d(expected[name]))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not a MATLAB file of version 5"),
        (bytes(200), "not a MATLAB file of version 5"),
        (mat_file({"x": [{"y": 1}]}), "no table 'synsets' in it"),
        (mat_file({"synsets": ROWS})[:-9], "damaged: "),
        (mat_file({"synsets": ROWS}, packed=False)[:-9], "damaged: "),
    ],
)
def test_other_content_than_expected(content, text):
    with pytest.raises(ValueError, match=text):
        read_table(content, "synsets")


@pytest.mark.parametrize("packed", [True, False])
def test_damage_anywhere_is_an_error_of_one_kind_or_harmless(packed):
    content = mat_file({"synsets": ROWS}, packed)
    chance = random.Random(0)
    for _ in range(2000):
        damaged = bytearray(content)
        damaged[chance.randrange(len(content))] = chance.randrange(256)
        with contextlib.suppress(ValueError):
            read_table(bytes(damaged), "synsets")
