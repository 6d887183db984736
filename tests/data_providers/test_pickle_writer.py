"""What is written for Python 2; tests/test_legacy.py has whole checkpoints."""

import pickletools

import numpy as np
import pytest

from data_providers.pickle_writer import Class, Instance, write_pickle
from data_providers.pickles import parse_pickle

PLAIN = [
    None,
    True,
    False,
    0,
    -(2**31),
    2**31,
    -(2**40),
    2**70,
    0.1,
    float("-inf"),
    "",
    "a" * 255,
    "a" * 256,
    "\u00e9\u4e2d",
    [],
    [1, [2, []]],
    (),
    (1,),
    (1, ("b", None)),
    {},
    {"a": {"b": [0.5]}},
]


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: str(value)[:20])
def test_plain_data_comes_back(value):
    read = parse_pickle(write_pickle(value), "p")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i4", ">i2", "b1", "S3"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (0, 2), (3,), (2, 3), (2, 3, 4)])
def test_arrays_come_back(dtype, order, shape):
    array = np.asarray(np.arange(np.prod(shape)).reshape(shape), dtype, order)
    read = parse_pickle(write_pickle(array), "p")
    np.testing.assert_array_equal(read, array, strict=True)
    assert read.flags.f_contiguous == array.flags.f_contiguous


def test_a_slice_of_an_array():
    array = np.arange(12.0).reshape(3, 4)[::2, 1:]
    np.testing.assert_array_equal(parse_pickle(write_pickle(array), "p"), array)


def test_bytes_are_strings_as_in_python_2():
    assert parse_pickle(write_pickle(b"\xff\0a"), "p") == "\xff\0a"


def test_numpy_scalars_are_numbers():
    assert parse_pickle(write_pickle([np.float32(0.5), np.int64(3)]), "p") == [0.5, 3]


def test_what_is_shared_stays_shared():
    array, names = np.arange(3), ["a"]
    item = Instance(Class("shop", "Item"), {"names": names})
    content = {"all": [array, array, names, item, item]}
    content["self"] = content
    read = parse_pickle(write_pickle(content), "p", records=["shop"])
    first, again, names, item, same = read["all"]
    assert first is again
    assert item is same
    assert item["names"] is names
    assert read["self"] is read


def test_names_are_those_of_old_numpy_and_of_the_given_classes():
    content = write_pickle([np.zeros(2), Instance(Class("shop", "Item"), {"c": Class("a.b", "C")})])
    names = {arg for opcode, arg, _ in pickletools.genops(content) if opcode.name == "GLOBAL"}
    assert names == {
        "numpy.core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
        "shop Item",
        "a.b C",
    }
    assert max(opcode.proto for opcode, _, _ in pickletools.genops(content)) == 2


def test_what_cannot_be_written():
    with pytest.raises(TypeError, match="cannot write a set for Python 2"):
        write_pickle([{1}])


def test_a_string_that_python_2_could_not_read():
    class Long(bytes):
        def __len__(self):
            return 2**31

    with pytest.raises(ValueError, match="2 GiB"):
        write_pickle(Long())
