"""Neurons as the kernels know them: kernels/neurons.cuh."""

from __future__ import annotations

from convnet.neurons import Neuron
from convnet.ops.cuda.launch import Launcher, checked
from convnet.ops.roles import In, Out

# In the order of the kernels' enum.
KINDS = (
    *("ident", "logistic", "relu", "brelu", "softrelu", "abs"),
    *("square", "sqrt", "tanh", "linear", "log", "drelu"),
    *("power", "dropout", "softlif", "softlifalpha", "softlifalpharc"),
)
PARAMETERS = 6


def neuron_arguments(neuron: Neuron) -> tuple[float, ...]:
    """The number of the neuron's kind and its parameters, zero where it has none."""
    parameters = (*map(float, neuron.parameters), *(0.0,) * PARAMETERS)
    return (KINDS.index(neuron.kind), *parameters[:PARAMETERS])


class NeuronLauncher(Launcher):
    """For the families that have neurons."""

    def _run_neuron(self, neuron: Neuron, inputs: In, acts: Out) -> None:
        """acts = f(inputs). In place."""
        size = inputs.size
        self._numbers(
            "elementwise",
            "neuron_fprop",
            size,
            checked("inputs", inputs, size),
            *neuron_arguments(neuron),
            checked("acts", acts, size),
        )
