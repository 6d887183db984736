"""The matrix products of kernels/convolution.cu, and the tiles that they are computed in.

Every convolution is one or several matrix products; a block of threads computes one tile of one of
them. Tiles come in a few sizes. Which of them suits a product says a model of the time that it
takes; it chooses, too, into how many parts the sums of a weight's gradient are divided.

The model is arithmetic on paper and has not been compared with a GPU. It counts the instructions
that the threads of one multiprocessor execute:

* all of a tile, whether rows and columns exist or not;
* the multiprocessor with the most blocks, which the others wait for at the end;
* for each copy into shared memory what it takes to find its place, which makes small tiles dear;
* more, if there are too few threads to hide how long memory takes;
* for divided sums the memory that holds the parts, and the kernel that adds them up.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple, get_args

from convnet.geometry import Window

DEPTH, QUAD = 16, 4  # see kernels/gemm.cuh
Direction = Literal["fprop", "dgrad", "wgrad"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

# What the model takes things to cost, in instructions of a thread. Copies: what the main loop has
# besides multiply-adds and loads of the factors, by the number of copies; for all tiles in the
# machine code for sm_80 (3 x 3 filters, 64 channels, 128 and 127 images) 22 to 38. A GPU does some
# 8 multiply-adds while it moves a byte (the peaks of an A100 give 6, of an H100 10), and a launch
# takes about as long as a multiprocessor needs for a hundred thousand.
COPY, BYTE, LAUNCH = 30, 8, 100_000
# Threads of a multiprocessor that hide how long memory takes: two warps for each of its four
# schedulers, as each thread has 64 sums that do not wait for each other.
ENOUGH_THREADS = 256
LEAST_STEPS = 8  # that each part of a divided sum has
MOST_WAVES = 8  # of blocks, that a sum is divided for


class Tile(NamedTuple):
    """Sums that a block computes."""

    rows: int
    columns: int

    @property
    def threads(self) -> int:
        """As TILE_THREADS in kernels/gemm.cuh."""
        return max(64, self.rows * self.columns // 64)

    def grid(self, rows: int, columns: int, count: int) -> tuple[int, int, int]:
        return (-(-columns // self.columns), -(-rows // self.rows), count)


# A thread has 64 sums, or 32; none of these spills registers on any architecture.
TILES = (
    Tile(128, 128),
    Tile(128, 64),
    Tile(64, 128),
    Tile(64, 64),
    Tile(128, 32),
    Tile(32, 128),
    Tile(64, 32),
    Tile(32, 64),
)


class Factor(NamedTuple):
    """How a factor of a product is copied into shared memory.

    Attributes:
        span: numbers at once.
        lines: whether along the tile's side (Lines in kernels/gemm.cuh), else along the sum.
    """

    span: int
    lines: bool

    def fits(self, side: int, threads: int) -> bool:
        """Whether each thread has a place of its own on a line."""
        return not self.lines or side <= threads * self.span

    def copies(self, side: int, threads: int) -> float:
        """Of a thread, for a step."""
        return side * DEPTH / self.span / threads


class Product(NamedTuple):
    """Matrix products of one size that a launch computes.

    Attributes:
        rows, columns: of each.
        number: how many.
        steps: of DEPTH terms, in the sums of all of them together.
        a, b: the factors with the rows and with the columns.
        divisible: whether sums may be made in parts that are added up afterwards.
    """

    rows: int
    columns: int
    number: int
    steps: int
    a: Factor
    b: Factor
    divisible: bool = False

    def multiplications(self, tile: Tile) -> int:
        """All that the blocks do, of rows, columns and terms that do not exist too."""
        x, y, _ = tile.grid(self.rows, self.columns, 1)
        return x * y * tile.rows * tile.columns * self.steps * DEPTH

    def bytes_copied(self, tile: Tile) -> int:
        """From global into shared memory: each factor as often as tiles need it, at most."""
        x, y, _ = tile.grid(self.rows, self.columns, 1)
        return 4 * self.steps * DEPTH * (x * self.rows + y * self.columns)


class Cut(NamedTuple):
    """How a product is computed: its tile, and the parts that its sums are made in."""

    tile: Tile
    parts: int = 1


@cache
def products(g: Window, local: bool, N: int) -> dict[Direction, Product]:
    """Of the convolutions of N images, and of their gradients; see kernels/convolution.cu."""
    images = QUAD if N % QUAD == 0 else 1
    filters = QUAD if g.group_filters % QUAD == 0 else 1
    pixels = g.out_pixels if local else 1
    number = g.groups * pixels
    # Of dgrad: pixels go in stride x stride classes, and each meets the taps of its class.
    rows, columns = (
        sum(
            max(0, -(-(side.filter_size - (i + side.padding) % side.stride) // side.stride))
            for i in range(side.pixels if local else side.stride)
        )
        for side in (g.rows, g.columns)
    )
    class_size = 1 if local else -(-g.height // g.stride) * -(-g.width // g.stride)
    classes = g.height * g.width if local else g.stride**2
    return {
        "fprop": Product(
            g.group_filters,
            g.out_pixels // pixels * N,
            number,
            number * -(-g.taps // DEPTH),
            Factor(filters, lines=True),
            Factor(images, lines=True),
        ),
        "dgrad": Product(
            g.group_channels,
            class_size * N,
            g.groups * classes,
            g.groups * rows * columns * -(-g.group_filters // DEPTH),
            Factor(filters, lines=False),
            Factor(images, lines=True),
        ),
        "wgrad": Product(
            g.taps,
            g.group_filters,
            number,
            g.groups * g.out_pixels * -(-N // DEPTH),
            Factor(images, lines=False),
            Factor(images, lines=False),
            divisible=not local,
        ),
    }


@cache
def choose(product: Product, multiprocessors: int) -> Cut:
    """The fastest cut of a product, by the model, on a device with so many multiprocessors."""
    return min(_cuts(product, multiprocessors), key=lambda cut: cost(product, cut, multiprocessors))


def _cuts(product: Product, multiprocessors: int) -> Iterator[Cut]:
    for tile in TILES:
        if not (
            product.a.fits(tile.rows, tile.threads) and product.b.fits(tile.columns, tile.threads)
        ):
            continue
        yield Cut(tile)
        if product.divisible:
            x, y, z = tile.grid(product.rows, product.columns, product.number)
            most = product.steps // product.number // LEAST_STEPS
            waves = range(1, MOST_WAVES + 1)
            parts = {min(most, multiprocessors * wave // (x * y * z)) for wave in waves}
            yield from (Cut(tile, number) for number in sorted(parts) if number > 1)


def cost(product: Product, cut: Cut, multiprocessors: int) -> float:
    """Instructions of the threads of the busiest multiprocessor; see above."""
    tile, parts = cut
    x, y, z = tile.grid(product.rows, product.columns, product.number * parts)
    blocks = max(1, -(-x * y * z // multiprocessors))  # of the busiest one
    # One step more: for the first copies, which nothing is done meanwhile, and for the store.
    steps = -(-product.steps // (product.number * parts)) + 1
    a, b = product.a, product.b
    sums = tile.rows * tile.columns // tile.threads
    reads = (sums // 8 + 8) / QUAD  # from shared memory: a thread has 8 columns
    copies = a.copies(tile.rows, tile.threads) + b.copies(tile.columns, tile.threads)
    threads = blocks * tile.threads
    total = threads * steps * (DEPTH * (sums + reads) + COPY * copies)
    total *= max(1, ENOUGH_THREADS / threads)
    if parts > 1:
        moved = 2 * 4 * parts * product.number * product.rows * product.columns
        total += LAUNCH + BYTE * moved / multiprocessors
    return total
