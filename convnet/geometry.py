"""The shape of every windowed operation, derived once.

One object per operation holds all its sizes; layers, backends, the layer table and the tests
read them from here and compute none themselves. Letters used throughout the project:

    C, H, W   channels, height and width of the images
    N         images (cases) of a minibatch, the innermost dimension of every activity
    F         filters (output channels), all groups together
    K         side of a square filter
    P, Q      height and width of the output (cuda-convnet: modules)

Activities are float arrays of shape (channels, height, width, N), C-contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from convnet.errors import ShapeError


@dataclass(frozen=True)
class Shape:
    """Channels, height and width of one image or of one layer's output."""

    channels: int
    height: int = 1
    width: int = 1

    @property
    def size(self) -> int:
        """Numbers per image."""
        return self.channels * self.height * self.width

    def as_tuple(self) -> tuple[int, int, int]:
        return (self.channels, self.height, self.width)

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width}"


class Side(NamedTuple):
    """The rows of a Window, or its columns.

    pixels of the image, filter_size, padding, stride; the windows that are asked for, or 0.
    """

    pixels: int
    filter_size: int
    padding: int
    stride: int
    modules: int

    @property
    def outputs(self) -> int:
        """Windows: those asked for, or 1 + ceil((2 padding + pixels - filter_size) / stride).

        The latter as in cuda-convnet: the last window may stick out beyond the padding; pixels
        that do not exist count as zero.
        """
        beyond = 2 * self.padding + self.pixels - self.filter_size
        return self.modules or 1 - -beyond // self.stride

    @property
    def last(self) -> int:
        """The first pixel of the last window, were it that of `modules`."""
        return (self.modules - 1) * self.stride - self.padding


@dataclass(frozen=True)
class Window:
    """A convolution, with shared filters (conv) or a set of filters per output pixel (local).

    Arrays, C-contiguous:
        images   (C, H, W, N)
        filters  conv  (C/groups * K * K, F): rows in the order channel, y, x
                 local (P * Q * C/groups * K * K, F): rows output pixel, channel, y, x
        biases   any shape with F entries (one per filter) or F * P * Q (one per output)
        acts     (F, P, Q, N)

    Filter f belongs to group f // (F / groups) and sees the C / groups channels of that group.
    Output pixel (p, q) sees image rows p * stride - padding + (0 .. K-1), columns likewise.
    P = Q = `modules` where it is given (> 0), else as many as cover the padded image. Pixels that
    no window holds have the gradient 0.

    Filter size, padding and modules are those of the columns; of the rows too, unless these have
    their own (filter_size_y and so on). Such filters have KY * KX rows in place of K * K.
    """

    channels: int
    height: int
    width: int
    filters: int
    filter_size: int
    padding: int = 0
    stride: int = 1
    groups: int = 1
    modules: int = 0
    filter_size_y: int | None = None
    padding_y: int | None = None
    modules_y: int | None = None

    def __post_init__(self) -> None:
        if self.channels % self.groups:
            raise ShapeError(
                f"channels must be a multiple of groups; "
                f"found channels={self.channels}, groups={self.groups}"
            )
        if self.filters % self.groups:
            raise ShapeError(
                f"filters must be a multiple of groups; "
                f"found filters={self.filters}, groups={self.groups}"
            )
        for name, y, side in (("height", "Y", self.rows), ("width", "X", self.columns)):
            key = "filterSizeY" if y == "Y" and self.filter_size_y is not None else "filterSize"
            if side.filter_size > side.pixels + 2 * side.padding:
                raise ShapeError(
                    f"{key} must be at most the padded image's {name}, "
                    f"{side.pixels} + 2*{side.padding}; found {key}={side.filter_size}"
                )
            covered = side.last + side.filter_size
            # Of what lies beyond the last window a window would have to stick out.
            if side.modules and covered + side.stride <= side.pixels:
                key = "modulesY" if y == "Y" and self.modules_y is not None else "modulesX"
                raise ShapeError(
                    f"{key}={side.modules} windows cover {covered} pixels of the image's "
                    f"{name}, {side.pixels}; leave it out or take more"
                )

    @property
    def rows(self) -> Side:
        own = (self.filter_size_y, self.padding_y, self.modules_y)
        size, padding, modules = (
            usual if y is None else y
            for y, usual in zip(own, (self.filter_size, self.padding, self.modules), strict=True)
        )
        return Side(self.height, size, padding, self.stride, modules)

    @property
    def columns(self) -> Side:
        return Side(self.width, self.filter_size, self.padding, self.stride, self.modules)

    @property
    def is_square(self) -> bool:
        """Whether rows and columns have equal filters and padding."""
        return self.rows[1:3] == self.columns[1:3]

    @property
    def all_see_pixels(self) -> bool:
        """Whether no window lies beyond the image, as the last of `modules` may."""
        return all(side.last < side.pixels for side in (self.rows, self.columns))

    @property
    def out_height(self) -> int:
        return self.rows.outputs

    @property
    def out_width(self) -> int:
        return self.columns.outputs

    @property
    def group_channels(self) -> int:
        return self.channels // self.groups

    @property
    def group_filters(self) -> int:
        return self.filters // self.groups

    @property
    def filter_pixels(self) -> int:
        return self.rows.filter_size * self.columns.filter_size

    @property
    def taps(self) -> int:
        """Weights per filter (and, in a local layer, per output pixel)."""
        return self.group_channels * self.filter_pixels

    @property
    def out_pixels(self) -> int:
        return self.out_height * self.out_width

    @property
    def images_shape(self) -> tuple[int, int, int]:
        return (self.channels, self.height, self.width)

    @property
    def acts_shape(self) -> tuple[int, int, int]:
        return (self.filters, self.out_height, self.out_width)

    @property
    def conv_filters_shape(self) -> tuple[int, int]:
        return (self.taps, self.filters)

    @property
    def local_filters_shape(self) -> tuple[int, int]:
        return (self.out_pixels * self.taps, self.filters)

    @property
    def multiply_adds(self) -> int:
        """Per image, borders counted as if they were full windows."""
        return self.out_pixels * self.taps * self.filters


@dataclass(frozen=True)
class Pool:
    """Pooling over windows, per channel; or over rows alone, if `tall`.

    images (C, H, W, N) -> acts (C, P, Q, N). Window (p, q) covers columns
    start + q * stride .. + size - 1, clipped to the image; `start` may be negative.
    Q = `outputs` where it is given (> 0), else ceil((W - start - size) / stride) + 1. Rows
    likewise, with size_y, start_y and outputs_y where these are given. A tall window (p, q) covers
    those rows of column q.
    """

    channels: int
    height: int
    width: int
    size: int
    stride: int
    start: int = 0
    outputs: int = 0
    tall: bool = False
    size_y: int | None = None
    start_y: int | None = None
    outputs_y: int | None = None

    def __post_init__(self) -> None:
        rows = ("Y" if self.size_y is not None else "X", "height", self.height)
        columns = ("X", "width", self.width)
        for (y, name, pixels), (start, stride, size), count in (
            (rows, self.row_windows, self.out_height),
            (columns, self.column_windows, self.out_width),
        ):
            if size > pixels:
                raise ShapeError(
                    f"size{y} must be at most the image's {name}, {pixels}; found size{y}={size}"
                )
            # Every window must hold at least one pixel, else its maximum or mean is undefined.
            last = start + (count - 1) * stride
            if count < 1 or last >= pixels or start + size <= 0:
                raise ShapeError(
                    f"every pooling window must overlap the image's {name}, {pixels}; found "
                    f"{count} windows, the first at {start}, the last at {last}"
                )

    @property
    def out_height(self) -> int:
        outputs = self.outputs if self.outputs_y is None else self.outputs_y
        return outputs or _count(self.row_windows, self.height)

    @property
    def out_width(self) -> int:
        return (0 if self.tall else self.outputs) or _count(self.column_windows, self.width)

    @property
    def images_shape(self) -> tuple[int, int, int]:
        return (self.channels, self.height, self.width)

    @property
    def acts_shape(self) -> tuple[int, int, int]:
        return (self.channels, self.out_height, self.out_width)

    @property
    def row_windows(self) -> tuple[int, int, int]:
        """Start, stride and size of the windows, in rows."""
        start = self.start if self.start_y is None else self.start_y
        return (start, self.stride, self.size if self.size_y is None else self.size_y)

    @property
    def column_windows(self) -> tuple[int, int, int]:
        """Start, stride and size of the windows, in columns."""
        return (0, 1, 1) if self.tall else (self.start, self.stride, self.size)

    def rows(self, p: int) -> range:
        """Image rows of output row p."""
        return _clipped(p, self.row_windows, self.height)

    def columns(self, q: int) -> range:
        """Image columns of output column q."""
        return _clipped(q, self.column_windows, self.width)


def _count(windows: tuple[int, int, int], pixels: int) -> int:
    """As many windows as cover the pixels."""
    start, stride, size = windows
    return 1 - (start + size - pixels) // stride


def _clipped(i: int, windows: tuple[int, int, int], length: int) -> range:
    start, stride, size = windows
    first = start + i * stride
    return range(max(0, first), min(length, first + size))


@dataclass(frozen=True)
class Norm:
    """Local normalisation: y = x * D^-power, D = min_div + scale * sum of x^2.

    The sum runs over a neighbourhood of each element, clipped at the borders:
        rnorm   the size x size pixels from pixel - size // 2, in the same channel
        cnorm   the same, and of x minus its mean over them in place of x
        cmrnorm the `size` channels from channel - size // 2, at the same pixel;
                if `blocked`, the channels of block channel // size instead
    `scale` is the layer file's scale already divided by the full neighbourhood: size^2 for
    rnorm and cnorm, size for cmrnorm, whatever part of it exists at a border.
    """

    size: int
    scale: float
    power: float
    min_div: float = 1.0
    blocked: bool = False

    def span(self, i: int, length: int) -> range:
        """Indices that element i of `length` is normalised by, along one dimension."""
        first = i // self.size * self.size if self.blocked else i - self.size // 2
        return range(max(0, first), min(length, first + self.size))
