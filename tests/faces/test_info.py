"""What a folder of faces holds."""

from PIL import Image

from convnet.cli import main
from convnet.faces.align import align_tree
from convnet.faces.info import describe
from tests.data_providers.helpers import picture_tree


def test_people(tmp_path):
    picture_tree(tmp_path, ["ann", "bob"], count=4)
    picture_tree(tmp_path, ["cy"], count=12)
    (tmp_path / "zoe").mkdir()
    text = describe(tmp_path)
    for line in (
        "people        3",
        "pictures      20",
        "of a person   4 (median)",
        "  fewest      4 (ann)",
        "  most        12 (cy)",
        "  5 or more   1 people, 12 pictures",
        "  none        1 (zoe)",
    ):
        assert line in text.splitlines()
    assert "aligned" not in text


def test_kinds_of_pictures(tmp_path):
    picture_tree(tmp_path, ["ann"], count=4)
    for number in range(7):
        Image.new("L", (10 + number // 3, 8)).save(tmp_path / "ann" / f"{number}.jpg")
    (tmp_path / "ann" / "x.png").write_text("no picture")
    lines = describe(tmp_path).splitlines()
    assert "sizes         6x5 (4), 10x8 (3), 11x8 (3), and 1 others" in lines
    assert "formats       JPEG L (7), PNG RGB (4)" in lines
    assert "unreadable    1 (ann/x.png)" in lines


def test_alignment(tmp_path):
    picture_tree(tmp_path / "raw", ["ann"])
    (tmp_path / "raw/ann/x.png").write_text("no picture")
    align_tree(tmp_path / "raw", tmp_path / "out", landmarks="none", crop="arcface-112x96")
    lines = describe(tmp_path / "out").splitlines()
    assert "aligned       arcface-112x96, 96x112, landmarks: none" in lines
    assert "photographs   3 aligned, 1 unreadable" in lines


def test_a_part_tells_how_it_was_aligned(tmp_path):
    picture_tree(tmp_path / "raw", ["ann", "bob"])
    align_tree(tmp_path / "raw", tmp_path / "out", landmarks="none")
    assert main(["faces", "split", str(tmp_path / "out"), "--out", str(tmp_path / "parts")]) == 0
    text = describe(tmp_path / "parts" / "train")
    assert "aligned       arcface, 112x112, landmarks: none" in text.splitlines()
    assert "photographs" not in text
