"""The parametric rectifier."""

from __future__ import annotations

from collections.abc import Sequence

from convnet.config.keys import Float, Key
from convnet.config.layers import LayerSpec
from convnet.layer_types.base import GPU_KEY, NEURON_KEY, Backward, Layer, Mode, Parameter
from convnet.layer_types.weights import WeightLayer
from convnet.ops.base import Ops
from convnet.plan import Buffer

_LEARNING = ("epsW", "momW", "wc", "updatePeriod")


class PreluLayer(Layer):
    """y = x where x > 0, else a x, with a slope a for each channel, which is learned.

    The slopes are its weights, 1 x channels. He, Zhang, Ren and Sun, "Delving Deep into Rectifiers"
    (2015), who let them learn without decay.
    """

    type_name = "prelu"
    title = "parametric rectifier layer"
    keys = (
        NEURON_KEY,
        GPU_KEY,
        Key("slope", Float(), "initial value of the slopes", default=0.25),
        *(key for key in WeightLayer.keys if key.name in _LEARNING),
    )
    needs_parameters = True

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer]) -> None:
        super().__init__(spec, inputs)
        v = spec.values
        self.shape = inputs[0].shape
        self.slopes = Parameter(
            self.name,
            "weights.0",
            (1, self.shape.channels),
            init_value=v["slope"],
            rate=v["epsW"][0] if v["epsW"] else None,
            momentum=v["momW"][0] if v["momW"] else 0.0,
            decay=v["wc"][0],
            period=v["updatePeriod"],
        )

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (self.slopes,)

    def forward(self, ops: Ops, x: Sequence[Buffer], y: Buffer, mode: Mode) -> None:
        ops.prelu_fprop(x[0], self.slopes.value, y)

    def backward(self, ops: Ops, b: Backward) -> None:
        if self.slopes.is_trained(b.mode):
            terms = self.temporary("terms", self.shape.as_tuple())
            ops.prelu_terms(b.x[0], b.dy, terms)
            ops.bias_grad(terms, self.slopes.gradient, add=b.adds_to(self.slopes))
        grad = b.dx[0]
        if grad is not None:
            ops.prelu_dgrad(b.x[0], self.slopes.value, b.dy, grad.buffer, grad.add)
