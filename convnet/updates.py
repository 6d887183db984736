"""What happens to gradients before the weights learn from them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Updates:
    """How a net learns, beyond what each layer says for itself.

    Attributes:
        checked: gradients and weights are looked at for NaNs and infinities before an update.
        clip_norm: the largest norm that the gradients of all parameters may have together, of the
            cost per image; longer ones are scaled down to it. 0: any.
        accumulate: times as many passes between two updates as the layers say, see
            convnet.replicas.
    """

    checked: bool = False
    clip_norm: float = 0.0
    accumulate: int = 1

    @property
    def wait(self) -> bool:
        """Whether nothing learns before all gradients of a minibatch are there.

        Otherwise each matrix learns at once, and gradients share their memory.
        """
        return self.checked or self.clip_norm > 0


NO_MORE = Updates()
