"""The shape of every windowed operation, derived once.

One object per operation holds all its sizes; layers, backends, the layer table and the tests
read them from here and compute none themselves. Letters used throughout the project:

    C, H, W   channels, height and width of the images
    N         images (cases) of a minibatch, the innermost dimension of every activity
    F         filters (output channels), all groups together
    K         side of the square filter
    P, Q      height and width of the output (cuda-convnet: modules)

Activities are float arrays of shape (channels, height, width, N), C-contiguous.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def window_count(size: int, filter_size: int, padding: int, stride: int) -> int:
    """1 + ceil((2 padding + size - filter_size) / stride), as in cuda-convnet.

    The last window may stick out beyond the padding; pixels that do not exist count as zero.
    """
    return 1 + -(-(2 * padding + size - filter_size) // stride)


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
        for side, size in (("height", self.height), ("width", self.width)):
            if self.filter_size > size + 2 * self.padding:
                raise ShapeError(
                    f"filterSize must be at most the padded image's {side}, "
                    f"{size} + 2*{self.padding}; found filterSize={self.filter_size}"
                )
            covered = (self.modules - 1) * self.stride - self.padding + self.filter_size
            # Of what lies beyond the last window a window would have to stick out.
            if self.modules and covered + self.stride <= size:
                raise ShapeError(
                    f"modulesX={self.modules} windows cover {covered} pixels of the image's "
                    f"{side}, {size}; leave it out or take more"
                )

    @property
    def all_see_pixels(self) -> bool:
        """Whether no window lies beyond the image, as the last of `modules` may."""
        last = (self.modules - 1) * self.stride - self.padding
        return last < min(self.height, self.width)

    @property
    def out_height(self) -> int:
        return self.modules or window_count(
            self.height, self.filter_size, self.padding, self.stride
        )

    @property
    def out_width(self) -> int:
        return self.modules or window_count(self.width, self.filter_size, self.padding, self.stride)

    @property
    def group_channels(self) -> int:
        return self.channels // self.groups

    @property
    def group_filters(self) -> int:
        return self.filters // self.groups

    @property
    def taps(self) -> int:
        """Weights per filter (and, in a local layer, per output pixel)."""
        return self.group_channels * self.filter_size**2

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
    """Pooling over square windows, per channel; or over rows alone, if `tall`.

    images (C, H, W, N) -> acts (C, P, Q, N). Window (p, q) covers rows
    start + p * stride .. + size - 1, clipped to the image; columns likewise. `start` may be
    negative. P = Q = `outputs` where it is given (> 0), else
    ceil((H - start - size) / stride) + 1. A tall window (p, q) covers those rows of column q.
    """

    channels: int
    height: int
    width: int
    size: int
    stride: int
    start: int = 0
    outputs: int = 0
    tall: bool = False

    def __post_init__(self) -> None:
        sides = (("height", self.height), ("width", self.width))
        for side, size in sides[:1] if self.tall else sides:
            if self.size > size:
                raise ShapeError(
                    f"sizeX must be at most the image's {side}, {size}; found sizeX={self.size}"
                )
            # Every window must hold at least one pixel, else its maximum or mean is undefined.
            last = self.start + (self._count(size) - 1) * self.stride
            if self._count(size) < 1 or last >= size or self.start + self.size <= 0:
                raise ShapeError(
                    f"every pooling window must overlap the image's {side}, {size}; found "
                    f"{self._count(size)} windows, the first at {self.start}, the last at {last}"
                )

    def _count(self, size: int) -> int:
        if self.outputs > 0:
            return self.outputs
        return 1 + -(-(size - self.start - self.size) // self.stride)

    @property
    def out_height(self) -> int:
        return self._count(self.height)

    @property
    def out_width(self) -> int:
        return self.width if self.tall else self._count(self.width)

    @property
    def images_shape(self) -> tuple[int, int, int]:
        return (self.channels, self.height, self.width)

    @property
    def acts_shape(self) -> tuple[int, int, int]:
        return (self.channels, self.out_height, self.out_width)

    @property
    def row_windows(self) -> tuple[int, int, int]:
        """Start, stride and size of the windows, in rows."""
        return (self.start, self.stride, self.size)

    @property
    def column_windows(self) -> tuple[int, int, int]:
        """Start, stride and size of the windows, in columns."""
        return (0, 1, 1) if self.tall else self.row_windows

    def rows(self, p: int) -> range:
        """Image rows of output row p."""
        return _clipped(p, self.row_windows, self.height)

    def columns(self, q: int) -> range:
        """Image columns of output column q."""
        return _clipped(q, self.column_windows, self.width)


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
