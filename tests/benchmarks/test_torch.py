"""Residual nets take the very steps of PyTorch's. Only where PyTorch is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convnet.api import make_ops, read_graph
from convnet.layer_types.base import TEST
from convnet.net import Net

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")

LAYERS = Path(__file__).parents[2] / "layers"
CASES, STEPS, RATE, MOMENTUM, DECAY = 8, 3, 0.01, 0.9, 0.001
# Of costs, and of the numbers of a matrix relative to its largest; PyTorch computes in float64. In
# float32 now and then a number is on the other side of a relu's kink, and then the gradients of an
# image differ, so there only costs are compared.
TOLERANCE = {"reference": 1e-9, "cpu": 1e-4}

PARAMETERS = f"""
[DEFAULT]
epsW = {RATE}
epsB = {RATE}
momW = {MOMENTUM}
momB = {MOMENTUM}
wc = {DECAY}
"""


def pairs(net: Net, peer: Any) -> list[tuple[str, Any]]:
    """Names of our matrices, and the tensors that correspond to them, in the order of the net.

    The shortcut of a block stands before its other layers in our files, and after them there.
    """
    modules = []
    for module in peer.children():
        parts = [module.shortcut, module.layers] if hasattr(module, "layers") else [module]
        modules += [m for part in parts for m in part.modules() if not list(m.children())]
    tensors: list[Any] = []
    for module in modules:
        tensors += module.parameters()
        tensors += [module] if isinstance(module, torch.nn.BatchNorm2d) else []
    names = []
    for layer in net.graph.values():
        names += [p.name for p in layer.own_parameters] + [s.name for s in layer.states]
    return list(zip(names, tensors, strict=True))


def ours(tensor: Any) -> np.ndarray:
    """A tensor as our matrix: (inputs, filters), (1, channels), or means and variances."""
    if isinstance(tensor, torch.nn.BatchNorm2d):
        return torch.stack([tensor.running_mean, tensor.running_var]).numpy()
    values = tensor.detach().numpy()
    return values.reshape(len(values), -1).T.copy() if values.ndim > 1 else values[np.newaxis]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_three_steps_of_a_residual_net(backend: str, tmp_path: Path) -> None:
    from tests.benchmarks.torch_worker import resnet20

    torch.manual_seed(0)
    peer = resnet20().double()
    tolerance = TOLERANCE[backend]
    definition = LAYERS / "layers-cifar10-resnet20.cfg"
    parameters = tmp_path / "params.cfg"
    shipped = (LAYERS / "layer-params-cifar10-resnet20.cfg").read_text()
    sections = shipped[shipped.index("[conv1]") :]
    parameters.write_text(PARAMETERS + sections)
    net = Net(
        read_graph(definition, parameters, [(3, 32, 32), (1, 1, 1)]),
        make_ops(backend),
        batch_size=CASES,
    )
    net.load_state(net.state() | {name: ours(tensor) for name, tensor in pairs(net, peer)})
    # Gammas decay, betas do not.
    groups = [
        {"params": [p for name, p in peer.named_parameters() if name.endswith(kind)], **decay}
        for kind, decay in (("weight", {"weight_decay": DECAY}), ("bias", {}))
    ]
    optimiser = torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM)
    rng = np.random.default_rng(1)
    for _ in range(STEPS):
        images = rng.standard_normal((3 * 32 * 32, CASES), np.float32)
        labels = rng.integers(0, 10, (1, CASES)).astype(np.float32)
        cost = net.train_step([images, labels])["logprob"][0] / CASES
        optimiser.zero_grad()
        batch = torch.from_numpy(images.T.reshape(CASES, 3, 32, 32).copy()).double()
        classes = torch.from_numpy(labels[0]).long()
        loss = torch.nn.functional.cross_entropy(peer(batch), classes)
        loss.backward()
        optimiser.step()
        assert cost == pytest.approx(loss.item(), rel=tolerance)
    for name, tensor in pairs(net, peer) if backend == "reference" else []:
        expected = ours(tensor)
        error = np.abs(net.state()[name] - expected).max() / np.abs(expected).max()
        assert error < tolerance, (name, error)
    peer.eval()
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(peer(batch), classes)
    cost = net.forward([images, labels], TEST)["logprob"][0] / CASES
    assert cost == pytest.approx(loss.item(), rel=tolerance)


def test_resnet50_has_as_many_parameters_there() -> None:
    from tests.benchmarks.torch_worker import resnet50
    from tests.test_shipped_nets import NETS

    (count,) = [parameters for name, _, parameters in NETS if name == "imagenet-resnet50"]
    assert sum(p.numel() for p in resnet50().parameters()) == count
