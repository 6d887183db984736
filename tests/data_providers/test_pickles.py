import gzip
import io
import os
import pickle
import re
from collections import OrderedDict

import numpy as np
import pytest

from data_providers import DataError
from data_providers.pickles import load_pickle, parse_pickle
from tests.data_providers.helpers import python2_array, python2_dict, python2_list, zipped

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


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x02]" + b")" + b"\x85" * 200_000 + b"a.", None),
        (b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.", "a tuple as a key"),
        (b"(" + b")" + b"\x85" * 200_000 + b"\x91.", "a tuple as a key"),
        (b"}\x8a\x08" + b"\xff" * 7 + b"\x1fK\x01s.", "a int as a key"),
        (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", None),
        (b"\x80\x02]r\xf0\xff\xff\xff.", None),
        (b"]q\x00h\x00a.", None),
        (b"](K\x01K\x02e" * 20_000 + b"N.", None),
        (b"]q\x00)h\x00\x86\x85q\x01a.", None),
        (b"}K\x01a.", "no list to add to"),
        (b"]q\x00(h\x00tq\x010h\x00h\x01a.", None),
        (b"0.", "nothing on the stack"),
        (b"(N(0.", "nothing on the stack"),
        (b"P12\n.", "opcode b'P' at byte 0"),
        (b"\x82\x01.", "opcode"),
        (b"T\xff\xff\xff\xff.", "it ends too early"),
        (b"\x8e" + b"\xff" * 8 + b".", "it ends too early"),
        (b"I" + b"9" * 100_000 + b"\n.", "Exceeds the limit"),
        (b"K\x01)R.", "a call of what is no name"),
        (b"}(b.", "nothing on the stack"),
        (b"}}b.", "a state for what has none, a dict"),
        (b"c__builtin__\nbytes\n}b.", "a state for what has none, a Name"),
        (b"cnumpy\nndarray\n(tR.", "a call of numpy.ndarray"),
        (b"cnumpy\ndtype\n(S'f4'\ntR.", "an object without its state"),
        (b"cnumpy\ndtype\n(S'f4'\ntR2.", "an object without its state"),
        (b"cnumpy\ndtype\n(S'f4'\ntRp0\ng0\n.", "an object without its state"),
        (b"cnumpy\ndtype\n(]tR.", "expected a string, found a list"),
        (b"cnumpy\ndtype\n(S'f4'\ntRNb.", "an array without byte order"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_hostile_programs_end_quickly(content, reason):
    """Without memory, time or a crash; some are only strange, and read."""
    if reason is None:
        parse_pickle(content, "p")
        return
    with pytest.raises(DataError, match=f"p: not a readable pickle: {re.escape(reason)}") as caught:
        parse_pickle(content, "p")
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


def test_files_that_grow_are_refused():
    many = b"](" + b"K\x01" * 1000 + b"e"
    text = b"T\xe8\x03\0\0" + b"x" * 1000
    pairs = b"](" + b"K\x01K\x02\x86" * 1000 + b"e"
    for thing, name in (
        (many, b"c__builtin__\nset\n"),
        (text, b"c_codecs\nencode\n"),
        (pairs, b"ccollections\nOrderedDict\n"),
    ):
        once = thing + b"q\x000" + name + b"h\x00\x85R"
        parse_pickle(once + b".", "p")
        with pytest.raises(DataError, match="p: not a readable pickle: it grows when it is read"):
            parse_pickle(once + (name + b"h\x00\x85R") * 1000 + b".", "p")


def test_more_steps_than_any_honest_file_has(monkeypatch):
    monkeypatch.setattr("data_providers.pickle_machine.MAX_STEPS", 100)
    with pytest.raises(DataError, match="p: not a readable pickle: more than 100 steps"):
        parse_pickle(b"]" * 200, "p")


@pytest.mark.parametrize(
    "shape", [b"(K\x01]t", b"(J\xff\xff\xff\xfft", b"K\x03", b"(\x8a\x09" + b"\x7f" * 9 + b"t"]
)
def test_shapes_that_are_none(shape):
    array = python2_array(np.zeros(3, np.uint8)).replace(b"(J\x03\0\0\0t", shape, 1)
    with pytest.raises(DataError, match="p: not a readable pickle: an array whose shape is not"):
        parse_pickle(array + b".", "p")


def test_an_array_without_bytes():
    content = python2_array(np.zeros(3, np.uint8)).replace(b"T\x03\0\0\0\0\0\0", b"N")
    with pytest.raises(DataError, match="p: not a readable pickle: an array without its bytes"):
        parse_pickle(content + b".", "p")


def test_an_array_without_type():
    content = python2_array(np.zeros(3, np.uint8)) + b"."
    start, end = content.index(b"cnumpy\ndtype"), content.index(b"\x89T")
    with pytest.raises(DataError, match="p: not a readable pickle: an array without type"):
        parse_pickle(content[:start] + b"N" + content[end:], "p")


def test_arrays_in_the_text_form_of_python_2():
    array = np.arange(250, 256, dtype=np.uint8)
    text = "".join(f"\\x{n:02x}" for n in array.tolist()).encode()
    content = (
        b"cnumpy.core.multiarray\n_reconstruct\np0\n(cnumpy\nndarray\np1\n(I0\ntp2\nS'b'\np3\ntp4\n"
        b"Rp5\n(I1\n(I6\ntp6\ncnumpy\ndtype\np7\n(S'u1'\np8\nI0\nI1\ntp9\nRp10\n(I3\nS'|'\np11\n"
        b"NNNI-1\nI-1\nI0\ntp12\nbI00\nS'" + text + b"'\np13\ntp14\nb."
    )
    np.testing.assert_array_equal(parse_pickle(content, "p"), array)


OBJECTS = {
    "obj": b"(cshop\nItem\noq\x01}U\x05priceG\x40\x08\0\0\0\0\0\0sb",
    "inst": b"(ishop\nItem\np1\n}U\x05priceF3.0\nsb",
    "newobj": b"cshop\nItem\n)\x81q\x01}U\x05priceG\x40\x08\0\0\0\0\0\0sb",
}


@pytest.mark.parametrize("form", OBJECTS)
def test_objects_of_admitted_modules_are_their_attributes(form):
    content = b"](" + OBJECTS[form] + b"h\x01cshop\nShelf\ne."
    first, again, name = parse_pickle(content, "p", records=["shop"])
    assert first == {"price": 3.0}
    assert again is first
    assert name == "shop.Shelf"
    with pytest.raises(DataError, match=r"p: refused: it asks for shop.Item"):
        parse_pickle(content, "p")


@pytest.mark.parametrize("name", [b"shop.evil\nItem", b"shop\nItem.evil", b"os\nsystem"])
def test_modules_are_admitted_exactly(name):
    with pytest.raises(DataError, match="p: refused: it asks for"):
        parse_pickle(b"(c" + name + b"\no}b.", "p", records=["shop"])


def test_attributes_are_stored_and_have_no_effect():
    state = {"__class__": 1, "__setstate__": 2, "__dict__": 3, "build": 4, "make": 5}
    content = b"(cshop\nItem\no" + pickle.dumps(state, 2)[2:-1] + b"b."
    assert parse_pickle(content, "p", records=["shop"]) == state


@pytest.mark.parametrize("state", [b"N", b"N}\x86", b"]", b"cshop\nItem\n"])
def test_attributes_must_be_a_dict(state):
    with pytest.raises(DataError, match="an object whose attributes are no dict"):
        parse_pickle(b"(cshop\nItem\no" + state + b"b.", "p", records=["shop"])


def test_a_class_gets_no_attributes():
    with pytest.raises(DataError, match="a state for what has none, a Name"):
        parse_pickle(b"cshop\nItem\n}b.", "p", records=["shop"])


def test_repeated_lists_end_quickly():
    doubling: list = []
    for _ in range(60):
        doubling = [doubling, doubling]
    assert len(parse_pickle(pickle.dumps(doubling), "p")) == 2


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
    monkeypatch.setattr("data_providers.pickles.MAX_UNPACKED", 100)
    with pytest.raises(DataError, match="p: not a readable pickle: it unpacks to more than 100"):
        parse_pickle(pack(pickle.dumps(bytes(200))), "p")


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'no'}: cannot read it: No such")):
        load_pickle(tmp_path / "no")
