from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes

from convnet.errors import ConvnetError, OptionError
from convnet.show.figures import Run
from convnet.show.filters import (
    RGB_OF_YUV,
    FilterOptions,
    draw_filters,
    filter_pictures,
    find_layer,
    layer_filters,
    sheet,
)
from tests.helpers import BELOW, layer, make_net
from tests.show.conftest import pixels_of

# below: 2 channels, 5 x 7 pixels -> 4 channels
IMAGES = layer("data", "data", dataIdx=0)
WEIGHTS = (
    IMAGES
    + BELOW
    + layer("groups", "conv", "below,data", channels="4,2", filters="3,6", filterSize="2,4",
            groups="2,1", padding="0,1", initW=1)
    + layer("near", "local", "below", channels=4, filters=3, filterSize=2, initW=1)
    + layer("wide", "fc", "near", outputs=5, initW=1)
    + layer("many", "fc", "data", outputs=400, initW=1)
    + layer("last", "fc", "many", outputs=2, initW=1)
    + layer("size", "cost.sum2", "last")
    + layer("size2", "cost.sum2", "wide")
    + layer("size3", "cost.sum2", "groups")
)  # fmt: skip


@pytest.fixture(scope="module")
def run():
    return Run(Path("run"), None, make_net(WEIGHTS))


def found(run, name, **options):
    layer = find_layer(run, name)
    filters = layer_filters(run, layer, FilterOptions(**options))
    return filters, run.net.get_weights(f"{name}.weights.{options.get('input_idx', 0)}")


@pytest.mark.parametrize(
    ("name", "index", "channels", "size", "filters"),
    [("below", 0, 2, 3, 4), ("groups", 0, 2, 2, 6), ("groups", 1, 2, 4, 6)],
)
def test_filters_of_conv(run, name, index, channels, size, filters):
    array, weights = found(run, name, input_idx=index)
    assert array.shape == (filters, channels, size, size)
    for f, c, y, x in np.ndindex(array.shape):
        assert array[f, c, y, x] == weights[(c * size + y) * size + x, f]


@pytest.mark.parametrize("plane", [0, 2])
def test_one_filter_of_local_at_all_places(run, plane):
    array, weights = found(run, "near", local_plane=plane)
    places = 4 * 6
    assert array.shape == (places, 4, 2, 2)
    for p, c, y, x in np.ndindex(array.shape):
        assert array[p, c, y, x] == weights[p * 16 + (c * 2 + y) * 2 + x, plane]


@pytest.mark.parametrize(
    ("name", "channels", "shape"),
    [
        ("wide", 0, (5, 3, 4, 6)),
        ("wide", 2, (5, 2, 6, 6)),
        ("last", 4, (2, 4, 10, 10)),
        ("last", 1, (2, 1, 20, 20)),
    ],
)
def test_units_of_fc(run, name, channels, shape):
    array, weights = found(run, name, channels=channels)
    assert array.shape == shape
    np.testing.assert_array_equal(array.reshape(shape[0], -1), weights.T)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("near", {"local_plane": 3}, "--local-plane: layer 'near' has filters 0 to 2; found 3"),
        ("groups", {"input_idx": 2}, "--input-idx: layer 'groups' has inputs 0 to 1; found 2"),
        ("last", {}, "layer 'last' sees 400 numbers, not images; give their --channels"),
        ("last", {"channels": 3}, "the 400 inputs of layer 'last' are no square images of 3 chann"),
    ],
)
def test_options_that_do_not_fit(run, name, options, says):
    with pytest.raises(OptionError, match=says):
        found(run, name, **options)


def test_the_first_layer_with_weights_is_the_default(run):
    assert find_layer(run).name == "below"


def test_a_net_without_weights():
    run = Run(Path("run"), None, make_net(IMAGES + layer("size", "cost.sum2", "data")))
    with pytest.raises(ConvnetError, match="run: the net has no layer with weights, so no filters"):
        find_layer(run)


FILTERS = np.random.default_rng(3).normal(2, 5, (4, 3, 2, 5))


def scaled(array):
    low, high = min(array.ravel()), max(array.ravel())
    return np.vectorize(lambda value: (value - low) / (high - low))(array)


def test_three_channels_are_colours():
    pictures = filter_pictures(FILTERS, FilterOptions())
    assert pictures.shape == (4, 2, 5, 3)
    expected = scaled(FILTERS)
    for f, c, y, x in np.ndindex(FILTERS.shape):
        assert pictures[f, y, x, c] == pytest.approx(expected[f, c, y, x])


@pytest.mark.parametrize(
    ("filters", "options"),
    [(FILTERS, FilterOptions(no_rgb=True)), (FILTERS[:, :2], FilterOptions())],
)
def test_other_channels_are_grey_side_by_side(filters, options):
    pictures = filter_pictures(filters, options)
    n, channels, height, width = filters.shape
    assert pictures.shape == (n, height, channels * width, 3)
    expected = scaled(filters)
    for f, c, y, x in np.ndindex(filters.shape):
        np.testing.assert_allclose(pictures[f, y, c * width + x], expected[f, c, y, x])


def test_filters_that_are_all_the_same():
    assert not filter_pictures(np.full((2, 1, 2, 2), 3.0), FilterOptions(norm_filters=True)).any()


def test_normed_filters():
    pictures = filter_pictures(FILTERS, FilterOptions(norm_filters=True))
    expected = scaled(np.array([(f - np.mean(f)) / np.sqrt(np.var(f)) for f in FILTERS]))
    np.testing.assert_allclose(pictures, expected.transpose(0, 2, 3, 1), rtol=1e-12)


def test_yuv_to_rgb():
    pictures = filter_pictures(FILTERS, FilterOptions(yuv_to_rgb=True))
    y, u, v = FILTERS.transpose(1, 0, 2, 3)
    red, green, blue = y + 1.28033 * v, y - 0.21482 * u - 0.38059 * v, y + 2.12798 * u
    expected = scaled(np.stack([red, green, blue], axis=-1))
    np.testing.assert_allclose(pictures, expected, atol=1e-12)
    assert RGB_OF_YUV.shape == (3, 3)


def test_yuv_to_rgb_wants_three_channels():
    with pytest.raises(OptionError, match="--yuv-to-rgb needs filters of 3 channels; found 2"):
        filter_pictures(FILTERS[:, :2], FilterOptions(yuv_to_rgb=True))


@pytest.mark.parametrize(("n", "columns", "rows"), [(7, 3, 3), (6, 3, 2), (2, 16, 1)])
def test_a_sheet_has_white_lines_between_the_pictures(n, columns, rows):
    pictures = np.random.default_rng(0).random((n, 2, 4, 3))
    shown = sheet(pictures, columns)
    columns = min(n, columns)
    expected = np.ones((rows * 3 - 1, columns * 5 - 1, 3))
    for i in range(n):
        for y in range(2):
            for x in range(4):
                expected[i // columns * 3 + y, i % columns * 5 + x] = pictures[i, y, x]
    np.testing.assert_array_equal(shown, expected)


@pytest.mark.parametrize(
    ("name", "options", "shape", "title"),
    [
        # 8 filters a row of two channels, 2 x 5 x 7
        ("many", {}, (48 * 6 - 1, 8 * 15 - 1, 3), "many: 384 of 400 filters, 2x5x7 each"),
        ("near", {}, (6 * 3 - 1, 4 * 9 - 1, 3), "near: 24 of 24 places, 4x2x2 each"),
    ],
)
def test_at_most_384_filters_16_in_a_row(run, tmp_path, monkeypatch, name, options, shape, title):
    shown = []
    show = Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda *a, **k: shown.append(a[1].shape) or show(*a, **k))
    layer = find_layer(run, name)
    assert draw_filters(run, layer, FilterOptions(**options), tmp_path / "it.png") == title
    assert shown == [shape]
    assert len(np.unique(pixels_of(tmp_path / "it.png"))) > 20


def test_command(show, tmp_path, monkeypatch):
    seen = []
    draw = draw_filters

    def record(run, layer, options, out):
        seen.append((layer.name, options, out))
        return draw(run, layer, options, out)

    monkeypatch.setattr("convnet.show.cli.draw_filters", record)
    out = tmp_path / "filters.pdf"
    printed = show("filters", out=out)
    assert printed == f"Wrote {out}; conv: 3 of 3 filters, 2x3x3 each\n"
    assert out.read_bytes().startswith(b"%PDF")
    show("filters", show_filters="fc", channels=3, no_rgb=1, yuv_to_rgb=1, norm_filters=1,
         input_idx=0, out=out)  # fmt: skip
    everything = FilterOptions(no_rgb=True, yuv_to_rgb=True, channels=3, norm_filters=True)
    assert seen == [("conv", FilterOptions(), out), ("fc", everything, out)]


def test_old_spelling_and_default_name(show, place):
    out = place.root / "run" / "filters-fc.png"
    assert show(show_filters="fc").startswith(f"Wrote {out}; fc: 3 of 3 filters, 3x5x5 each")
    assert pixels_of(out).std() > 10
    out.unlink()
