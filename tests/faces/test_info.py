"""What a folder of faces holds."""

from convnet.faces.info import describe
from tests.data_providers.helpers import picture_tree


def test_info(tmp_path):
    picture_tree(tmp_path, ["ann", "bob"], count=4)
    picture_tree(tmp_path, ["cy"], count=12)
    text = describe(tmp_path)
    for line in (
        "people        3",
        "pictures      20",
        "of a person   4 (median)",
        "  fewest      4 (ann)",
        "  most        12 (cy)",
        "  5 or more   1 people, 12 pictures",
    ):
        assert line in text.splitlines()
