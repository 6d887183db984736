"""The tiles of the products behind convolutions: each computes the same, and the model's choice."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.geometry import Window
from convnet.neurons import IDENT
from convnet.ops.cuda import convolution_ops
from convnet.ops.cuda.emulated import EmulatedDriver
from convnet.ops.cuda.emulated.counts import Count
from convnet.ops.cuda.ops import CudaOps
from convnet.ops.cuda.tiles import DIRECTIONS, TILES, Cut, Tile, choose, cost, products
from convnet.precision import Precision
from tests import reference
from tests.helpers import emulated_ops
from tests.ops.check import apply, assert_close, numbers
from tests.ops.rounding import rounded

A100, H100 = 108, 132  # multiprocessors
QUADS, ODD = 12, 9  # images
SMALL = [Tile(64, 64), Tile(32, 64)]


@pytest.fixture
def force(monkeypatch):
    """Takes this tile, where the copies allow it, and so many parts where sums are divided."""

    def force(tile: Tile, parts: int = 1) -> None:
        def forced(product, multiprocessors):
            a, b = (f.fits(s, tile.threads) for f, s in zip(product[4:6], tile, strict=True))
            whole = Cut(tile if a and b else choose(product, multiprocessors).tile)
            return whole._replace(parts=parts) if product.divisible else whole

        monkeypatch.setattr(convolution_ops, "choose", forced)

    return force


def make_arrays(g: Window, N: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "images": numbers(rng, *g.images_shape, N),
        "filters": numbers(rng, *g.conv_filters_shape),
        "acts_grad": numbers(rng, *g.acts_shape, N),
    }


QUICK = {
    *((tile, ODD if tile in SMALL else QUADS, Precision.FP32) for tile in TILES),
    (Tile(32, 128), QUADS, Precision.TF32),  # fewer warps than 32 columns each would need
}


@pytest.mark.parametrize(
    ("tile", "N", "precision"),
    [
        pytest.param(*given, marks=[] if given in QUICK else pytest.mark.slow)
        for tile in TILES
        for given in (
            (tile, QUADS, Precision.FP32),
            (tile, ODD, Precision.FP32),
            (tile, QUADS, Precision.TF32),
            (tile, ODD, Precision.BF16),
        )
    ],
)
def test_every_tile_computes_the_same(tile, N, precision, force):
    ops = emulated_ops(precision)
    force(tile, parts=3)
    g = Window(5, 5, 6, 36, 3, padding=1, stride=2)
    arrays = make_arrays(g, N)
    images, filters, acts_grad = (rounded(array, precision) for array in arrays.values())
    got = apply(
        ops,
        "conv_fprop",
        g=g,
        images=images,
        filters=filters,
        biases=None,
        neuron=IDENT,
        acts=(*g.acts_shape, N),
    )
    expected = reference.conv_fprop(g, images, filters, False)
    assert_close(ops, got["acts"], expected, "fprop")
    got = apply(
        ops,
        "conv_dgrad",
        g=g,
        filters=filters,
        acts_grad=acts_grad,
        images_grad=(*g.images_shape, N),
    )
    assert_close(ops, got["images_grad"], reference.conv_dgrad(g, filters, acts_grad, False), "d")
    got = apply(
        ops,
        "conv_wgrad",
        g=g,
        images=images,
        acts_grad=acts_grad,
        filters_grad=g.conv_filters_shape,
    )
    assert_close(ops, got["filters_grad"], reference.conv_wgrad(g, images, acts_grad, False), "w")


@pytest.mark.parametrize(
    ("g", "local"),
    [
        (Window(6, 7, 5, 8, 3, padding=1, stride=2, groups=2), False),
        (Window(2, 5, 6, 3, 2, padding=1, stride=3), False),
        (Window(2, 5, 6, 3, 3, padding=1, stride=2), True),
    ],
)
def test_steps_of_products(g, local):
    """Of dgrad: each pixel of the image meets the taps at its distance from the strides."""
    N = 20
    by_direction = products(g, local, N)
    steps = 0
    rows, columns = (g.height, g.width) if local else (g.stride, g.stride)
    for h in range(rows):
        for w in range(columns):
            taps = [
                (y, x)
                for y in range(g.filter_size)
                for x in range(g.filter_size)
                if (h + g.padding - y) % g.stride == 0 and (w + g.padding - x) % g.stride == 0
            ]
            steps += len(taps) * -(-g.group_filters // 16)
    assert by_direction["dgrad"].steps == steps * g.groups
    pixels = g.out_pixels if local else 1
    assert by_direction["fprop"].steps == g.groups * pixels * -(-g.taps // 16)
    assert by_direction["wgrad"].steps == g.groups * g.out_pixels * 2


def test_nothing_is_wasted_where_tiles_fit():
    g, N = Window(64, 16, 16, 128, 3, padding=1), 128
    for direction, product in products(g, False, N).items():
        assert product.multiplications(Tile(64, 64)) == N * g.multiply_adds, direction
    fprop = products(g, False, N)["fprop"]
    # Each of two rows of tiles reads all images for each tap, each column all filters.
    assert fprop.bytes_copied(Tile(64, 64)) == 4 * g.taps * (2 * 256 * N + 128 * 256 * N // 64)
    assert fprop._replace(rows=65).multiplications(Tile(64, 64)) == N * g.multiply_adds
    assert fprop._replace(rows=65).multiplications(Tile(128, 64)) == N * g.multiply_adds
    assert fprop._replace(rows=64).multiplications(Tile(128, 64)) == N * g.multiply_adds


@pytest.mark.parametrize("multiprocessors", [A100, H100])
def test_the_model_takes(multiprocessors):
    """Tiles without empty rows; small ones where large ones are too few."""

    def chosen(g: Window, N: int) -> list[Tile]:
        return [choose(p, multiprocessors).tile for p in products(g, False, N).values()]

    large = Window(256, 28, 28, 512, 3, padding=1)
    assert chosen(large, 128) == [Tile(128, 128)] * 3
    assert chosen(Window(64, 56, 56, 192, 3, padding=1), 128)[0].rows == 64
    first = chosen(Window(3, 64, 64, 32, 3, padding=1), 128)
    assert [tile.rows for tile in first[:2]] == [32, 32]
    few = choose(products(large, False, 1)["fprop"], multiprocessors)
    assert few.tile.rows * few.tile.columns < 128 * 128


def test_sums_are_divided_until_all_have_work():
    product = products(Window(64, 56, 56, 64, 3, padding=1), False, 64)["wgrad"]
    for multiprocessors in (1, A100, H100):
        tile, parts = choose(product, multiprocessors)
        x, y, z = tile.grid(product.rows, product.columns, product.number * parts)
        assert x * y * z >= multiprocessors - x * y
        assert product.steps // parts >= 8
    assert choose(product._replace(divisible=False), A100).parts == 1
    assert choose(product._replace(steps=8), A100).parts == 1


def test_the_cheapest_is_taken():
    for product in products(Window(48, 13, 13, 80, 5, padding=2), False, 128).values():
        cut = choose(product, A100)
        assert all(cost(product, cut, A100) <= cost(product, Cut(tile), A100) for tile in TILES), (
            product
        )


def test_copies_limit_the_choice():
    """A line of a tile has no more numbers than there are threads, if each copies one at a time."""
    g = Window(3, 64, 64, 32, 3, padding=1)
    assert choose(products(g, False, 128)["fprop"], A100).tile == Tile(32, 128)
    assert choose(products(g, False, 127)["fprop"], A100).tile == Tile(32, 64)


COUNTED = EmulatedDriver("count")


def counted(g: Window, N: int, direction: str, precision: Precision) -> list[Count]:
    """The accesses of one product, without the sum of its parts."""
    emulated_ops()  # or skips
    COUNTED.counts.clear()
    arrays = make_arrays(g, N)
    outputs = {
        "fprop": ("acts", (*g.acts_shape, N)),
        "dgrad": ("images_grad", (*g.images_shape, N)),
        "wgrad": ("filters_grad", g.conv_filters_shape),
    }
    names = {"fprop": ("images", "filters"), "dgrad": ("filters", "acts_grad")}
    inputs = {name: arrays[name] for name in names.get(direction, ("images", "acts_grad"))}
    if direction == "fprop":
        inputs |= {"biases": np.ones(g.filters), "neuron": IDENT}
    output, shape = outputs[direction]
    apply(CudaOps(COUNTED, precision), f"conv_{direction}", g=g, **inputs, **{output: shape})
    return [count for count in COUNTED.counts if count.kernel == direction]


def excess(counts: list[Count], *kinds: str) -> float:
    """Sectors over those that would do."""
    chosen = [c for c in counts if c.memory == "global" and c.kind in kinds]
    return sum(c.sectors for c in chosen) / sum(c.ideal for c in chosen)


@pytest.mark.parametrize(
    ("tile", "N", "precision"),
    [
        pytest.param(
            tile, N, Precision.FP32, marks=[] if tile == Tile(64, 128) else pytest.mark.slow
        )
        for tile in TILES
        for N in (8, 12, 17)
    ]
    + [
        pytest.param(tile, 8, Precision.TF32, marks=pytest.mark.slow)
        for tile in (Tile(64, 128), Tile(32, 128))
    ],
)
def test_memory_as_a_gpu_would_see_it(tile, N, precision, force):
    """No conflicts of banks; whole sectors if images are multiples of 8, see docs/roofline.md."""
    force(tile, parts=2)
    g = Window(4, 3, 4, 40, 3, padding=1)
    for direction in DIRECTIONS:
        counts = counted(g, N, direction, precision)
        assert sum(count.requests for count in counts) > 0
        assert not any(count.conflicts for count in counts), direction
        # Stores of half a sector.
        halves = direction == "wgrad" and (tile.columns == 32 or precision != Precision.FP32)
        if N % 8 == 0:
            assert excess(counts, "copy") == 1.0
            assert excess(counts, "copy", "load") <= 1.15  # loads of biases are few
            assert excess(counts, "store") == (2.0 if halves else 1.0)
        else:
            # Rows of images begin within a sector, or end there.
            most = 1.55 if N % 4 else 1.35 if direction == "wgrad" else 1.2
            assert excess(counts, "copy") < most
            odd = N % 4 and direction != "wgrad"
            assert excess(counts, "store") <= (5 if odd else 2 if halves else 1.2)
