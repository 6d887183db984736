"""One picture of a run: the error curve and the filters of the first layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convnet.layer_types.conv import ConvLayer
from convnet.layer_types.data import DataLayer
from convnet.show.cost import cost_layers, draw_curves, find_value
from convnet.show.figures import Run, picture
from convnet.show.filters import (
    MAX_FILTERS,
    FilterOptions,
    draw_sheet,
    filter_pictures,
    layer_filters,
    sheet,
)


def draw_overview(run: Run, out: Path) -> str:
    """Draws a run's curves and, if the net begins with convolutions, their filters.

    Returns: the result of the last test in words.

    Raises:
        ConvnetError: the picture cannot be written.
    """
    # The first cost that reports an error beside what it minimises; else the first.
    cost = max(cost_layers(run).values(), key=lambda cost: len(cost.value_names) > 1)
    value = find_value(run, cost.name, index=1 if len(cost.value_names) > 1 else 0)
    first = next(
        (
            layer
            for layer in run.net.graph.values()
            if isinstance(layer, ConvLayer) and isinstance(layer.inputs[0], DataLayer)
        ),
        None,
    )
    with picture(out, 11 if first else 6.5, 4.5) as figure:
        axes = figure.subplots(1, 2 if first else 1, squeeze=False)[0]
        (result,) = draw_curves(axes[0], [run], value, smooth=False)
        if first:
            draw_sheet(axes[1], _square_sheet(run, first), f"filters of {first.name}")
    return result


def _square_sheet(run: Run, layer: ConvLayer) -> np.ndarray:
    """Filters in about as many rows as columns; unless they have three channels, their mean."""
    filters = layer_filters(run, layer, FilterOptions())[:MAX_FILTERS]
    if filters.shape[1] != 3:
        filters = filters.mean(axis=1, keepdims=True)
    pictures = filter_pictures(filters, FilterOptions())
    return sheet(pictures, int(np.ceil(np.sqrt(len(pictures)))))
