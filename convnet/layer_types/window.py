"""What layers that compute convolutions share: a Window per input, and the operations on it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from convnet.config.layers import LayerSpec
from convnet.errors import ShapeError
from convnet.geometry import Shape, Window
from convnet.layer_types.base import Earlier, Grad, Layer
from convnet.layer_types.weights import WeightLayer
from convnet.neurons import IDENT
from convnet.ops.base import Ops
from convnet.plan import Buffer


class WindowLayer(WeightLayer):
    """Base of conv, local and cccp: one Window per input, all with the same output shape.

    Attributes:
        windows: of each input; with randSparse, of the channels that the groups see, put together.
        connections: of each input, the channels that the groups see, with randSparse; else None.
    """

    family: ClassVar[str]  # operations are called <family>_fprop and so on

    def __init__(self, spec: LayerSpec, inputs: Sequence[Layer], earlier: Earlier) -> None:
        super().__init__(spec, inputs, earlier)
        self.windows = [self.window(i) for i in range(len(inputs))]
        shapes = {g.acts_shape for g in self.windows}
        if len(shapes) > 1:
            raise ShapeError(
                "all inputs must give the same number of filters and pixels; found "
                + ", ".join("x".join(map(str, g.acts_shape)) for g in self.windows)
            )
        self.shape = Shape(*self.windows[0].acts_shape)
        self.connections: list[tuple[int, ...] | None] = [None] * len(inputs)

    @abstractmethod
    def window(self, i: int) -> Window:
        """The Window of input i. Raises: ShapeError."""

    @property
    def multiply_adds(self) -> int:
        return sum(g.multiply_adds for g in self.windows)

    def fprop(
        self,
        ops: Ops,
        i: int,
        x: Buffer,
        weights: Buffer,
        biases: Buffer | None,
        y: Buffer,
        add: bool,
    ) -> None:
        g, op = self.windows[i], getattr(ops, f"{self.family}_fprop")
        pixels = g.height * g.width
        for place, channel in enumerate(self.connections[i] or ()):
            source, target = x.reshape(-1), self._seen(i, x).reshape(-1)
            ops.copy_rows(source, channel * pixels, target, place * pixels, pixels, False)
        op(g, self._seen(i, x), weights, biases, IDENT, y, add)

    def _seen(self, i: int, x: Buffer) -> Buffer:
        """Input i as the groups see it: with randSparse, channels copied by fprop."""
        shape = self.windows[i].images_shape
        return x.reshape(*shape) if not self.connections[i] else self.temporary(f"seen.{i}", shape)

    def dgrad(self, ops: Ops, i: int, weights: Buffer, dy: Buffer, grad: Grad) -> None:
        g, op = self.windows[i], getattr(ops, f"{self.family}_dgrad")
        connections = self.connections[i]
        if not connections:
            op(g, weights, dy, grad.buffer.reshape(*g.images_shape), grad.add)
            return
        seen = self.temporary(f"seen.{i}.grad", g.images_shape)
        op(g, weights, dy, seen, False)
        pixels, channels = g.height * g.width, self.values["channels"][i]
        for place, channel in enumerate(connections):
            # The first permutation of the channels reaches all of them, the others add.
            add = grad.add or place >= channels
            source, target = seen.reshape(-1), grad.buffer.reshape(-1)
            ops.copy_rows(source, place * pixels, target, channel * pixels, pixels, add)

    def wgrad(self, ops: Ops, i: int, x: Buffer, dy: Buffer, gradient: Buffer, add: bool) -> None:
        g, op = self.windows[i], getattr(ops, f"{self.family}_wgrad")
        op(g, self._seen(i, x), dy, gradient, add)
