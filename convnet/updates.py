"""What happens to gradients before the weights learn from them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Updates:
    """How a net learns, beyond what each layer says for itself.

    Attributes:
        checked: gradients and weights are looked at for NaNs and infinities before an update.
    """

    checked: bool = False

    @property
    def wait(self) -> bool:
        """Whether nothing learns before all gradients of a minibatch are there.

        Otherwise each matrix learns at once, and gradients share their memory.
        """
        return self.checked


NO_MORE = Updates()
