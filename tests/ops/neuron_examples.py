"""One neuron of each kind."""

from __future__ import annotations

from convnet.neurons import NEURON_TYPES, parse_neuron

_PARAMETERS = {
    "brelu": "[1.5]",
    "tanh": "[1.7,0.66]",
    "linear": "[-0.5,0.25]",
    "log": "[0.5]",
    "drelu": "[0.75]",
}
NEURONS = [parse_neuron(kind + _PARAMETERS.get(kind, "")) for kind in NEURON_TYPES]
