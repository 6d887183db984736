"""The filters of a layer as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from convnet.errors import OptionError
from convnet.layer_types.conv import ConvLayer, LocalLayer
from convnet.layer_types.weights import FcLayer, WeightLayer
from convnet.show.figures import Run, picture

PER_ROW = 16
MAX_FILTERS = 384
# Red, green and blue of brightness Y and the colour differences U and V, as cuda-convnet had it.
RGB_OF_YUV = np.array([[1, 0, 1.28033], [1, -0.21482, -0.38059], [1, 2.12798, 0]])


@dataclass(frozen=True)
class FilterOptions:
    """Which filters are drawn, and how.

    Attributes:
        input_idx: which input's weights.
        no_rgb: draw three channels as three grey pictures.
        yuv_to_rgb: the channels are Y, U, V.
        channels: of the images that an fc layer sees; 0: as its input has them.
        norm_filters: bring each filter to mean 0 and variance 1 first.
        local_plane: which filter of a local layer; it is drawn as it is at each place.
    """

    input_idx: int = 0
    no_rgb: bool = False
    yuv_to_rgb: bool = False
    channels: int = 0
    norm_filters: bool = False
    local_plane: int = 0


def draw_filters(run: Run, layer: WeightLayer, options: FilterOptions, out: Path) -> str:
    """Draws the first filters of a layer, scaled together.

    Returns: what is drawn, in words.

    Raises:
        OptionError: the layer has no such filters.
        ConvnetError: the picture cannot be written.
    """
    filters = layer_filters(run, layer, options)
    total, channels, height, width = filters.shape
    pictures = filter_pictures(filters[:MAX_FILTERS], options)
    shown = sheet(pictures, -(-PER_ROW * width // pictures.shape[2]))
    place = "places" if isinstance(layer, LocalLayer) else "filters"
    title = f"{layer.name}: {len(pictures)} of {total} {place}, {channels}x{height}x{width} each"
    rows, columns = shown.shape[:2]
    with picture(out, 8, min(60, 8 * rows / columns) + 0.5) as figure:
        draw_sheet(figure.subplots(), shown, title)
    return title


def find_layer(run: Run, name: str = "") -> WeightLayer:
    """A layer with weights; the first, if no name is given.

    Raises:
        OptionError: there is none of that name.
    """
    layers = {x.name: x for x in run.net.graph.values() if isinstance(x, WeightLayer)}
    if not layers:
        raise OptionError(f"{run.path}: the net has no layer with weights, so no filters")
    if name and name not in layers:
        raise OptionError(
            f"--show-filters: {run.path} has no layer with weights '{name}'; it has "
            f"{', '.join(layers)}"
        )
    return layers[name] if name else next(iter(layers.values()))


def layer_filters(run: Run, layer: WeightLayer, options: FilterOptions) -> np.ndarray:
    """The filters of one input of a layer, (filters, channels, height, width).

    Raises:
        OptionError: an option does not fit the layer.
    """
    index = options.input_idx
    if index >= len(layer.weights):
        raise OptionError(
            f"--input-idx: layer '{layer.name}' has inputs 0 to {len(layer.weights) - 1}; "
            f"found {index}"
        )
    if options.channels and not isinstance(layer, FcLayer):
        raise OptionError(f"--channels is for fc layers; '{layer.name}' is {layer.type_name}")
    if options.local_plane and not isinstance(layer, LocalLayer):
        raise OptionError(f"--local-plane is for local layers; '{layer.name}' is {layer.type_name}")
    weights = run.net.get_weights(layer.weights[index].name)
    if isinstance(layer, (ConvLayer, LocalLayer)):
        g = layer.windows[index]
        if isinstance(layer, LocalLayer):
            weights = _plane(layer, weights, options.local_plane, g.taps)
        sides = (g.rows.filter_size, g.columns.filter_size)
        return weights.T.reshape(-1, g.group_channels, *sides)
    return weights.T.reshape(-1, *_image_shape(layer, index, options.channels))


def _plane(layer: LocalLayer, weights: np.ndarray, plane: int, taps: int) -> np.ndarray:
    """One filter of a local layer, (taps, places), from the matrix (places * taps, filters)."""
    filters = weights.shape[1]
    if plane >= filters:
        raise OptionError(
            f"--local-plane: layer '{layer.name}' has filters 0 to {filters - 1}; found {plane}"
        )
    return weights[:, plane].reshape(-1, taps).T


def _image_shape(layer: WeightLayer, index: int, channels: int) -> tuple[int, int, int]:
    """What the inputs of an fc layer are seen as."""
    shape = layer.inputs[index].shape
    if not channels:
        if shape.height == shape.width == 1:
            raise OptionError(
                f"--show-filters: layer '{layer.name}' sees {shape.size} numbers, not images; "
                f"give their --channels to see them as square images"
            )
        return shape.as_tuple()
    side = isqrt(shape.size // channels)
    if channels * side**2 != shape.size:
        raise OptionError(
            f"--channels: the {shape.size} inputs of layer '{layer.name}' are no square images "
            f"of {channels} channels"
        )
    return channels, side, side


def filter_pictures(filters: np.ndarray, options: FilterOptions) -> np.ndarray:
    """Filters (n, channels, height, width) as pictures (n, height, width, 3) in 0..1.

    Three channels are red, green and blue. Others, and those with `no_rgb`, become grey pictures
    side by side, (n, height, channels * width, 3).

    Raises:
        OptionError: yuv_to_rgb for filters that have not three channels.
    """
    n, channels, height, width = filters.shape
    if options.norm_filters:
        flat = filters.reshape(n, -1)
        spread = flat.std(axis=1, keepdims=True)
        filters = (
            (flat - flat.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
        ).reshape(filters.shape)
    if options.yuv_to_rgb:
        if channels != 3:
            raise OptionError(f"--yuv-to-rgb needs filters of 3 channels; found {channels}")
        filters = np.einsum("rc,nchw->nrhw", RGB_OF_YUV, filters)
    low, high = filters.min(), filters.max()
    filters = (filters - low) / (high - low if high > low else 1)
    if channels == 3 and not options.no_rgb:
        return filters.transpose(0, 2, 3, 1)
    strips = filters.transpose(0, 2, 1, 3).reshape(n, height, channels * width, 1)
    return strips.repeat(3, axis=3)


def sheet(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Pictures (n, height, width, 3) row by row, with white lines between: (rows, columns, 3)."""
    n, height, width, _ = pictures.shape
    columns = min(n, columns)
    cells = -(-n // columns) * columns
    padded = np.ones((cells, height + 1, width + 1, 3))
    padded[:n, :height, :width] = pictures
    grid = padded.reshape(-1, columns, height + 1, width + 1, 3).transpose(0, 2, 1, 3, 4)
    return grid.reshape(-1, columns * (width + 1), 3)[:-1, :-1]


def draw_sheet(axes: Axes, shown: np.ndarray, title: str) -> None:
    axes.imshow(shown, interpolation="nearest")
    axes.set_title(title, fontsize="medium")
    axes.axis("off")
