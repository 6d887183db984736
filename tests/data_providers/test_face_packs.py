"""Packs of faces: the format, what is checked, and joining."""

import hashlib
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from data_providers import DataError, ProviderOptions, create
from data_providers.face_packs import pack_faces, read_header, write_pack
from data_providers.face_sets import FaceSet, joined, tree_faces
from data_providers.face_sources import face_parts, open_faces
from data_providers.face_trees import write_tree
from tests.data_providers.helpers import matrices, picture_tree

PEOPLE = ("ann", "bob")


def picture(colour, size=(6, 5), kind="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def tree(folder, people=PEOPLE, **kinds):
    picture_tree(folder, people, **kinds)
    return tree_faces(folder)


def contents(faces):
    names = [faces.label_names[label] for label in faces.labels]
    every = [faces.content(n) for n in range(len(names))]
    return list(zip(faces.names, names, every, strict=True))


@pytest.fixture
def pack(tmp_path):
    """The pack of a tree of two people with three pictures each."""
    write_pack(tmp_path / "faces", tree(tmp_path / "tree"), made={})
    return tmp_path / "faces"


def test_the_format(pack, tmp_path):
    files = sorted((tmp_path / "tree").glob("*/*.png"))
    content = [file.read_bytes() for file in files]
    ends = np.cumsum([len(c) for c in content]).tolist()
    assert pack.with_suffix(".bin").read_bytes() == b"".join(content)
    names = ("ann/0.png", "ann/1.png", "ann/2.png", "bob/0.png", "bob/1.png", "bob/2.png")
    index = "".join(
        f"{name}\t{n // 3}\t{start}\t{end}\n"
        for n, (name, start, end) in enumerate(zip(names, [0, *ends], ends, strict=False))
    )
    assert pack.with_suffix(".idx").read_text() == index
    header = json.loads(pack.with_suffix(".json").read_text())
    assert header == {
        "version": 1,
        "pictures": 6,
        "classes": 2,
        "class_names": ["ann", "bob"],
        "size": [5, 6],
        "colours": "RGB",
        "alignment": "",
        "sha256": {
            "bin": hashlib.sha256(b"".join(content)).hexdigest(),
            "idx": hashlib.sha256(index.encode()).hexdigest(),
        },
        "made": {},
    }


@pytest.mark.parametrize("suffix", ["", ".bin", ".idx"])
def test_what_is_packed_is_read(pack, suffix):
    faces = open_faces(pack.with_name(f"faces{suffix}"), thorough=True)
    expected = tree_faces(pack.with_name("tree"))
    assert contents(faces) == contents(expected)
    assert faces.label_names == expected.label_names


def test_a_pack_of_another_program(tmp_path):
    """Without a header, and with spaces, brackets and Windows' line ends."""
    pictures = [picture(c) for c in ("red", "green", "blue")]
    a, b, c = np.cumsum([len(p) for p in pictures]).tolist()
    (tmp_path / "gender.bin").write_bytes(b"".join(pictures))
    lines = f"Male/x y (1).jpg\t1\t0\t{a}\r\nF\u2028.jpg\t0\t{a}\t{b}\r\nM/3.jpg\t1\t{b}\t{c}\r\n"
    (tmp_path / "gender.idx").write_bytes(lines.encode())
    faces = pack_faces(tmp_path / "gender")
    assert faces.names == ["Male/x y (1).jpg", "F\u2028.jpg", "M/3.jpg"]
    assert faces.label_names == ("0", "1")
    assert [faces.content(n) for n in range(3)] == pictures
    write_tree(tmp_path / "out", faces)
    found = {str(p.relative_to(tmp_path / "out")): p.read_bytes() for p in tmp_path.rglob("*.jpg")}
    names = ["1/x y (1).jpg", "0/F\u2028.jpg", "1/3.jpg"]
    assert found == dict(zip(names, pictures, strict=True))


def test_pictures_are_scaled(tmp_path):
    faces = tree(tmp_path / "tree")
    header = write_pack(tmp_path / "small", faces, size=4, alignment="by hand", made={"size": 4})
    assert (header.size, header.alignment, header.made) == ([4, 4], "by hand", {"size": 4})
    with Image.open(io.BytesIO(pack_faces(tmp_path / "small").content(3))) as found:
        assert (found.format, found.size) == ("JPEG", (4, 4))


def test_sizes_that_differ(tmp_path):
    picture_tree(tmp_path / "tree", ["cy"], size=(9, 9))
    assert write_pack(tmp_path / "faces", tree(tmp_path / "tree"), made={}).size is None


def test_the_provider(pack, tmp_path):
    options = ProviderOptions(inner_size=3, people_per_batch=2, images_per_person=2)
    of_tree = create("face-folder", tmp_path / "tree", [1], options, test=False)
    of_pack = create("face-pack", pack, [1], options, test=False)
    for found, expected in zip(matrices(of_pack, 1, 5), matrices(of_tree, 1, 5), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_attributes_of_a_pack(pack):
    pack.with_suffix(".csv").write_text("picture,age\nann,3\n")
    source = create("face-pack", pack, [1], ProviderOptions(), test=True)
    np.testing.assert_array_equal(source.load(1, 1)[2], [[3, 3, 3, -1, -1, -1]])


def test_parts_that_are_packs(tmp_path):
    write_pack(tmp_path / "data" / "train", tree(tmp_path / "one"), made={})
    write_pack(tmp_path / "data" / "val", tree(tmp_path / "two", ("bob", "al")), made={})
    train, test = face_parts(tmp_path / "data")
    assert train.label_names == PEOPLE
    assert test.label_names == ("ann", "bob", "al")
    assert test.labels.tolist() == [2, 2, 2, 1, 1, 1]


def test_joining(tmp_path):
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two", ("bob", "cy"), count=2)
    apart = joined([one, two], ["a-", "b-"])
    assert apart.label_names == ("a-ann", "a-bob", "b-bob", "b-cy")
    assert apart.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
    assert apart.names[-1] == "b-cy/1.png"
    merged = joined([one, two], ["", ""])
    assert merged.label_names == ("ann", "bob", "cy")
    assert merged.labels.tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]
    assert contents(merged) == contents(one) + contents(two)


def test_two_pictures_of_one_name(tmp_path):
    one, two = tree(tmp_path / "one", count=1), tree(tmp_path / "two", count=1)
    write_tree(tmp_path / "out", joined([one, two], ["", ""]))
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in tmp_path.glob("out/*/*"))
    assert found == ["ann/0.png", "ann/0000002-0.png", "bob/0.png", "bob/0000003-0.png"]


@pytest.mark.parametrize(
    "name", ["../../evil.png", "/etc/evil.png", "..", "", "a\\..\\evil.png", ".evil", "x\0.png"]
)
def test_names_lead_to_no_other_place(tmp_path, name):
    content = picture("red")
    faces = FaceSet("x", [name], np.zeros(1, np.int32), ("ann",), lambda n: content)
    write_tree(tmp_path / "in" / "out", faces)
    (found,) = (p for p in tmp_path.rglob("*") if p.is_file())
    assert found.parent == tmp_path / "in" / "out" / "ann"
    assert not found.name.startswith(".")


@pytest.mark.parametrize("person", ["..", "", "a/b", ".x", "x\n"])
def test_people_who_are_no_folders(tmp_path, person):
    faces = FaceSet("x", ["1.jpg"], np.zeros(1, np.int32), (person,), lambda n: b"")
    with pytest.raises(DataError, match=r"x: person .*: expected the name of a folder"):
        write_tree(tmp_path / "out", faces)
    assert not list(tmp_path.iterdir())


def change(path, edit, *, resum=False):
    """Edits a file of a pack; with `resum` the header has its right checksum."""
    content = path.read_bytes()
    changed = edit(content)
    assert changed != content
    path.write_bytes(changed)
    if resum:
        header = json.loads(path.with_suffix(".json").read_text())
        header["sha256"][path.suffix[1:]] = hashlib.sha256(changed).hexdigest()
        path.with_suffix(".json").write_text(json.dumps(header))


def in_line_2(old, new):
    def edit(content):
        lines = content.split(b"\n")
        lines[1] = re.sub(old, new, lines[1])
        return b"\n".join(lines)

    return edit


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (in_line_2(b"\t", b" "), "line 2: expected a path, a label, a start and an end with tabs"),
        (in_line_2(b"\t0\t", b"\t-1\t"), "line 2: expected a path, a label"),
        (in_line_2(b"\t0\t", b"\t\xb2\t"), "line 2: expected a path, a label"),
        (in_line_2(b"\t0\t", b"\t" + b"9" * 19 + b"\t"), "line 2: expected a path, a label"),
        (in_line_2(b"\t0\t", b"\t9999999999\t"), "line 2: expected a label, the start .* found 9"),
        (in_line_2(rb"\t0\t\d", b"\t0\t9"), r"line 2: expected a label, the start \d+, where"),
        (in_line_2(rb"\d+$", b"1"), "and a later end; found 0, .*, 1$"),
        (in_line_2(b"\t0\t", b"\t2\t"), r"line 2: label 2 is outside 0\.\.1, the classes of fa"),
        (lambda content: content[: content.rindex(b"bob")], r"faces.bin: the pack is damaged, "),
        (lambda content: b"", r"faces.idx: expected a line for each picture, found none"),
    ],
)
def test_wrong_indices(pack, edit, says):
    change(pack.with_suffix(".idx"), edit, resum=True)
    with pytest.raises(DataError, match=says):
        pack_faces(pack)


@pytest.mark.parametrize("suffix", [".bin", ".idx"])
def test_wrong_checksums(pack, suffix):
    path = pack.with_suffix(suffix)
    change(path, lambda content: content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.raises(DataError, match="damaged, make it again: its checksum is not the one in"):
        pack_faces(pack, thorough=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": 2}, "expected format version 1, found 2"),
        ({"classes": 3}, "expected 3 different class_names"),
        ({"class_names": ["ann", "ann"]}, "expected 2 different class_names"),
        ({"class_names": [1, 2]}, "class_names is of another kind"),
        ({"sha256": "x"}, "sha256 is of another kind"),
        ({"size": 3}, "size is of another kind"),
        ({"more": 1}, "unexpected keyword argument 'more'"),
    ],
)
def test_wrong_headers(pack, changes, says):
    header = json.loads(pack.with_suffix(".json").read_text())
    pack.with_suffix(".json").write_text(json.dumps(header | changes))
    with pytest.raises(DataError, match=f"faces.json: .*{says}"):
        pack_faces(pack)


@pytest.mark.parametrize("content", [b"", b"[]", b"1", b"{}", b"[" * 100000, b"\xff"])
def test_headers_that_are_none(pack, content):
    pack.with_suffix(".json").write_bytes(content)
    with pytest.raises(DataError, match=r"faces.json: the pack is damaged, make it again: "):
        read_header(pack)


@pytest.mark.parametrize("suffix", [".bin", ".idx"])
def test_a_file_that_is_missing(pack, suffix):
    pack.with_suffix(suffix).unlink()
    with pytest.raises(DataError, match=f"faces{suffix}: cannot read it: No such file"):
        open_faces(pack)


def test_a_pack_that_shrinks(pack):
    faces = pack_faces(pack)
    change(pack.with_suffix(".bin"), lambda content: content[:10])
    with pytest.raises(DataError, match=r"faces.bin: ends in the middle of bob/2.png"):
        faces.content(5)


def test_nothing_is_there(tmp_path):
    with pytest.raises(DataError, match=r"faces: expected a folder with pictures as .* found neit"):
        open_faces(tmp_path / "faces")


def test_nothing_is_left_behind(tmp_path):
    faces = tree(tmp_path / "tree")
    (tmp_path / "tree" / "bob" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"tree: bob/1.png: not a readable picture"):
        write_pack(tmp_path / "out" / "faces", faces, made={})
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("suffix", [".bin", ".idx", ".json"])
def test_nothing_is_overwritten(pack, suffix):
    other = pack.with_name("other")
    other.with_suffix(suffix).write_text("mine")
    with pytest.raises(DataError, match=f"other{suffix}: exists already; remove it, or name an"):
        write_pack(other, pack_faces(pack), made={})
    assert other.with_suffix(suffix).read_text() == "mine"


def test_names_with_tabs_are_refused(tmp_path):
    faces = tree(tmp_path / "tree", ("a\tb",))
    with pytest.raises(DataError, match="expected a name without tabs and lines"):
        write_pack(tmp_path / "faces", faces, made={})


def test_a_folder_that_is_not_empty(pack, tmp_path):
    with pytest.raises(DataError, match="tree: is not an empty folder; name another one"):
        write_tree(tmp_path / "tree", pack_faces(pack))
