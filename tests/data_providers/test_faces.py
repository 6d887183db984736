"""Batches of faces: which pictures, in what order, with which labels and numbers."""

import re

import numpy as np
import pytest
from PIL import Image

from data_providers import ByteImages, DataError, ProviderOptions, create
from data_providers.jpeg_batches import ColourPca
from tests.data_providers.helpers import matrices, picture_tree

PEOPLE = ("ann", "bob", "cy")


def provider(folder, batch_range=(1,), test=False, **options):
    return create("face-folder", folder, batch_range, ProviderOptions(**options), test=test)


def seen(source, number=1, epoch=1):
    """The person and the picture of each case, by the colours that picture_tree gives them."""
    images, labels, *_ = source.load(number, epoch)
    colours = images.pixels[:, 0, 0].astype(int)
    np.testing.assert_array_equal(colours[:, 0] // 100, labels[0])
    return [
        (who // 100, number // 10) for who, number in zip(*colours[:, :2].T.tolist(), strict=True)
    ]


@pytest.fixture
def tree(tmp_path):
    """Three people, with 6, 6 and 4 pictures."""
    picture_tree(tmp_path, PEOPLE, count=6)
    for number in (4, 5):
        (tmp_path / "cy" / f"{number}.png").unlink()
    return tmp_path


def test_pixels_are_bytes_until_they_are_scaled(tree):
    source = provider(tree)
    images, labels = source.load(1, 1)
    assert isinstance(images, ByteImages)
    assert source.shapes == ((3, 5, 6), (1, 1, 1))
    assert source.label_names == PEOPLE
    numbers = np.asarray(images).reshape(3, 30, -1)[:, 0]
    expected = [100 * labels[0], images.pixels[:, 0, 0, 1], np.full(16, 7)]
    np.testing.assert_allclose(numbers, (np.array(expected) - 127.5) / 128, rtol=1e-6)


def test_a_mean_of_ones_own(tree):
    images = provider(tree, scalar_mean=7.0).load(1, 1)[0]
    assert not np.asarray(images)[-1].any()


def test_an_epoch_deals_the_pictures_of_the_range_anew(tree):
    source = provider(tree, [1, 2, 3], batch_size=5)
    epochs = [[seen(source, number, epoch) for number in (1, 2, 3)] for epoch in (1, 2)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [5, 5, 5]
        assert len(set().union(*batches)) == 15
    assert set().union(*epochs[0]) == set().union(*epochs[1])
    assert set(epochs[0][0]) != set(epochs[1][0])


def test_the_range_says_who_is_tested(tree):
    train, test = provider(tree, [1, 2], batch_size=6), provider(tree, [3], True, batch_size=6)
    trained = {*seen(train, 1), *seen(train, 2)}
    assert len(trained) == 12
    assert not trained & {*seen(test, 3)}
    assert seen(test, 3) == sorted(seen(test, 3))


def test_a_batch_depends_on_seed_epoch_and_number_alone(tree):
    options = {"people_per_batch": 2, "images_per_person": 2, "jitter": 5.0, "inner_size": 3}
    options |= {"batch_size": 8}
    first, again, other = (provider(tree, [1, 2], seed=s, **options) for s in (1, 1, 2))
    again.load(1, 1)
    expected = matrices(first, 2, 3)
    for found, matrix in zip(matrices(again, 2, 3), expected, strict=True):
        np.testing.assert_array_equal(found, matrix)
    for source, number, epoch in ((other, 2, 3), (first, 1, 3), (first, 2, 1)):
        assert (matrices(source, number, epoch)[0] != expected[0]).any()


@pytest.mark.parametrize(("batch_size", "groups"), [(0, 166), (13, 2), (6, 1), (4, 1)])
def test_groups(tree, batch_size, groups):
    numbers = range(1, 1 + -(-16 // (batch_size or 16)))
    source = provider(tree, numbers, people_per_batch=2, images_per_person=3, batch_size=batch_size)
    cases = seen(source)
    assert len(cases) == 6 * groups
    for start in range(0, len(cases), 6):
        group = cases[start : start + 6]
        assert len(set(group)) == 6
        people = [person for person, _ in group]
        assert people[:3] == people[:1] * 3
        assert people[3:] == people[3:4] * 3


def test_people_with_too_few_pictures_are_left_out(tree):
    cases = seen(provider(tree, people_per_batch=2, images_per_person=5))
    assert {person for person, _ in cases} == {0, 1}


def test_people_are_equally_likely(tree):
    cases = seen(provider(tree, people_per_batch=1, images_per_person=2, batch_size=1000))
    counts = np.bincount([person for person, _ in cases])
    assert counts.min() > 250


def test_groups_come_from_the_range_alone(tree):
    source = provider(tree, [1, 2], batch_size=6, people_per_batch=2, images_per_person=2)
    plain = provider(tree, [1, 2], batch_size=6)
    drawn = {case for epoch in range(40) for case in seen(source, 1, epoch)}
    assert drawn == {*seen(plain, 1), *seen(plain, 2)}


def test_crops_and_mirrors_of_training(tree):
    source = provider(tree, inner_size=4)
    places = np.concatenate([source.load(1, epoch)[0].places for epoch in range(20)])
    assert source.shapes[0] == (3, 4, 4)
    for column, values in enumerate(([0, 1], [0, 1, 2], [0, 1])):
        assert sorted(set(places[:, column])) == values
    unmirrored = provider(tree, mirror=False).load(1, 1)[0].places
    assert not unmirrored.any()


def test_test_pictures_are_not_changed(tree):
    options = {"inner_size": 4, "color_noise": 0.1, "jitter": 5.0}
    images = provider(tree, test=True, **options).load(1, 1)[0]
    assert (images.places == [0, 1, 0]).all()
    assert not images.colours.any()
    assert len(seen(provider(tree, test=True, **options))) == 16


def test_colours(tree):
    images = provider(tree, color_noise=0.5).load(1, 1)[0]
    pixels = np.array([[100 * who, 10 * n, 7] for who, n in np.ndindex(3, 6) if who < 2 or n < 4])
    pca = ColourPca.of_pictures(pixels[:, None, None].astype(np.uint8))
    np.testing.assert_allclose(
        np.cov(pixels.T, bias=True),
        pca.directions @ np.diag(pca.deviations**2) @ pca.directions.T,
        atol=1e-3,
    )
    assert images.scale == 1 / (128 * 1.5)
    assert not images.colours[:, 2].any()  # that colour is the same everywhere
    assert (np.abs(images.colours[:, :2]) > 0).all()


def test_jitter_moves_pictures(tree):
    path = tree / "ann" / "0.png"
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    images = [provider(tree, jitter=scale).load(1, 1)[0].pixels for scale in (0.0, 20.0)]
    changed = [(one == pixels).all(axis=(1, 2, 3)).any() for one in images]
    assert changed == [True, False]


def test_parts_share_the_numbers_of_people(tmp_path):
    picture_tree(tmp_path / "train", ["bob", "dan"])
    picture_tree(tmp_path / "val", ["ann", "bob", "cy"], count=2)
    train, test = provider(tmp_path), provider(tmp_path, test=True)
    assert train.label_names == ("bob", "dan")
    assert test.label_names == ("bob", "dan", "ann", "cy")
    np.testing.assert_array_equal(test.load(1, 1)[1], [[0, 0, 2, 2, 3, 3]])


def test_a_test_part_keeps_people_together(tmp_path):
    picture_tree(tmp_path / "train")
    picture_tree(tmp_path / "test", ["cat", "dog"], count=4)
    test = provider(tmp_path, [1, 2], test=True, batch_size=5)
    found = [test.load(number, 1)[1][0].tolist() for number in (1, 2)]
    assert found == [[0, 0, 0, 0, 1], [1, 1, 1]]


def attributes(folder, text):
    (folder / "attributes.csv").write_text(text)


def test_attributes(tree):
    attributes(tree, "picture,gender,age\nann,0,\nann/2.png,0,31\nbob,1,7\nnobody,1,1\n\n")
    source = provider(tree)
    assert source.shapes == ((3, 5, 6), (1, 1, 1), (1, 1, 1), (1, 1, 1))
    _, people, gender, age = source.load(1, 1)
    assert all(m.flags.c_contiguous and m.dtype == np.float32 for m in (people, gender, age))
    np.testing.assert_array_equal(gender, np.choose(people.astype(int), [0, 1, -1]))
    expected = [31 if case == (0, 2) else {0: -1, 1: 7, 2: -1}[case[0]] for case in seen(source)]
    assert age[0].tolist() == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: expected the columns picture and then labels, such as"),
        ("picture\nann\n", "found picture"),
        ("name,age\nann,1\n", "found name,age"),
        ("picture,age,age\nann,1,1\n", "found picture,age,age"),
        ("picture,age\nann,1\nbob\n", "line 3: expected 2 columns as in line 1, found 1"),
        ("picture,age\nann,-1\n", "line 2: expected whole numbers from 0, or nothing; found '-1'"),
        ("picture,age\nann,16777217\n", "found '16777217'"),
        ("picture,age\nand,1\n", "none of its 1 lines is about a picture of .*ann/0.png or ann"),
    ],
)
def test_wrong_attributes(tree, text, says):
    attributes(tree, text)
    with pytest.raises(DataError, match=f"attributes.csv: .*{says}"):
        provider(tree)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"people_per_batch": 3}, "--people-per-batch 3 --images-per-person 0: give both or none"),
        ({"images_per_person": -1}, "--images-per-person -1: expected 0 or more"),
        (
            {"people_per_batch": 3, "images_per_person": 5},
            "expected at least 3 people (--people-per-batch) with 5 pictures each"
            " (--images-per-person) in the training range, found 2; ask for fewer",
        ),
        ({"inner_size": 6}, "--inner-size 6 does not fit pictures of 5x6 pixels"),
        ({"multiview_test": True}, "does not understand --multiview-test"),
        ({"batch_size": 20, "people_per_batch": 1, "images_per_person": 7}, "found 0"),
    ],
)
def test_wrong_options(tree, options, says):
    with pytest.raises(DataError, match=re.escape(says)):
        provider(tree, **options)


def test_pictures_of_another_size(tree):
    Image.new("RGB", (9, 9)).save(tree / "bob" / "3.png")
    says = "bob/3.png: expected 6x5 pixels as in ann/0.png, found 9x9; give --image-size"
    with pytest.raises(DataError, match=says):
        provider(tree).load(1, 1)
    assert provider(tree, image_size=4).load(1, 1)[0].pixels.shape == (16, 4, 4, 3)


def test_no_such_batch(tree):
    with pytest.raises(DataError, match="no batch 2 for the training range 2; there is 1"):
        provider(tree, [2])


def test_a_picture_that_goes(tree):
    source = provider(tree)
    (tree / "cy" / "1.png").unlink()
    with pytest.raises(DataError, match=r"cy/1\.png: cannot read it: No such file"):
        source.load(1, 1)
