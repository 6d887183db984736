"""Layers on several devices, run on one with the same arithmetic.

In cuda-convnet2 a layer with `gpu=0,1` has two replicas with the same weights, each of which
works on its own share of the images. On one device that is one layer which works on all of
them. Only nets whose layers have different numbers of replicas are special: the layers with
fewer see a minibatch in several passes, one after the other, and may learn after each.

    replicas   of a layer: the number of its devices
    passes     of a net: its largest number of replicas over its smallest
    microbatch ceil(images / largest number of replicas) of the images

A layer with R replicas works on R microbatches at a time. Layers are therefore sorted into
levels, most replicas first; each level runs its part of the minibatch, the level above it in
several steps. See convnet.recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from convnet.errors import Problems
from convnet.layer_types.base import Layer, Parameter
from convnet.layer_types.cost import CostLayer
from convnet.layer_types.data import DataLayer
from convnet.layer_types.weights import WeightLayer


def set_replicas(graph: Mapping[str, Layer], problems: Problems) -> None:
    """Sets `replicas` of each layer from the keys `gpu`, and checks that they fit together.

    A layer without `gpu` is where its first input is; a data layer where its users are.

    Args:
        problems: collects the mistakes.
    """
    for layer in graph.values():
        devices = layer.values.get("gpu")
        sources = [i for i in layer.inputs if not isinstance(i, DataLayer)]
        layer.replicas = len(devices) if devices else sources[0].replicas if sources else 1
        for source in sources:
            problem = ""
            if source.replicas != sources[0].replicas:
                problem = f"its inputs must have equal numbers of devices; '{sources[0].name}' has "
                problem += f"{sources[0].replicas}"
            elif source.replicas % layer.replicas:
                problem = f"its number of devices, {layer.replicas}, must divide that of its inputs"
            elif isinstance(layer, CostLayer) and source.replicas != layer.replicas:
                problem = f"a cost must have as many devices as its inputs, not {layer.replicas}"
            if problem:
                text = f"Layer '{layer.name}': gpu: {problem}; '{source.name}' has "
                problems.add(layer.where, text + str(source.replicas))
        if isinstance(layer, WeightLayer):
            for owner in {graph[p.layer] for p in layer.weights if p.layer != layer.name}:
                if owner.replicas != layer.replicas:
                    problems.add(
                        layer.where,
                        f"Layer '{layer.name}': gpu: it shares weights with '{owner.name}', which "
                        f"has {owner.replicas} devices, not {layer.replicas}",
                    )
    for layer in graph.values():
        counts = sorted({user.replicas for user in graph.values() if layer in user.inputs})
        if len(counts) > 1:
            found = ", ".join(map(str, counts))
            problems.add(
                layer.where,
                f"Layer '{layer.name}': gpu: all its users must have equal numbers of devices; "
                f"found {found}",
            )
        if isinstance(layer, DataLayer) and counts:
            layer.replicas = counts[0]


def check_periods(graph: Mapping[str, Layer], problems: Problems) -> None:
    """Checks that layers learn after whole numbers of their passes."""
    smallest = min(layer.replicas for layer in graph.values())
    for layer in graph.values():
        active = layer.replicas // smallest
        period = max(layer.values.get("updatePeriod", 0), active)
        if period % active:
            problems.add(
                layer.where,
                f"Layer '{layer.name}': updatePeriod must be a multiple of {active}, the passes "
                f"in which the layer is run once; found {period}",
            )


def levels(layers: Iterable[Layer]) -> list[list[Layer]]:
    """The layers by their number of replicas, most first; data comes in at the first level."""
    by_count: dict[int, list[Layer]] = {}
    layers = list(layers)
    most = max(layer.replicas for layer in layers)
    for layer in layers:
        count = most if isinstance(layer, DataLayer) else layer.replicas
        by_count.setdefault(count, []).append(layer)
    return [by_count[count] for count in sorted(by_count, reverse=True)]


class Rhythm:
    """When the parameters of a layer learn, counted in passes since the training began.

    Attributes:
        active: passes in which the layer is run once.
        period: passes from one update to the next.
        passes: of a minibatch.
    """

    def __init__(self, parameter: Parameter, active: int, passes: int, accumulate: int) -> None:
        self.active = active
        self.period = max(parameter.period, active) * accumulate
        self.passes = passes

    @property
    def carries(self) -> bool:
        """Whether gradients are summed over more than one minibatch."""
        return self.passes % self.period != 0

    def begins(self, steps: int, run: int) -> bool:
        """Whether a sum of gradients begins with run number `run` of the layer.

        Args:
            steps: minibatches before this one.
            run: from 0, within the minibatch.
        """
        return (steps * self.passes + run * self.active) % self.period == 0

    def is_due(self, steps: int, run: int) -> bool:
        """Whether the layer learns after run number `run`."""
        return self.begins(steps, run + 1)

    def cases(self, parameter: Parameter, batch_size: int) -> float:
        """What gradients are divided by: the images of a period, as cuda-convnet2 counts them."""
        if parameter.is_bias:
            return self.period * -(-batch_size // self.passes)
        return self.period * batch_size / self.passes


def rhythm_of(graph: Mapping[str, Layer], parameter: Parameter, accumulate: int) -> Rhythm:
    """The rhythm in which a parameter of the net learns.

    Args:
        accumulate: factor of its period, see convnet.updates.
    """
    counts = [layer.replicas for layer in graph.values()]
    active = graph[parameter.layer].replicas // min(counts)
    return Rhythm(parameter, active, max(counts) // min(counts), accumulate)
