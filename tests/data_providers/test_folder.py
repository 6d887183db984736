import re

import numpy as np
import pytest
from PIL import Image

from data_providers import DataError, ProviderOptions, create
from data_providers.folder import PictureTree
from data_providers.pictures import find_pictures
from tests.data_providers.helpers import matrices, picture_tree


def provider(folder, batch_range=(1,), **options):
    return create("folder", folder, batch_range, ProviderOptions(**options), test=False)


def test_pictures_become_planar_rgb(tmp_path):
    picture_tree(tmp_path, size=(4, 3))
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "dog" / "1.png")
    tree = PictureTree(find_pictures(tmp_path))
    assert tree.label_names == ("cat", "dog")
    assert tree.shape == (3, 3, 4)
    np.testing.assert_array_equal(tree.labels, [0, 0, 0, 1, 1, 1])
    pixels = tree.pixels([4, 0]).reshape(3, 3, 4, 2)
    for channel in range(3):
        np.testing.assert_array_equal(pixels[channel, :, :, 0], picture[:, :, channel])


def test_batches_hold_every_picture_once_and_all_classes_equally(tmp_path):
    picture_tree(tmp_path, count=6)
    source = provider(tmp_path, [1, 2, 3], batch_size=4, scalar_mean=0.0)
    seen = []
    for number in (1, 2, 3):
        matrix, labels = matrices(source, number, 1)
        colours = matrix.reshape(3, 30, 4)[:, 0].T
        np.testing.assert_array_equal(colours[:, 0] / 100, labels[0])
        np.testing.assert_array_equal(np.bincount(labels[0].astype(int)), [2, 2])
        seen += [tuple(colour) for colour in colours]
    assert len(set(seen)) == 12


def test_the_cut_does_not_depend_on_the_seed(tmp_path):
    picture_tree(tmp_path)
    first, other = (provider(tmp_path, seed=seed, batch_size=4) for seed in (1, 2))
    np.testing.assert_array_equal(matrices(first, 1, 1)[0], matrices(other, 1, 1)[0])


def test_the_mean_is_that_of_batch_1(tmp_path):
    picture_tree(tmp_path, count=4)
    source = provider(tmp_path, [1, 2], batch_size=4)
    assert np.abs(matrices(source, 1, 1)[0].mean(axis=1)).max() < 1e-4


def test_pictures_are_scaled_and_cropped_to_a_size(tmp_path):
    picture_tree(tmp_path, size=(12, 8))
    Image.new("L", (20, 31), 77).save(tmp_path / "cat" / "grey.PNG")
    source = provider(tmp_path, image_size=5, scalar_mean=0.0)
    assert source.shapes[0] == (3, 5, 5)
    matrix, _ = matrices(source, 1, 1)
    assert (matrix == 77).all(axis=0).sum() == 1


def test_pictures_of_another_size(tmp_path):
    picture_tree(tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "dog" / "2.png")
    text = r"2.png: expected 6x5 pixels as in .*0.png, found 9x9; give a size to scale"
    with pytest.raises(DataError, match=text):
        matrices(provider(tmp_path, scalar_mean=0.0), 1, 1)


@pytest.mark.parametrize("size", [0, 20, 45])
def test_a_damaged_picture(tmp_path, size):
    picture_tree(tmp_path)
    path = tmp_path / "cat" / "0.png"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=re.escape(f"{path}: not a readable picture: ")):
        provider(tmp_path)


def test_hidden_and_other_files_are_left_out(tmp_path):
    picture_tree(tmp_path, count=1)
    (tmp_path / ".cache").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("x")
    (tmp_path / "cat" / ".hidden.png").write_text("x")
    tree = PictureTree(find_pictures(tmp_path))
    assert [path.name for path in tree.files] == ["0.png", "0.png"]
    assert tree.label_names == ("cat", "dog")


def test_no_pictures(tmp_path):
    with pytest.raises(DataError, match=r"expected pictures as CLASS/NAME.jpg \(or .png ...\)"):
        PictureTree(find_pictures(tmp_path))


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="nowhere: cannot read it: No such file"):
        find_pictures(tmp_path / "nowhere")


def test_pictures_of_every_kind_become_rgb(tmp_path):
    folder = tmp_path / "tree" / "kind"
    folder.mkdir(parents=True)
    turned = Image.new("RGB", (2, 3), "red")
    turned.putpixel((0, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned.save(folder / "a.png", exif=exif)
    Image.new("RGBA", (2, 3), (255, 0, 0, 0)).save(folder / "b.png")
    Image.fromarray(np.full((3, 2), 0x7FFF, np.uint16)).save(folder / "c.png")
    Image.new("CMYK", (2, 3), (0, 0, 0, 255)).save(folder / "d.tif")
    tree = PictureTree(find_pictures(tmp_path / "tree"))
    pixels = tree.pixels(range(4)).reshape(3, 3, 2, 4)
    assert pixels[:, 2, 1, 0].tolist() == [0, 0, 255]
    assert (pixels[..., 1] == 255).all()
    assert (pixels[..., 2] == 0x7F).all()
    assert (pixels[..., 3] == 0).all()


def test_pixels_without_a_range_are_refused(tmp_path):
    folder = tmp_path / "tree" / "kind"
    folder.mkdir(parents=True)
    Image.new("F", (2, 3), 0.5).save(folder / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: not a readable picture: pixels of mode F have"):
        PictureTree(find_pictures(tmp_path / "tree")).pixels([0])
