"""Convolutional layers: filters shared by all pixels (conv, cccp), or not (local)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from convnet.config.keys import Bool, Float, Ignored, Int, Ints, Key, Refused
from convnet.config.layers import LayerSpec
from convnet.errors import ShapeError
from convnet.geometry import Window
from convnet.layer_types.base import Earlier, Layer
from convnet.layer_types.sparse import check_sparse, draw_connections, split_connections
from convnet.layer_types.weights import WeightLayer
from convnet.layer_types.window import WindowLayer

_WINDOW_KEYS = (
    Key("channels", Int(min=1), "channels of the input images", per_input=True),
    Key("filters", Int(min=1), "number of filters, per group", per_input=True),
    Key("filterSize", Int(min=1), "columns, and rows, of the filters, in pixels", per_input=True),
    Key(
        "filterSizeY",
        Int(min=1),
        "rows of the filters; filterSize if absent",
        default=None,
        per_input=True,
    ),
    Key("padding", Int(min=0), "rows of zeros around the images", default=0, per_input=True),
    Key(
        "paddingY",
        Int(min=0),
        "those above and below; padding if absent",
        default=None,
        per_input=True,
    ),
    Key("stride", Int(min=1), "distance between filter positions", default=1, per_input=True),
    Key(
        "groups",
        Int(min=1),
        "groups of filters; group g sees only block g of the channels",
        default=1,
        per_input=True,
    ),
    Key(
        "randSparse",
        Bool(),
        "each group sees filterChannels channels at random instead of its block",
        default=False,
        per_input=True,
    ),
    Key(
        "filterChannels",
        Int(min=0),
        "with randSparse: channels that a group sees; 0: channels / groups",
        default=0,
        per_input=True,
    ),
    Key(
        "filterConns",
        Ints(),
        "with randSparse: the channels that the groups see, group by group and input by input; "
        "drawn from the layer's name if absent",
        default=(),
    ),
    Key(
        "initCFunc",
        Refused("filterConns with what the function returns"),
        "drew the channels that the groups see: write what it returned as filterConns",
        default=None,
    ),
    Key(
        "modulesX",
        Int(min=0, below="min"),
        "filter positions per side; 0: as many as cover the padded image",
        default=0,
    ),
    Key("modulesY", Int(min=0), "those from top to bottom; modulesX if absent", default=None),
    Key("partialSum", Ignored(), "tuned cuda-convnet's kernels; without effect", default=None),
    Key("sumWidth", Ignored(), "tuned cuda-convnet2's kernels; without effect", default=None),
)


class _FilterLayer(WindowLayer):
    """What conv and local share: filters of a size, in groups that see some of the channels."""

    def window(self, i: int) -> Window:
        v = self.values
        images = self.images_shape(v["channels"][i], i)
        groups = v["groups"][i]
        seen = images.channels
        if v["randSparse"][i]:
            filter_channels = v["filterChannels"][i] or seen // groups
            check_sparse(seen, groups, filter_channels)
            seen = groups * filter_channels
        elif v["filterChannels"][i] not in (0, seen // groups):
            raise ShapeError(
                f"filterChannels without randSparse is channels / groups, {seen // groups}; "
                f"found {v['filterChannels'][i]}"
            )
        return Window(
            seen,
            images.height,
            images.width,
            filters=v["filters"][i] * groups,
            filter_size=v["filterSize"][i],
            padding=v["padding"][i],
            stride=v["stride"][i],
            groups=groups,
            modules=v["modulesX"],
            filter_size_y=v["filterSizeY"][i],
            padding_y=v["paddingY"][i],
            modules_y=v["modulesY"],
        )

    def make_parameters(
        self,
        weight_shapes: Sequence[tuple[int, int]],
        fan_ins: Sequence[int],
        bias_shape: tuple[int, int],
    ) -> None:
        super().make_parameters(weight_shapes, fan_ins, bias_shape)
        v = self.values
        sparse = v["randSparse"]
        counts = [g.channels if s else 0 for g, s in zip(self.windows, sparse, strict=True)]
        given: Iterable[tuple[int, ...]] = [
            draw_connections(self.name, i, v["channels"][i], count) if count else ()
            for i, count in enumerate(counts)
        ]
        if v["filterConns"]:
            given = split_connections(v["filterConns"], counts, v["channels"])
        for i, own in enumerate(given):
            self.connections[i] = self._shared_connections(i) or own or None

    def _shared_connections(self, i: int) -> tuple[int, ...] | None:
        """Those of the matrix that input i shares, if it does.

        Raises:
            ShapeError: they do not fit this layer.
        """
        weights = self.weights[i]
        owner = self if weights.layer == self.name else self._earlier[weights.layer]
        assert isinstance(owner, _FilterLayer)
        index = owner.weights.index(weights)
        if owner is self and index == i:
            return None
        connections = owner.connections[index]
        if (connections is not None) != self.values["randSparse"][i] or (
            connections and len(connections) != self.windows[i].channels
        ):
            raise ShapeError(
                f"weightSource '{self.values['weightSource'][i]}' must have the same randSparse, "
                f"groups and filterChannels"
            )
        return connections


class ConvLayer(_FilterLayer):
    """Convolution of images with filters, plus biases."""

    type_name = family = "conv"
    title = "convolutional layer"
    keys = (
        *_WINDOW_KEYS,
        Key("sharedBiases", Bool(), "one bias per filter, not per output", default=True),
        *WeightLayer.keys,
        Key(
            "wcNormMin",
            Float(min=0, below="min"),
            "least norm of a filter minus its mean, divided by its number of weights",
            default=0.0,
            file="parameters",
            per_input=True,
        ),
        Key(
            "wcNormMax",
            Float(min=0, below="min"),
            "greatest such norm; 0: filters are left as they are",
            default=0.0,
            file="parameters",
            per_input=True,
        ),
    )

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        shared = spec.values["sharedBiases"]
        biases = self.shape.channels if shared else self.shape.size
        shapes = [g.conv_filters_shape for g in self.windows]
        self.make_parameters(shapes, [g.taps for g in self.windows], (biases, 1))

    def bounds(self, i: int) -> list[tuple[int, float, float, bool]]:
        low, high = self.values["wcNormMin"][i], self.values["wcNormMax"][i]
        if high <= 0:
            return super().bounds(i)
        if low > high:
            raise ShapeError(
                f"wcNormMin must be at most wcNormMax; found wcNormMin={low:g}, wcNormMax={high:g}"
            )
        return [(1, low, high, True), *super().bounds(i)]


class LocalLayer(_FilterLayer):
    """Locally connected: like conv, with filters and biases of its own at every pixel."""

    type_name = family = "local"
    title = "locally-connected layer"
    keys = (*_WINDOW_KEYS, *WeightLayer.keys)

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        shapes = [g.local_filters_shape for g in self.windows]
        self.make_parameters(shapes, [g.taps for g in self.windows], (self.shape.size, 1))

    def bounds(self, i: int) -> list[tuple[int, float, float, bool]]:
        wball: float = self.values["wball"][i]
        return [(self.windows[i].out_pixels, 0.0, wball, False)] if wball > 0 else []


class CccpLayer(WindowLayer):
    """Cascaded cross-channel parametric pooling: fully connected at every pixel, group by group.

    A 1x1 convolution: each of `channels` groups makes out_nodes channels of in_nodes channels.
    From the fork mavenlin/cuda-convnet: Lin, Chen and Yan, "Network In Network" (2014).
    """

    type_name = "cccp"
    title = "cross-channel pooling layer"
    family = "conv"
    keys = (
        Key("channels", Int(min=1), "number of groups"),
        Key("in_nodes", Int(min=1), "channels of the input, per group"),
        Key("out_nodes", Int(min=1), "channels of the output, per group"),
        *WeightLayer.keys,
    )

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        shapes = [g.conv_filters_shape for g in self.windows]
        self.make_parameters(shapes, [g.taps for g in self.windows], (1, self.shape.channels))

    def window(self, i: int) -> Window:
        groups, v = self.values["channels"], self.values
        images = self.images_shape(groups * v["in_nodes"], i)
        return Window(
            *images.as_tuple(), filters=groups * v["out_nodes"], filter_size=1, groups=groups
        )
