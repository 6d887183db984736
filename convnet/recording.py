"""Records the passes of a net as programs: forward, backward, update."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from convnet.errors import ConfigError
from convnet.graph import Graph
from convnet.layer_types.base import Backward, Grad, Layer, Mode, Parameter
from convnet.layer_types.cost import CostLayer, LogregCost
from convnet.layer_types.data import DataLayer
from convnet.ops.base import Ops
from convnet.plan import Buffer, Program, Recorder, RunValue, compile_program, new_buffer


@dataclass
class Recording:
    """A program with the buffers of the layers that it computes.

    Attributes:
        outputs: of each layer, by name.
        gradients: of the outputs and of the matrices, by name, where there are any.
    """

    program: Program
    outputs: dict[str, Buffer]
    gradients: dict[str, Buffer]


def record(graph: Graph, mode: Mode, batch_size: int, keep: Iterable[str] = ()) -> Recording:
    """The program of one pass: forward, and, as `mode` says, backward and update.

    Args:
        keep: layers whose output and gradient, and matrices whose gradient, can be read
            afterwards. In CHECK mode those of all matrices can, in TEST mode the predictions.
    """
    recorder = Recorder()
    ops = recorder.as_ops()
    outputs = {name: new_buffer(name, layer.shape.as_tuple()) for name, layer in graph.items()}
    for name, layer in graph.items():
        layer.forward(ops, [outputs[i.name] for i in layer.inputs], outputs[name], mode)
    marks = {"backward": len(recorder.calls)}

    gradients: dict[str, Buffer] = {}
    trained: set[Parameter] = set()
    if mode.backward:
        wanted = _layers_above_weights(graph, mode)
        for name, layer in reversed(graph.items()):
            # The gradient starts at the costs that count, and flows to what they depend on.
            begins = isinstance(layer, CostLayer) and layer.coeff != 0
            if name not in wanted or not (begins or name in gradients):
                continue
            dx = [_input_grad(i, wanted, outputs, gradients) for i in layer.inputs]
            x = [outputs[i.name] for i in layer.inputs]
            dy = gradients.get(name, outputs[name])
            layer.backward(ops, Backward(x, outputs[name], dy, dx, trained, mode))
    marks["update"] = len(recorder.calls)
    matrices = {p.name: p for p in graph_parameters(graph) if p in trained}
    gradients |= {name: parameter.gradient for name, parameter in matrices.items()}
    if mode.update:
        for parameter in matrices.values():
            _record_update(ops, parameter, batch_size)

    kept = [outputs[n] for n, layer in graph.items() if isinstance(layer, DataLayer) or n in keep]
    if not mode.backward:
        costs = [layer for layer in graph.values() if isinstance(layer, LogregCost)]
        kept += [outputs[cost.inputs[1].name] for cost in costs]
    kept += [layer.values_buffer for layer in graph.values() if isinstance(layer, CostLayer)]
    readable = {*keep, *matrices} if mode.all_gradients else set(keep)
    kept += [gradient for name, gradient in gradients.items() if name in readable]
    program = compile_program(recorder.calls, marks, batch_size, kept)
    return Recording(program, outputs, gradients)


def _layers_above_weights(graph: Graph, mode: Mode) -> set[str]:
    """Layers through which a gradient must flow, because something at or below them learns."""
    wanted: set[str] = set()
    for name, layer in graph.items():
        learns = any(p.is_trained(mode) for p in layer.parameters)
        if learns or any(i.name in wanted for i in layer.inputs):
            wanted.add(name)
    return wanted


def _input_grad(
    layer: Layer, wanted: set[str], outputs: dict[str, Buffer], gradients: dict[str, Buffer]
) -> Grad | None:
    if layer.name not in wanted:
        return None
    add = layer.name in gradients
    if not add:
        gradients[layer.name] = new_buffer(f"{layer.name}.grad", outputs[layer.name].shape)
    return Grad(gradients[layer.name], add)


def _record_update(ops: Ops, parameter: Parameter, batch_size: int) -> None:
    rate = parameter.rate
    if rate is None:
        raise ConfigError("the net was read without a layer parameter file, so it cannot learn")
    ops.sgd(
        parameter.value,
        parameter.increment,
        parameter.gradient,
        parameter.momentum,
        RunValue(lambda clock: rate(clock.progress)),  # type: ignore[arg-type]
        parameter.decay,
        batch_size,
    )


def graph_parameters(graph: Graph) -> list[Parameter]:
    """All matrices that are learned, each once."""
    return [p for layer in graph.values() for p in layer.own_parameters]
