import gzip
import io
import os
import pickle
import re
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from data_providers import DataError, pickles
from data_providers.pickles import load_pickle, parse_pickle
from tests.data_providers.helpers import python2_array, python2_dict, python2_list

ARRAYS = [
    np.arange(6, dtype=np.uint8).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    np.arange(4, dtype=">f8"),
    np.array([True, False]),
    np.array(["ab", "c"]),
    np.zeros((0, 3), np.int64),
    np.array(2.5),
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_arrays_of_python_3(array, protocol):
    read = parse_pickle(pickle.dumps({"x": [array]}, protocol), "p")["x"][0]
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_arrays_of_either_numpy_name():
    array = np.arange(3)
    content = pickle.dumps(array, 2)
    for module in (b"numpy.core", b"numpy._core"):
        other = content.replace(b"numpy._core", module)
        np.testing.assert_array_equal(parse_pickle(other, "p"), array)


def test_what_python_2_wrote():
    array = np.random.default_rng(0).integers(0, 256, (4, 70), dtype=np.uint8)
    content = python2_dict({"data": python2_array(array), "labels": python2_list([3, "é"[:0]])})
    read = parse_pickle(content, "p")
    np.testing.assert_array_equal(read["data"], array)
    assert read["labels"] == [3, ""]


def test_plain_containers_and_numpy_scalars():
    shared = [np.float32(1.5)]
    thing = {"a": (1, "b", None, b"\xff"), "s": {1, 2}, "o": OrderedDict(k=shared), "again": shared}
    for protocol in (0, 2, 5):
        read = parse_pickle(pickle.dumps(thing, protocol), "p")
        assert read == thing
        assert type(read["o"]) is dict
        assert read["again"] is read["o"]["k"]


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("hostile", "name"),
    [
        (Call(os.system, "true"), r"\w+.system"),
        (Call(eval, "1"), r"(__)?builtin(s|__).eval"),
        (Call(getattr, "", "join"), r"(__)?builtin(s|__).getattr"),
        (Call(np.load, "x"), "numpy.load"),
        (Call(bytearray, 10**12), r"(__)?builtin(s|__).bytearray"),
        (Call(io.open, "x"), r"_?io.open"),
        (Call(np.memmap, "x"), r"numpy.*memmap"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_any_other_callable_is_refused_by_name(hostile, name, protocol):
    content = pickle.dumps(hostile, protocol)
    with pytest.raises(DataError, match=f"evil.pkl: refused: it asks for {name}"):
        parse_pickle(content, "evil.pkl")


def test_arrays_of_objects_are_refused():
    content = pickle.dumps(np.array([{}, []], dtype=object))
    with pytest.raises(DataError, match="refused: it asks for an array of O"):
        parse_pickle(content, "p")


def test_arrays_of_records_are_refused():
    with pytest.raises(DataError, match="refused: it asks for an array of V"):
        parse_pickle(pickle.dumps(np.zeros(2, "i4,f4")), "p")


def test_an_array_larger_than_its_bytes_is_refused():
    array = np.arange(3, dtype=np.uint8)
    content = python2_array(array).replace(b"J\x03\x00\x00\x00", b"J\xff\xff\xff\x7f", 1)
    with pytest.raises(DataError, match="p: not a readable pickle: an array of shape"):
        parse_pickle(b"\x80\x02" + content + b".", "p")


def test_what_is_admitted_cannot_be_changed_by_a_pickle():
    # Builds state into the admitted callable, then calls it.
    set_attribute = b"\x80\x02c_codecs\nencode\nN}U\x0c__defaults__)s\x86b."
    with pytest.raises(DataError, match="not a readable pickle"):
        parse_pickle(set_attribute, "p")


def test_a_pickle_cannot_replace_the_methods_of_a_dict():
    hostile = OrderedDict(label_names=["a"])
    hostile.get = 5
    for protocol in (0, 2, 5):
        with pytest.raises(DataError, match=r"batches.meta: not a readable pickle"):
            parse_pickle(pickle.dumps(hostile, protocol), "batches.meta")


@pytest.mark.parametrize(
    "content", [b"", b"hello", pickle.dumps([1, 2, 3])[:-3], b"\x80\x02K\x01K", b"\x80\xff."]
)
def test_damaged_pickles(content):
    with pytest.raises(DataError, match="p: not a readable pickle"):
        parse_pickle(content, "p")


def test_a_huge_object_number_takes_no_memory():
    with pytest.raises(DataError, match="not a readable pickle: object number 4294967280"):
        parse_pickle(b"\x80\x02]r\xf0\xff\xff\xff.", "p")


def test_deeply_nested_and_repeated_lists_end_quickly():
    with pytest.raises(DataError, match="not a readable pickle"):
        parse_pickle(b"\x80\x02" + b"]" * 100000 + b"a" * 99999 + b".", "p")
    doubling: list = []
    for _ in range(60):
        doubling = [doubling, doubling]
    assert len(parse_pickle(pickle.dumps(doubling), "p")) == 2


def zipped(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def test_packed_pickles():
    content = pickle.dumps([1, "b"])
    assert parse_pickle(gzip.compress(content), "p") == [1, "b"]
    assert parse_pickle(zipped("data", content), "p") == [1, "b"]


@pytest.mark.parametrize(
    "content",
    [zipped("other", b"N."), gzip.compress(b"N.")[:-9], zipped("data", b"N.")[:-30], b"PK\x03\x04"],
)
def test_damaged_packed_pickles(content):
    with pytest.raises(DataError, match="p: not a readable pickle"):
        parse_pickle(content, "p")


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zipped("data", content)])
def test_unpacking_is_limited(pack, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_UNPACKED", 100)
    with pytest.raises(DataError, match="p: not a readable pickle: it unpacks to more than 100"):
        parse_pickle(pack(pickle.dumps(bytes(200))), "p")


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'no'}: cannot read it: No such")):
        load_pickle(tmp_path / "no")
