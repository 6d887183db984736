"""Files of ArcFace's data sets, as they are and damaged."""

import pickle
import struct

import numpy as np
import pytest

from data_providers import DataError, ProviderOptions, create
from data_providers.face_sources import face_parts, open_faces
from data_providers.mxnet_records import record_faces
from data_providers.verification_bin import verification_faces
from tests.data_providers.mxnet import MAGIC, arcface, content, part, picture, python2_pairs, write


def test_arcface(tmp_path):
    faces = open_faces(arcface(tmp_path))
    assert faces.label_names == ("0000000", "0000005")
    assert faces.labels.tolist() == [0, 0, 1]
    assert faces.names[2] == "0000005/00000003.jpg"
    assert [faces.content(n) for n in range(3)] == [picture(n) for n in (1, 2, 3)]


def test_plain_records(tmp_path):
    """Without a record that tells of the others, and in another order than they lie."""
    records = {n: part(content(float(n % 2), picture(n))) for n in range(4)}
    path = write(tmp_path, records)
    path.with_suffix(".idx").write_text(
        "".join(reversed(path.with_suffix(".idx").read_text().splitlines(keepends=True)))
    )
    faces = open_faces(tmp_path / "train")
    assert faces.labels.tolist() == [1, 0, 1, 0]
    assert [faces.content(n) for n in range(4)] == [picture(n) for n in (3, 2, 1, 0)]


@pytest.mark.parametrize("where", [0, 8, 24, 28])
def test_records_in_parts(tmp_path, where):
    """A record in which MAGIC stands at a multiple of 4 is cut there, and MAGIC left out."""
    whole = bytearray(content(3.0, b"x" * 20))
    whole[where : where + 4] = struct.pack("<I", MAGIC)
    if where == 0:  # so many labels would there have to be
        whole[:4] = struct.pack("<I", 0)
        whole[32:36] = struct.pack("<I", MAGIC)
        where = 32
    first, rest = bytes(whole[:where]), bytes(whole[where + 4 :])
    records = {0: part(first, 1) + part(rest, 3), 1: part(content(1.0, picture(1)))}
    faces = record_faces(write(tmp_path, records))
    assert faces.content(0) == bytes(whole)[24:]
    assert faces.content(1) == picture(1)


def test_three_parts(tmp_path):
    record = part(content(1.0), 1) + part(b"abcd", 2) + part(b"ef", 3)
    faces = record_faces(write(tmp_path, {0: record}))
    magic = struct.pack("<I", MAGIC)
    assert faces.content(0) == magic + b"abcd" + magic + b"ef"


def test_the_provider_takes_records(tmp_path):
    arcface(tmp_path)
    write(tmp_path, {0: part(content(5.0, picture(9)))}, "val")
    train, test = face_parts(tmp_path)
    assert test.label_names == train.label_names
    source = create("face-pack", tmp_path, [1], ProviderOptions(scalar_mean=0.0), test=True)
    images, labels = source.load(1, 1)
    assert labels.tolist() == [[1]]
    assert np.asarray(images)[0] * 128 == 90


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (b"", "record 1 at byte 0: no record begins here; is the .idx that of this .rec"),
        (b"\0" * 40, "record 1 at byte 0: no record begins here"),
        (part(b"short"), "record 1 at byte 0: expected a label and a picture, found 5 bytes"),
        (part(content(0.5, b"x")), "expected a label from 0, a whole number; found 0.5"),
        (part(content(-1.0, b"x")), "expected a label from 0, a whole number; found -1"),
        (part(content(float("nan"), b"x")), "expected a label from 0, a whole number; found nan"),
        (part(content(float("inf"), b"x")), "expected a label from 0, a whole number; found inf"),
        (part(content([2.0])), "expected records with pictures, found none"),
        (
            part(content(7.0, b"x")),
            r"record 1 at byte 0: label 7 is outside 0\.\.6, the classes of the file",
        ),
        (part(content(7.0), 1), "record 1 at byte 0: no record begins here"),
    ],
)
def test_wrong_records(tmp_path, record, says):
    (tmp_path / "property").write_text("7,112,112")
    with pytest.raises(DataError, match=f"train.rec: .*{says}"):
        record_faces(write(tmp_path, {1: record}))


def test_a_record_that_is_cut_short(tmp_path):
    path = arcface(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"train.rec: record . at byte .*: no record begins here"):
        record_faces(path)
    path = write(tmp_path, {1: part(content(0.0, picture(1)))[:-12]})
    faces = record_faces(path)
    with pytest.raises(DataError, match="record 1 at byte 0: the file ends in the middle of it"):
        faces.content(0)


@pytest.mark.parametrize("text", ["1 2 3", "x\t0", "1\t-1", "1", "1\t9999999999999999999"])
def test_wrong_indices(tmp_path, text):
    path = arcface(tmp_path)
    path.with_suffix(".idx").write_text(f"0\t0\n{text}\n")
    with pytest.raises(DataError, match=r"train.idx: line 2: expected a key and where its record"):
        record_faces(path)


def test_files_that_are_missing(tmp_path):
    path = arcface(tmp_path)
    (tmp_path / "property").write_text("6")
    with pytest.raises(DataError, match="property: expected classes,height,width, found '6'"):
        record_faces(path)
    path.with_suffix(".idx").unlink()
    with pytest.raises(DataError, match=r"train.idx: cannot read it: No such file"):
        record_faces(path)


PICTURES = [picture(n) for n in range(8)]
SAME = [True, False, False, True]


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(python2_pairs(PICTURES, SAME), id="python 2"),
        pytest.param(pickle.dumps((PICTURES, SAME)), id="bytes"),
        pytest.param(
            pickle.dumps(([np.frombuffer(p, np.uint8) for p in PICTURES], np.array(SAME))),
            id="arrays",
        ),
        pytest.param(pickle.dumps([PICTURES, [1, 0, 0, 1]], protocol=0), id="numbers"),
    ],
)
def test_pairs(tmp_path, form):
    (tmp_path / "lfw.bin").write_bytes(form)
    faces, pairs = verification_faces(tmp_path / "lfw.bin")
    people = ["000000", "000000", "000001-a", "000001-b", "000002-a", "000002-b"]
    people += ["000003", "000003"]
    numbers = [1, 2, 1, 1, 1, 1, 1, 2]
    assert faces.names == [f"{p}/{p}_{n:04}.jpg" for p, n in zip(people, numbers, strict=True)]
    assert [faces.label_names[label] for label in faces.labels] == people
    assert [faces.content(n) for n in range(8)] == PICTURES
    expected = ["1 2", "000000 1 2", "000003 1 2", "000001-a 1 000001-b 1", "000002-a 1 000002-b 1"]
    assert pairs.replace("\t", " ").splitlines() == expected
    assert open_faces(tmp_path / "lfw.bin").names == faces.names


def test_pairs_in_ten_folds(tmp_path):
    same = [True, True, False, False] * 10
    (tmp_path / "lfw.bin").write_bytes(pickle.dumps((PICTURES[:1] * 80, same)))
    _, pairs = verification_faces(tmp_path / "lfw.bin")
    lines = pairs.splitlines()
    assert lines[:3] == ["10\t2", "000000\t1\t2", "000001\t1\t2"]
    assert lines[-1] == "000039-a\t1\t000039-b\t1"
    assert len(lines) == 41


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (5, "expected a list of encoded pictures, and a list .* found 0 and 0"),
        ((PICTURES, SAME[:3]), "found 8 and 3"),
        (([*PICTURES[:7], 3], SAME), "found 7 and 4"),
        (([*PICTURES[:7], b""], SAME), "found 7 and 4"),
        ((PICTURES, [*SAME[:3], "x"]), "found 8 and 3"),
        (([], []), "found 0 and 0"),
        ((PICTURES, [True] * 4), "expected as many pairs of one person as of two, found 4 and 0"),
    ],
)
def test_wrong_pairs(tmp_path, value, says):
    (tmp_path / "lfw.bin").write_bytes(pickle.dumps(value))
    with pytest.raises(DataError, match=f"lfw.bin: .*{says}"):
        verification_faces(tmp_path / "lfw.bin")


def test_pairs_that_would_run_a_program(tmp_path):
    (tmp_path / "lfw.bin").write_bytes(b"cos\nsystem\n(S'ls'\ntR.")
    with pytest.raises(DataError, match=r"lfw.bin: refused: it asks for os.system"):
        verification_faces(tmp_path / "lfw.bin")
