"""One neuron of each kind."""

from __future__ import annotations

from convnet.neurons import NEURON_TYPES, parse_neuron

_PARAMETERS = {
    "brelu": "[1.5]",
    "tanh": "[1.7,0.66]",
    "linear": "[-0.5,0.25]",
    "log": "[0.5]",
    "drelu": "[0.75]",
    "power": "[1.5]",
    "dropout": "[0.3]",
    "softlif": "[0.063,0.002,0.05,0.825,0.5,2]",
    "softlifalpha": "[0.063,0.002,0.05,0.825,0.5,0.01]",
    "softlifalpharc": "[0.063,0.002,0.05,0.825,0.5,0.01]",
}
NEURONS = [parse_neuron(kind + _PARAMETERS.get(kind, "")) for kind in NEURON_TYPES]

# Neurons that take positive numbers only.
POSITIVE = ("sqrt", "log", "power")
